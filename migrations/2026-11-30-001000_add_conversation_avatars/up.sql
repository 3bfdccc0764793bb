ALTER TABLE conversations ADD COLUMN avatar text;
COMMENT ON COLUMN conversations.avatar IS 'The id of the object with its picture; null: there is none.';
