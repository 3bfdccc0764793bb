CREATE INDEX CONCURRENTLY invitations_custom_role_id ON invitations (organization_id, custom_role_id) WHERE custom_role_id IS NOT NULL;
