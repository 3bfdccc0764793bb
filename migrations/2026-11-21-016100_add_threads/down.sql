DROP TABLE thread_followers;
ALTER TABLE messages DROP CONSTRAINT messages_thread_check;
ALTER TABLE messages DROP CONSTRAINT messages_thread_root;
ALTER TABLE messages DROP COLUMN last_reply_at;
ALTER TABLE messages DROP COLUMN reply_count;
ALTER TABLE messages DROP COLUMN thread_seq;
ALTER TABLE messages DROP COLUMN thread_root_id;
