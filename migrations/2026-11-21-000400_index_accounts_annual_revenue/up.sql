CREATE INDEX CONCURRENTLY accounts_annual_revenue ON accounts (organization_id, annual_revenue, id) WHERE deleted_at IS NULL;
