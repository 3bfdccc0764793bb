DELETE FROM user_tokens WHERE purpose = 'sign_in';
ALTER TABLE user_tokens DROP CONSTRAINT user_tokens_purpose_check;
ALTER TABLE user_tokens ADD CONSTRAINT user_tokens_purpose_check
  CHECK (purpose IN ('verify_email', 'change_email', 'reset_password'));
COMMENT ON TABLE user_tokens IS 'SHA-256 of the one-time tokens that were mailed to people; gone when used. Not a tenant table.';
ALTER TABLE users DROP COLUMN totp_secret, DROP COLUMN totp_confirmed_at, DROP COLUMN totp_last_step, DROP COLUMN recovery_hashes;
