CREATE TABLE roles (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  name            text NOT NULL,
  description     text,
  permissions     text[] NOT NULL,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  deleted_at      timestamptz,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE roles IS 'The roles that an organization adds to the built-in ones.';
COMMENT ON COLUMN roles.permissions IS 'A word a permission, such as LEAD:READ:TEAM. One that a version of Stoa does not know allows nothing there.';
COMMENT ON COLUMN roles.deleted_at IS 'Nobody has it any more; what once named it still does.';
CREATE UNIQUE INDEX roles_name ON roles (organization_id, lower(name)) WHERE deleted_at IS NULL;
CREATE INDEX roles_created_by ON roles (organization_id, created_by) WHERE created_by IS NOT NULL;
SELECT stoa_wall('roles');

-- Beside it stands the built-in role `guest`, which is all that a version sees that does not know this column.
ALTER TABLE memberships ADD COLUMN custom_role_id uuid;
COMMENT ON COLUMN memberships.custom_role_id IS 'The organization''s own role, which counts instead of `role`.';
ALTER TABLE memberships ADD CONSTRAINT memberships_custom_role
  FOREIGN KEY (organization_id, custom_role_id) REFERENCES roles (organization_id, id) NOT VALID;
ALTER TABLE memberships VALIDATE CONSTRAINT memberships_custom_role;

-- Such a version gives another role, or removes the member, without taking this one away.
CREATE FUNCTION one_role_a_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.custom_role_id := NULL;
  RETURN NEW;
END $$;
CREATE TRIGGER one_role_a_member BEFORE INSERT OR UPDATE ON memberships FOR EACH ROW
  WHEN (NEW.custom_role_id IS NOT NULL AND (NEW.role <> 'guest' OR NEW.status = 'removed'))
  EXECUTE FUNCTION one_role_a_member();

ALTER TABLE invitations ADD COLUMN custom_role_id uuid;
COMMENT ON COLUMN invitations.custom_role_id IS 'The organization''s own role, which counts instead of `role`: `guest` then.';
ALTER TABLE invitations ADD CONSTRAINT invitations_custom_role
  FOREIGN KEY (organization_id, custom_role_id) REFERENCES roles (organization_id, id) NOT VALID;
ALTER TABLE invitations VALIDATE CONSTRAINT invitations_custom_role;
