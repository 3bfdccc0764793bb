ALTER TABLE invitations DROP COLUMN custom_role_id;
DROP TRIGGER one_role_a_member ON memberships;
DROP FUNCTION one_role_a_member;
ALTER TABLE memberships DROP COLUMN custom_role_id;
DROP TABLE roles;
