ALTER FUNCTION forget_stream() RESET search_path;
ALTER FUNCTION forget_stream() SECURITY INVOKER;
-- Suspended is what the program before knows that keeps everybody out. Also for an owner of the table whom the wall holds
-- back.
ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY;
UPDATE organizations SET suspended_at = coalesce(suspended_at, deleted_at) WHERE deleted_at IS NOT NULL;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
DROP INDEX organizations_purge;
ALTER TABLE organizations DROP CONSTRAINT organizations_purge_check;
ALTER TABLE organizations DROP COLUMN restore_hash;
ALTER TABLE organizations DROP COLUMN purge_at;
ALTER TABLE organizations DROP COLUMN deleted_at;
