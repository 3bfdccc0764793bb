CREATE INDEX CONCURRENTLY participants_pinned ON participants (organization_id, member_id, conversation_id) WHERE pinned;
