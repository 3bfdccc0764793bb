-- Two narrow ways through what keeps the log as it is, both functions of the owner (functions/400_forget_events.sql): what is
-- old and in no audit trail goes, and what a message said goes with it. Whoever may write to the log by grants is not let through
-- by the word alone: requests have no such grant.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('stoa.purging', true) = 'bodies' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE OR REPLACE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Within the trigger forget_stream it is the second one at least.
  IF TG_OP = 'DELETE' AND (pg_trigger_depth() > 1 OR current_setting('stoa.purging', true) = 'events') THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
