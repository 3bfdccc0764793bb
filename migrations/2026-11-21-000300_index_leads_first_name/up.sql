CREATE INDEX CONCURRENTLY leads_first_name ON leads (organization_id, first_name, id) WHERE deleted_at IS NULL;
