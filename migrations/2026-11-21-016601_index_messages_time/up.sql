CREATE INDEX CONCURRENTLY messages_time ON messages (organization_id, conversation_id, created_at, seq);
