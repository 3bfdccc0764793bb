ALTER TABLE messages DROP COLUMN system;
ALTER TABLE messages DROP COLUMN kind;
