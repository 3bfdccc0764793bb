CREATE OR REPLACE FUNCTION forget_stream() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM events WHERE organization_id = OLD.organization_id AND stream_id = OLD.stream_id;
  DELETE FROM stream_heads WHERE organization_id = OLD.organization_id AND stream_id = OLD.stream_id;
  RETURN NULL;
END $$;
DROP TRIGGER events_kept ON events;
DROP FUNCTION refuse_removal();
ALTER TABLE events DROP COLUMN user_agent;
ALTER TABLE events DROP COLUMN address;
ALTER TABLE events DROP COLUMN api_key_id;
COMMENT ON COLUMN events.actor_id IS 'The member who did it; null: the system. No key, so that the log outlives the member.';
