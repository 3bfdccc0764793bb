DROP TABLE idempotency_keys;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP POLICY own_organizations ON organizations;
DROP TABLE memberships;
DROP TABLE organizations;
DROP TABLE users;
