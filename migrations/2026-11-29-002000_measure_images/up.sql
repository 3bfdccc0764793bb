-- Of images: how large they are, and the small copies of them. What was uploaded before is looked at by upkeep.
ALTER TABLE files
  ADD COLUMN width       integer,
  ADD COLUMN height      integer,
  ADD COLUMN thumbnails  text[] NOT NULL DEFAULT '{}',
  ADD COLUMN measured_at timestamptz;
ALTER TABLE files
  ADD CONSTRAINT files_measured_check CHECK (
    (width IS NULL) = (height IS NULL) AND (width IS NULL OR (width > 0 AND height > 0 AND measured_at IS NOT NULL))) NOT VALID;
ALTER TABLE files VALIDATE CONSTRAINT files_measured_check;
COMMENT ON COLUMN files.width IS 'In pixels, upright; null: not an image, not measured yet, damaged or too large.';
COMMENT ON COLUMN files.thumbnails IS 'The small copies that there are beside the object: small, large.';
COMMENT ON COLUMN files.measured_at IS 'When an image was looked at, whatever came of it.';
