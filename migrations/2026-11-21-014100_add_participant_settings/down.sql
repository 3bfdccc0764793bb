ALTER TABLE participants
  DROP COLUMN draft,
  DROP COLUMN notification_level,
  DROP COLUMN muted_until,
  DROP COLUMN pinned;
