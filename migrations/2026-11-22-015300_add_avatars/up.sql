ALTER TABLE users ADD COLUMN avatar text;
ALTER TABLE memberships ADD COLUMN avatar text;
COMMENT ON COLUMN users.avatar IS 'The id of the object with the person''s picture; null: there is none.';
COMMENT ON COLUMN memberships.avatar IS 'The user''s, copied when it changes.';
