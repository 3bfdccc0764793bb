-- Suspended is what the program before knows that keeps them out. All organizations at once, also for an owner of the
-- table whom the wall holds back.
ALTER TABLE memberships NO FORCE ROW LEVEL SECURITY;
UPDATE memberships SET status = 'suspended' WHERE status = 'removed';
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
ALTER TABLE memberships DROP CONSTRAINT memberships_status_check;
ALTER TABLE memberships ADD CONSTRAINT memberships_status_check
  CHECK (status IN ('invited', 'active', 'suspended'));
