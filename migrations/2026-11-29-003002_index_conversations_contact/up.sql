CREATE UNIQUE INDEX CONCURRENTLY conversations_contact_once ON conversations (organization_id, contact_id) WHERE contact_id IS NOT NULL;
