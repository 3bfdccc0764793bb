-- Both or neither: what is deleted is purged some day, what is not never is.
ALTER TABLE organizations ADD COLUMN deleted_at timestamptz;
ALTER TABLE organizations ADD COLUMN purge_at timestamptz;
ALTER TABLE organizations ADD COLUMN restore_hash bytea;
ALTER TABLE organizations ADD CONSTRAINT organizations_purge_check
  CHECK ((deleted_at IS NULL) = (purge_at IS NULL)) NOT VALID;
ALTER TABLE organizations VALIDATE CONSTRAINT organizations_purge_check;
COMMENT ON COLUMN organizations.deleted_at IS 'Nobody gets in since then; an owner may restore it until purge_at.';
COMMENT ON COLUMN organizations.purge_at IS 'When everything in it is removed for good.';
COMMENT ON COLUMN organizations.restore_hash IS 'SHA-256 of the token in the mail to its owners, with which it is restored.';
CREATE INDEX organizations_purge ON organizations (purge_at) WHERE purge_at IS NOT NULL;

-- With its streams an organization's log goes, which no request may touch: the one way to it is this trigger.
ALTER FUNCTION forget_stream() SECURITY DEFINER;
ALTER FUNCTION forget_stream() SET search_path FROM CURRENT;
