COMMENT ON COLUMN users.password_changes IS 'How often the password was changed. A session stands only while it names the same number.';
ALTER TABLE sessions DROP COLUMN authenticated_at;
