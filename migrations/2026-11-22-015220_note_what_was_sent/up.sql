-- Sending is reading: from whom receipts are hidden is told what messages tell. Moved with the other positions of a sender.
ALTER TABLE participants ADD COLUMN sent_seq bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN participants.sent_seq IS 'The last message that they have sent; 0: none since this is noted.';
