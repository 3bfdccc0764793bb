ALTER TABLE users ADD COLUMN totp_secret bytea;
ALTER TABLE users ADD COLUMN totp_confirmed_at timestamptz;
ALTER TABLE users ADD COLUMN totp_last_step bigint NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN recovery_hashes bytea[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN users.totp_secret IS 'What codes are made from (RFC 6238), sealed for this person with the key of the server.';
COMMENT ON COLUMN users.totp_confirmed_at IS 'Since when signing in takes a code; null: it does not, whether there is a secret or not.';
COMMENT ON COLUMN users.totp_last_step IS 'The time step of the latest code that was used; it and all before it are worthless.';
COMMENT ON COLUMN users.recovery_hashes IS 'SHA-256 of the person''s id and each recovery code that has not been used.';

-- The challenge between the password and the code is a token of this kind, and is not mailed.
ALTER TABLE user_tokens DROP CONSTRAINT user_tokens_purpose_check;
ALTER TABLE user_tokens ADD CONSTRAINT user_tokens_purpose_check
  CHECK (purpose IN ('verify_email', 'change_email', 'reset_password', 'sign_in')) NOT VALID;
ALTER TABLE user_tokens VALIDATE CONSTRAINT user_tokens_purpose_check;
COMMENT ON TABLE user_tokens IS 'SHA-256 of the one-time tokens that were mailed to people, or given to who must still give a code to sign in; gone when used. Not a tenant table.';
