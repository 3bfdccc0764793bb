CREATE INDEX CONCURRENTLY contacts_first_name ON contacts (organization_id, first_name, id) WHERE deleted_at IS NULL;
