ALTER TABLE messages DROP CONSTRAINT messages_pinned_by;
ALTER TABLE messages DROP COLUMN pinned_by;
ALTER TABLE messages DROP COLUMN pinned_at;
