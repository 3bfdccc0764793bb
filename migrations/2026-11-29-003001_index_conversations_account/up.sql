CREATE UNIQUE INDEX CONCURRENTLY conversations_account_once ON conversations (organization_id, account_id) WHERE account_id IS NOT NULL;
