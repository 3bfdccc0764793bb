ALTER TABLE events ADD COLUMN api_key_id uuid;
ALTER TABLE events ADD COLUMN address text;
ALTER TABLE events ADD COLUMN user_agent text;
COMMENT ON COLUMN events.actor_id IS 'The member who did it. No key, so that the log outlives the member. Null: the system, or, with a request_id, somebody who was not signed in.';
COMMENT ON COLUMN events.api_key_id IS 'The API key that the member''s program used; null: none. No key, so that the log outlives it.';
COMMENT ON COLUMN events.address IS 'The network address that the request came from; null: not known, or a message was sent.';
COMMENT ON COLUMN events.user_agent IS 'What the program called itself that sent the request; null: as address.';

-- Nothing leaves the log but by a stream that goes with its organization.
CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Within the trigger forget_stream it is the second one at least.
  IF TG_OP = 'DELETE' AND pg_trigger_depth() > 1 THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER events_kept BEFORE DELETE OR TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_removal();

CREATE OR REPLACE FUNCTION forget_stream() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM organizations WHERE id = OLD.organization_id) THEN
    RAISE EXCEPTION 'a stream goes only with its organization' USING ERRCODE = 'insufficient_privilege';
  END IF;
  DELETE FROM events WHERE organization_id = OLD.organization_id AND stream_id = OLD.stream_id;
  DELETE FROM stream_heads WHERE organization_id = OLD.organization_id AND stream_id = OLD.stream_id;
  RETURN NULL;
END $$;
