ALTER TABLE memberships DROP COLUMN avatar;
ALTER TABLE users DROP COLUMN avatar;
