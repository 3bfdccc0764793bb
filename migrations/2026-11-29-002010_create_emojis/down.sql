DROP TABLE emojis;
DELETE FROM reactions WHERE emoji LIKE ':%:';
COMMENT ON COLUMN reactions.emoji IS 'One Unicode emoji in its fully qualified form.';
