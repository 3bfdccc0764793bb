CREATE INDEX CONCURRENTLY messages_pinned ON messages (organization_id, conversation_id, pinned_at) WHERE pinned_at IS NOT NULL;
