CREATE TABLE user_tokens (
  hash       bytea PRIMARY KEY,
  user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  purpose    text NOT NULL CHECK (purpose IN ('verify_email', 'change_email', 'reset_password')),
  email      text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
COMMENT ON TABLE user_tokens IS 'SHA-256 of the one-time tokens that were mailed to people; gone when used. Not a tenant table.';
COMMENT ON COLUMN user_tokens.email IS 'Where it was sent: the address that whoever has it can read.';
CREATE INDEX user_tokens_user ON user_tokens (user_id, purpose, created_at DESC);
CREATE INDEX user_tokens_end ON user_tokens (expires_at);

ALTER TABLE organizations ADD COLUMN require_verified_email boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN organizations.require_verified_email IS 'Whether members write only once they have shown that their address is theirs.';
