CREATE TABLE streams (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  stream_id       uuid NOT NULL,
  kind            text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, stream_id)
);
COMMENT ON TABLE streams IS 'The ordered feeds: one per conversation, per entity type, per project, per member.';
SELECT stoa_wall('streams');

-- Narrow and half empty: a head is updated in place with every write, its row lock orders the commits.
CREATE TABLE stream_heads (
  organization_id uuid NOT NULL,
  stream_id       uuid NOT NULL,
  head_seq        bigint NOT NULL DEFAULT 0,
  floor_seq       bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (organization_id, stream_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE stream_heads IS 'The last number given out in a stream, and the last one no longer kept.';
SELECT stoa_wall('stream_heads');

-- Neither heads nor events have a foreign key: its check would run while the head is locked and costs a hot
-- stream a quarter of its writes. `streams` has the key, and takes the rest along when it goes.
CREATE TABLE events (
  organization_id uuid NOT NULL,
  stream_id       uuid NOT NULL,
  seq             bigint NOT NULL,
  id              uuid NOT NULL,
  kind            text NOT NULL,
  entity          text NOT NULL,
  entity_id       uuid NOT NULL,
  actor_id        uuid,
  payload         jsonb NOT NULL,
  request_id      text,
  at              timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (organization_id, stream_id, seq)
);
COMMENT ON TABLE events IS 'The log: one row per changed record, written in the transaction that changed it, never changed.';
COMMENT ON COLUMN events.actor_id IS 'The member who did it; null: the system. No key, so that the log outlives the member.';
CREATE INDEX events_entity ON events (organization_id, entity_id, seq DESC);
SELECT stoa_wall('events');

-- Append-only in the database itself: whoever could change the log could change the past.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION forget_stream() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM events WHERE organization_id = OLD.organization_id AND stream_id = OLD.stream_id;
  DELETE FROM stream_heads WHERE organization_id = OLD.organization_id AND stream_id = OLD.stream_id;
  RETURN NULL;
END $$;
CREATE TRIGGER streams_forget AFTER DELETE ON streams FOR EACH ROW EXECUTE FUNCTION forget_stream();
