DROP TRIGGER leads_leave_conversation ON leads;
DROP TRIGGER contacts_leave_conversation ON contacts;
DROP TRIGGER accounts_leave_conversation ON accounts;
DROP FUNCTION leave_conversation();
-- The wall is forced on its owner too, who has no organization here.
ALTER TABLE conversations NO FORCE ROW LEVEL SECURITY;
UPDATE conversations SET kind = 'group', account_id = NULL, contact_id = NULL, lead_id = NULL, record_purged_at = NULL
  WHERE kind = 'record';
ALTER TABLE conversations FORCE ROW LEVEL SECURITY;
ALTER TABLE conversations
  DROP CONSTRAINT conversations_kind_check,
  DROP CONSTRAINT conversations_record_check,
  DROP COLUMN account_id,
  DROP COLUMN contact_id,
  DROP COLUMN lead_id,
  DROP COLUMN record_purged_at;
ALTER TABLE conversations ADD CONSTRAINT conversations_kind_check CHECK (kind IN ('direct', 'group', 'channel'));
