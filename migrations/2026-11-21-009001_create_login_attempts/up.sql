-- Of people and not of organizations, as accounts are. What organizations should know stands in their log.
CREATE TABLE login_attempts (
  id         uuid PRIMARY KEY,
  user_id    uuid,
  email_hash bytea NOT NULL,
  outcome    text NOT NULL,
  address    text,
  user_agent text,
  at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE login_attempts IS 'Who tried to sign in: every attempt whose password was looked at. Never changed; removed after a while.';
COMMENT ON COLUMN login_attempts.user_id IS 'Whose account it was. No key, so that the log outlives the account; null: there is no account with this address.';
COMMENT ON COLUMN login_attempts.email_hash IS 'SHA-256 of the e-mail address in lower case: nothing that an attacker can write at length.';
CREATE INDEX login_attempts_user ON login_attempts (user_id, at, id) WHERE user_id IS NOT NULL;
CREATE INDEX login_attempts_at ON login_attempts (at);

CREATE FUNCTION refuse_change_of_attempts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND current_setting('stoa.purging', true) = 'login_attempts' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'login_attempts is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER login_attempts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON login_attempts
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_attempts();

-- The one way out: what is older than so many days, and a day at least. Answers how many went.
CREATE FUNCTION purge_login_attempts(days integer, most integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  gone integer;
BEGIN
  PERFORM set_config('stoa.purging', 'login_attempts', true);
  DELETE FROM login_attempts WHERE id IN (
    SELECT id FROM login_attempts WHERE at < now() - make_interval(days => greatest(days, 1)) ORDER BY at LIMIT most);
  GET DIAGNOSTICS gone = ROW_COUNT;
  PERFORM set_config('stoa.purging', '', true);
  RETURN gone;
END $$;
