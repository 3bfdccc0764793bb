-- One row says which sessions are over, in every organization at once. Whoever signs in through an old program while the
-- new one has changed the password has to sign in again.
ALTER TABLE users ADD COLUMN password_changes integer NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN password_changes integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN users.password_changes IS 'How often the password was changed. A session stands only while it names the same number.';
COMMENT ON COLUMN sessions.password_changes IS 'users.password_changes as the session was opened, or as it changed the password itself.';
