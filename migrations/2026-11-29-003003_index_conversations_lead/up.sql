CREATE UNIQUE INDEX CONCURRENTLY conversations_lead_once ON conversations (organization_id, lead_id) WHERE lead_id IS NOT NULL;
