-- How long messages are kept, by the kind of their conversation.
ALTER TABLE organizations ADD COLUMN keep_direct_days integer;
ALTER TABLE organizations ADD COLUMN keep_group_days integer;
ALTER TABLE organizations ADD COLUMN keep_channel_days integer;
ALTER TABLE organizations ADD COLUMN keep_record_days integer;
ALTER TABLE organizations
  ADD CONSTRAINT organizations_keep_direct_days_check CHECK (keep_direct_days BETWEEN 1 AND 3650) NOT VALID,
  ADD CONSTRAINT organizations_keep_group_days_check CHECK (keep_group_days BETWEEN 1 AND 3650) NOT VALID,
  ADD CONSTRAINT organizations_keep_channel_days_check CHECK (keep_channel_days BETWEEN 1 AND 3650) NOT VALID,
  ADD CONSTRAINT organizations_keep_record_days_check CHECK (keep_record_days BETWEEN 1 AND 3650) NOT VALID;
ALTER TABLE organizations VALIDATE CONSTRAINT organizations_keep_direct_days_check;
ALTER TABLE organizations VALIDATE CONSTRAINT organizations_keep_group_days_check;
ALTER TABLE organizations VALIDATE CONSTRAINT organizations_keep_channel_days_check;
ALTER TABLE organizations VALIDATE CONSTRAINT organizations_keep_record_days_check;
COMMENT ON COLUMN organizations.keep_direct_days IS 'Days that messages of direct conversations are kept; null: for ever. Likewise of groups, channels and those about records.';

ALTER TABLE conversations ADD COLUMN expired_seq bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN conversations.expired_seq IS 'Messages up to this number were removed when their time was over, save for roots that are still replied to.';
