CREATE INDEX CONCURRENTLY conversations_avatar ON conversations (organization_id, avatar) WHERE avatar IS NOT NULL;
