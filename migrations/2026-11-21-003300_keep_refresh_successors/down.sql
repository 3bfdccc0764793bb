COMMENT ON TABLE refresh_tokens IS 'SHA-256 of every refresh token of a session; each works once, a second use revokes the session.';
ALTER TABLE refresh_tokens DROP COLUMN successor;
