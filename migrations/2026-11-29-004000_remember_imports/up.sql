CREATE TABLE imported_records (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  source          text NOT NULL CHECK (source IN ('slack', 'mattermost')),
  external_id     text NOT NULL CHECK (length(external_id) BETWEEN 1 AND 2000),
  member_id       uuid,
  conversation_id uuid,
  imported_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, source, external_id),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, conversation_id) REFERENCES conversations (organization_id, id) ON DELETE CASCADE,
  CHECK (num_nonnulls(member_id, conversation_id) = 1)
);
COMMENT ON TABLE imported_records IS 'What people and conversations of another program have become here, so that a newer export of it adds to them. Messages need no row: their ids follow from what they were called there.';
COMMENT ON COLUMN imported_records.external_id IS 'What it is called there, behind its kind: person:U024BE7LH, conversation:C024BE91L.';
CREATE INDEX imported_records_member ON imported_records (organization_id, member_id) WHERE member_id IS NOT NULL;
CREATE INDEX imported_records_conversation ON imported_records (organization_id, conversation_id) WHERE conversation_id IS NOT NULL;
SELECT stoa_wall('imported_records');
