-- Conversations about a record: one nullable reference for each kind of record, so that keys hold it.
ALTER TABLE conversations ADD COLUMN account_id uuid;
ALTER TABLE conversations ADD COLUMN contact_id uuid;
ALTER TABLE conversations ADD COLUMN lead_id uuid;
ALTER TABLE conversations ADD COLUMN record_purged_at timestamptz;
COMMENT ON COLUMN conversations.account_id IS 'The account that it is about. So are contact_id and lead_id of theirs: of a RECORD one exactly one is set, or it was purged.';
COMMENT ON COLUMN conversations.record_purged_at IS 'When the record that it was about was removed for good; the conversation stays.';
ALTER TABLE conversations
  DROP CONSTRAINT conversations_kind_check,
  ADD CONSTRAINT conversations_kind_check CHECK (kind IN ('direct', 'group', 'channel', 'record')) NOT VALID,
  ADD CONSTRAINT conversations_record_check CHECK (
    num_nonnulls(account_id, contact_id, lead_id, record_purged_at) = CASE WHEN kind = 'record' THEN 1 ELSE 0 END) NOT VALID,
  ADD CONSTRAINT conversations_account FOREIGN KEY (organization_id, account_id) REFERENCES accounts (organization_id, id) NOT VALID,
  ADD CONSTRAINT conversations_contact FOREIGN KEY (organization_id, contact_id) REFERENCES contacts (organization_id, id) NOT VALID,
  ADD CONSTRAINT conversations_lead FOREIGN KEY (organization_id, lead_id) REFERENCES leads (organization_id, id) NOT VALID;
ALTER TABLE conversations VALIDATE CONSTRAINT conversations_kind_check;
ALTER TABLE conversations VALIDATE CONSTRAINT conversations_record_check;
ALTER TABLE conversations VALIDATE CONSTRAINT conversations_account;
ALTER TABLE conversations VALIDATE CONSTRAINT conversations_contact;
ALTER TABLE conversations VALIDATE CONSTRAINT conversations_lead;

-- A conversation outlives its record, whoever purges it. The name of the column is the trigger's argument.
CREATE FUNCTION leave_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('UPDATE conversations SET %1$I = NULL, record_purged_at = now() WHERE organization_id = $1 AND %1$I = $2', TG_ARGV[0])
    USING OLD.organization_id, OLD.id;
  RETURN OLD;
END $$;
CREATE TRIGGER accounts_leave_conversation BEFORE DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION leave_conversation('account_id');
CREATE TRIGGER contacts_leave_conversation BEFORE DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION leave_conversation('contact_id');
CREATE TRIGGER leads_leave_conversation BEFORE DELETE ON leads FOR EACH ROW EXECUTE FUNCTION leave_conversation('lead_id');
