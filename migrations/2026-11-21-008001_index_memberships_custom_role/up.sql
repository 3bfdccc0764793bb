CREATE INDEX CONCURRENTLY memberships_custom_role_id ON memberships (organization_id, custom_role_id) WHERE custom_role_id IS NOT NULL;
