CREATE TABLE api_keys (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  owner_id        uuid NOT NULL,
  name            text NOT NULL,
  prefix          text NOT NULL,
  hash            bytea NOT NULL,
  previous_hash   bytea,
  previous_until  timestamptz,
  permissions     text[] NOT NULL,
  expires_at      timestamptz,
  last_used_at    timestamptz,
  revoked_at      timestamptz,
  created_by      uuid NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, owner_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK (array_position(permissions, NULL) IS NULL)
);
COMMENT ON TABLE api_keys IS 'What programs sign in with, in the name of a member.';
COMMENT ON COLUMN api_keys.owner_id IS 'The member it speaks for: never with more than they may themselves.';
COMMENT ON COLUMN api_keys.prefix IS 'How the key begins: what it is found and recognised by.';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the whole key.';
COMMENT ON COLUMN api_keys.previous_hash IS 'That of the key before the last rotation.';
COMMENT ON COLUMN api_keys.previous_until IS 'Until when the key before the last rotation is good.';
COMMENT ON COLUMN api_keys.permissions IS 'RESOURCE:ACTION:SCOPE; what is not known allows nothing.';
COMMENT ON COLUMN api_keys.last_used_at IS 'Up to a minute behind.';
CREATE UNIQUE INDEX api_keys_prefix ON api_keys (organization_id, prefix);
CREATE INDEX api_keys_newest ON api_keys (organization_id, created_at DESC, id DESC);
CREATE INDEX api_keys_owner ON api_keys (organization_id, owner_id);
CREATE INDEX api_keys_created_by ON api_keys (organization_id, created_by);
SELECT stoa_wall('api_keys');
