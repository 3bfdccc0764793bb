CREATE TABLE message_versions (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  message_id      uuid NOT NULL,
  version         integer NOT NULL,
  body            text NOT NULL,
  written_at      timestamptz NOT NULL,
  PRIMARY KEY (organization_id, message_id, version),
  FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE message_versions IS 'What edited messages said before. A deleted message has none.';
COMMENT ON COLUMN message_versions.version IS 'The version of the message that had this body last.';
COMMENT ON COLUMN message_versions.written_at IS 'When this body was written.';
SELECT stoa_wall('message_versions');
