CREATE TABLE user_identities (
  id           uuid PRIMARY KEY,
  user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  issuer       text NOT NULL,
  subject      text NOT NULL,
  email        text,
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz,
  UNIQUE (issuer, subject)
);
COMMENT ON TABLE user_identities IS 'Who people are at other providers (OpenID Connect), by which they sign in here. Not a tenant table.';
COMMENT ON COLUMN user_identities.subject IS 'The provider''s own name for the person: never given to anybody else.';
COMMENT ON COLUMN user_identities.email IS 'What the provider said their address was, at the latest sign-in.';
CREATE INDEX user_identities_user ON user_identities (user_id, created_at);

CREATE TABLE oidc_attempts (
  hash         bytea PRIMARY KEY,
  provider     text NOT NULL,
  redirect_uri text NOT NULL,
  user_id      uuid REFERENCES users ON DELETE CASCADE,
  code_hash    bytea,
  created_at   timestamptz NOT NULL DEFAULT now(),
  expires_at   timestamptz NOT NULL,
  CHECK ((user_id IS NULL) = (code_hash IS NULL))
);
COMMENT ON TABLE oidc_attempts IS 'Sign-ins by a provider that were begun: SHA-256 of the handle; gone when used. Not a tenant table.';
COMMENT ON COLUMN oidc_attempts.user_id IS 'Who it was found to be, who has yet to name the organization.';
COMMENT ON COLUMN oidc_attempts.code_hash IS 'SHA-256 of the code by which they were.';
CREATE INDEX oidc_attempts_user ON oidc_attempts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX oidc_attempts_end ON oidc_attempts (expires_at);
