-- Who is removed stays as the owner and author of what they left, and never gets in.
ALTER TABLE memberships DROP CONSTRAINT memberships_status_check;
ALTER TABLE memberships ADD CONSTRAINT memberships_status_check
  CHECK (status IN ('invited', 'active', 'suspended', 'removed')) NOT VALID;
ALTER TABLE memberships VALIDATE CONSTRAINT memberships_status_check;
