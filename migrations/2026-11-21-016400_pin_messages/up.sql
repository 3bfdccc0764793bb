ALTER TABLE messages ADD COLUMN pinned_at timestamptz;
ALTER TABLE messages ADD COLUMN pinned_by uuid;
COMMENT ON COLUMN messages.pinned_at IS 'When it was pinned to its conversation; null: it is not.';
ALTER TABLE messages ADD CONSTRAINT messages_pinned_by FOREIGN KEY (organization_id, pinned_by)
  REFERENCES memberships (organization_id, id) NOT VALID;
ALTER TABLE messages VALIDATE CONSTRAINT messages_pinned_by;
