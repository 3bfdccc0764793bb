CREATE TABLE files (
  organization_id   uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id                uuid NOT NULL,
  name              text NOT NULL,
  content_type      text NOT NULL,
  size              integer NOT NULL CHECK (size > 0),
  state             text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'ready')),
  checksum          text,
  expected_checksum text,
  object            text,
  upload_until      timestamptz,
  created_by        uuid NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  version           integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK ((state = 'pending') = (upload_until IS NOT NULL)),
  CHECK ((object IS NULL) = (checksum IS NULL)),
  CHECK (state = 'pending' OR object IS NOT NULL)
);
COMMENT ON TABLE files IS 'What people upload. The content is an object of the store.';
COMMENT ON COLUMN files.name IS 'As people call it: shown, and what it is saved as; never a path.';
COMMENT ON COLUMN files.size IS 'In bytes: what was declared, and so what an object has.';
COMMENT ON COLUMN files.checksum IS 'SHA-256 of the content in hexadecimal, computed while it came in.';
COMMENT ON COLUMN files.expected_checksum IS 'What the client said it would be.';
COMMENT ON COLUMN files.object IS 'The id of the object with the content; a repeated upload makes another.';
COMMENT ON COLUMN files.upload_until IS 'When an upload that is not complete is forgotten.';
CREATE UNIQUE INDEX files_object ON files (organization_id, object) WHERE object IS NOT NULL;
CREATE INDEX files_newest ON files (organization_id, created_at DESC, id DESC);
CREATE INDEX files_changed ON files (organization_id, updated_at, id);
CREATE INDEX files_created_by ON files (organization_id, created_by, created_at DESC, id DESC);
-- What all files take is summed up from here at every upload.
CREATE INDEX files_size ON files (organization_id) INCLUDE (size, upload_until);
CREATE INDEX files_pending ON files (organization_id, upload_until) WHERE upload_until IS NOT NULL;
SELECT stoa_wall('files');
