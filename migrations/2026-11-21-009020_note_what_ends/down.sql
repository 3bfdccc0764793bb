DROP TRIGGER organizations_end ON organizations;
DROP TRIGGER users_end ON users;
DROP TRIGGER teams_end ON memberships;
DROP TRIGGER memberships_end ON memberships;
DROP TRIGGER sessions_end ON sessions;
DROP FUNCTION note_ending_of_team();
DROP FUNCTION note_ending();
DROP TABLE endings;
