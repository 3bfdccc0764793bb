ALTER TABLE participants DROP COLUMN sent_seq;
