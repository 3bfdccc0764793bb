ALTER TABLE files DROP COLUMN width, DROP COLUMN height, DROP COLUMN thumbnails, DROP COLUMN measured_at;
