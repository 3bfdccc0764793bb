ALTER TABLE organizations DROP COLUMN require_verified_email;
DROP TABLE user_tokens;
