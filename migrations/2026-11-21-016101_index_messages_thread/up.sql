CREATE INDEX CONCURRENTLY messages_thread ON messages (organization_id, thread_root_id, seq) WHERE thread_root_id IS NOT NULL;
