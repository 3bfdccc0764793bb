-- Those that say nothing bring files along. Only their rows are held, and nobody waits for them.
UPDATE messages SET kind = 'file' WHERE body = '';
ALTER TABLE messages VALIDATE CONSTRAINT messages_kind_check;
ALTER TABLE messages VALIDATE CONSTRAINT messages_system_check;
