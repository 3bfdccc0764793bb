ALTER TABLE conversations DROP COLUMN expired_seq;
ALTER TABLE organizations
  DROP COLUMN keep_direct_days,
  DROP COLUMN keep_group_days,
  DROP COLUMN keep_channel_days,
  DROP COLUMN keep_record_days;
