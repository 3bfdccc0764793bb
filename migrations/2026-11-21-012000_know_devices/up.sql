CREATE TABLE devices (
  hash         bytea PRIMARY KEY,
  user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  failures     integer NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE devices IS 'SHA-256 of the tokens of devices that people have signed in from. Not a tenant table.';
COMMENT ON COLUMN devices.failures IS 'Wrong passwords since the last sign-in; with too many the device counts as unknown.';
CREATE INDEX devices_user ON devices (user_id, last_used_at DESC);
CREATE INDEX devices_unused ON devices (last_used_at);
