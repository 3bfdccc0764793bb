DROP TABLE position_advances;
ALTER TABLE participants
  RESET (fillfactor),
  DROP COLUMN last_delivered_at,
  DROP COLUMN last_delivered_seq,
  DROP COLUMN last_read_at,
  DROP COLUMN last_read_seq,
  DROP COLUMN delivered_at,
  DROP COLUMN delivered_seq,
  DROP COLUMN read_at,
  DROP COLUMN read_seq,
  DROP COLUMN joined_seq;
