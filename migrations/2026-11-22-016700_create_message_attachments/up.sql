CREATE TABLE message_attachments (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  conversation_id uuid NOT NULL,
  message_id      uuid NOT NULL,
  file_id         uuid NOT NULL,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, message_id, file_id),
  FOREIGN KEY (organization_id, conversation_id) REFERENCES conversations (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, file_id) REFERENCES files (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE message_attachments IS 'The files that messages bring along; a deleted message has none.';
COMMENT ON COLUMN message_attachments.id IS 'Of one message they fall in the order in which the files were given: newest first shows that order.';
-- Also who may read a file: whoever is where it is attached.
CREATE INDEX message_attachments_file ON message_attachments (organization_id, file_id, conversation_id);
CREATE INDEX message_attachments_conversation ON message_attachments (organization_id, conversation_id, created_at DESC, id DESC);
CREATE INDEX message_attachments_newest ON message_attachments (organization_id, created_at DESC, id DESC);
CREATE INDEX message_attachments_created_by ON message_attachments (organization_id, created_by) WHERE created_by IS NOT NULL;
SELECT stoa_wall('message_attachments');
