-- What is hard to undo asks for a password that was given not long ago. Of sessions that stand already nothing is known.
ALTER TABLE sessions ADD COLUMN authenticated_at timestamptz NOT NULL DEFAULT 'epoch';
ALTER TABLE sessions ALTER COLUMN authenticated_at SET DEFAULT now();
COMMENT ON COLUMN sessions.authenticated_at IS 'When the person last proved who they are.';
COMMENT ON COLUMN users.password_changes IS 'How often all sessions were ended: by a changed password, or by signing out everywhere. A session stands only while it names the same number.';
