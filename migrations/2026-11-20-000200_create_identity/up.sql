CREATE TABLE users (
  id                uuid PRIMARY KEY,
  email             text NOT NULL UNIQUE,
  password_hash     text,
  full_name         text NOT NULL,
  locale            text NOT NULL DEFAULT 'en',
  time_zone         text NOT NULL DEFAULT 'UTC',
  email_verified_at timestamptz,
  last_login_at     timestamptz,
  failed_logins     integer NOT NULL DEFAULT 0,
  locked_until      timestamptz,
  disabled_at       timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE users IS 'People who can sign in, whatever organizations they belong to. Not a tenant table.';
COMMENT ON COLUMN users.password_hash IS 'argon2id in PHC format; null: no password sign-in.';
COMMENT ON COLUMN users.locked_until IS 'Sign-in is refused until then after too many failures.';

CREATE TABLE organizations (
  id             uuid PRIMARY KEY,
  name           text NOT NULL,
  slug           text NOT NULL UNIQUE,
  time_zone      text NOT NULL DEFAULT 'UTC',
  currency       text NOT NULL DEFAULT 'USD',
  settings       jsonb NOT NULL DEFAULT '{}',
  retention_days integer NOT NULL DEFAULT 30 CHECK (retention_days BETWEEN 1 AND 3650),
  suspended_at   timestamptz,
  created_at     timestamptz NOT NULL DEFAULT now(),
  updated_at     timestamptz NOT NULL DEFAULT now(),
  version        integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE organizations IS 'The tenants. Every tenant table starts its key with one of these ids.';
COMMENT ON COLUMN organizations.retention_days IS 'How long deleted records can be restored before they are purged.';

CREATE TABLE memberships (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  user_id         uuid NOT NULL REFERENCES users,
  name            text NOT NULL,
  email           text NOT NULL,
  role            text NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'sales_rep', 'support', 'member', 'guest')),
  manager_id      uuid,
  title           text,
  status          text NOT NULL DEFAULT 'active' CHECK (status IN ('invited', 'active', 'suspended')),
  joined_at       timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  created_by      uuid,
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, user_id),
  FOREIGN KEY (organization_id, manager_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE memberships IS 'A user in an organization: what a token speaks for and what records belong to.';
COMMENT ON COLUMN memberships.name IS 'The name shown in this organization: the user''s, copied when it changes.';
COMMENT ON COLUMN memberships.manager_id IS 'Whom the member reports to; TEAM permissions reach down this line.';
CREATE INDEX memberships_user ON memberships (user_id);
CREATE INDEX memberships_manager ON memberships (organization_id, manager_id) WHERE manager_id IS NOT NULL;
CREATE INDEX memberships_created_by ON memberships (organization_id, created_by) WHERE created_by IS NOT NULL;
CREATE INDEX memberships_newest ON memberships (organization_id, created_at DESC, id DESC);
CREATE INDEX memberships_name ON memberships (organization_id, name, id);
SELECT stoa_wall('memberships');
-- Somebody who signs in has no organization yet: their own memberships are open to read, and what these name.
CREATE POLICY own_memberships ON memberships FOR SELECT USING (user_id = (SELECT stoa_user()));
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY organization_wall ON organizations USING (id = (SELECT stoa_organization()));
CREATE POLICY own_organizations ON organizations FOR SELECT
  USING (id IN (SELECT m.organization_id FROM memberships m WHERE m.user_id = (SELECT stoa_user())));

CREATE TABLE sessions (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  member_id       uuid NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  last_used_at    timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL,
  revoked_at      timestamptz,
  revoked_because text,
  address         text,
  user_agent      text,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE sessions IS 'A sign-in on one device: the family of refresh tokens that descend from it.';
CREATE INDEX sessions_member ON sessions (organization_id, member_id, created_at DESC);
SELECT stoa_wall('sessions');

CREATE TABLE refresh_tokens (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  hash            bytea NOT NULL,
  session_id      uuid NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL,
  used_at         timestamptz,
  PRIMARY KEY (organization_id, hash),
  FOREIGN KEY (organization_id, session_id) REFERENCES sessions (organization_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE refresh_tokens IS 'SHA-256 of every refresh token of a session; each works once, a second use revokes the session.';
CREATE INDEX refresh_tokens_session ON refresh_tokens (organization_id, session_id);
SELECT stoa_wall('refresh_tokens');

CREATE TABLE idempotency_keys (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  member_id       uuid NOT NULL,
  key             text NOT NULL,
  request_hash    bytea NOT NULL,
  done            boolean NOT NULL DEFAULT false,
  answer          bytea,
  claimed_at      timestamptz NOT NULL DEFAULT now(),
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, member_id, key),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE idempotency_keys IS 'Mutations sent with an Idempotency-Key, with their answers, for 24 hours.';
COMMENT ON COLUMN idempotency_keys.done IS 'Set in the transaction of the mutation: something was written.';
COMMENT ON COLUMN idempotency_keys.answer IS 'The body that was answered; null while the mutation runs.';
COMMENT ON COLUMN idempotency_keys.claimed_at IS 'When the mutation began; one that wrote nothing for five minutes may begin again.';
CREATE INDEX idempotency_keys_age ON idempotency_keys (organization_id, created_at);
SELECT stoa_wall('idempotency_keys');
