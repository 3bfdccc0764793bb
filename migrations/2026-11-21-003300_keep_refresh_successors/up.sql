ALTER TABLE refresh_tokens ADD COLUMN successor bytea;
COMMENT ON COLUMN refresh_tokens.successor IS 'The secret of the next token, for a few seconds, readable only with this one.';
COMMENT ON TABLE refresh_tokens IS 'SHA-256 of every refresh token of a session; each has one successor, and a use after that was known revokes the session.';
