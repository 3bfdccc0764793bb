CREATE TABLE emojis (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  name            text NOT NULL CHECK (name ~ '^[a-z0-9_+-]{2,40}$'),
  picture         text NOT NULL,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  deleted_at      timestamptz,
  deleted_by      uuid,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, deleted_by) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE emojis IS 'The emoji that an organization adds to those of Unicode.';
COMMENT ON COLUMN emojis.name IS 'What stands between colons where it is used; of live ones no two have the same.';
COMMENT ON COLUMN emojis.picture IS 'The id of the object with its picture: a square.';
CREATE UNIQUE INDEX emojis_name ON emojis (organization_id, name) WHERE deleted_at IS NULL;
CREATE INDEX emojis_by_name ON emojis (organization_id, name, id);
CREATE INDEX emojis_picture ON emojis (organization_id, picture);
CREATE INDEX emojis_newest ON emojis (organization_id, created_at DESC, id DESC);
CREATE INDEX emojis_updated ON emojis (organization_id, updated_at DESC, id DESC);
CREATE INDEX emojis_created_by ON emojis (organization_id, created_by) WHERE created_by IS NOT NULL;
CREATE INDEX emojis_deleted_by ON emojis (organization_id, deleted_by) WHERE deleted_by IS NOT NULL;
SELECT stoa_wall('emojis');
COMMENT ON COLUMN reactions.emoji IS
  'One Unicode emoji in its fully qualified form, or between colons the name of one of the organization''s own.';
