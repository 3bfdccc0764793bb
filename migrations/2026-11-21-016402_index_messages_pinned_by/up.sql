CREATE INDEX CONCURRENTLY messages_pinned_by ON messages (organization_id, pinned_by) WHERE pinned_by IS NOT NULL;
