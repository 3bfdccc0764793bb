DROP TABLE emojis;
-- The wall is forced on its owner too, who has no organization here.
ALTER TABLE reactions NO FORCE ROW LEVEL SECURITY;
DELETE FROM reactions WHERE emoji LIKE ':%:';
ALTER TABLE reactions FORCE ROW LEVEL SECURITY;
COMMENT ON COLUMN reactions.emoji IS 'One Unicode emoji in its fully qualified form.';
