CREATE TABLE mentions (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  conversation_id uuid NOT NULL,
  message_id      uuid NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('member', 'channel', 'here')),
  member_id       uuid,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, conversation_id) REFERENCES conversations (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK ((kind = 'member') = (member_id IS NOT NULL))
);
COMMENT ON TABLE mentions IS 'Whom the body of a message names: an index of the bodies, kept in step with them.';
CREATE INDEX mentions_message ON mentions (organization_id, message_id);
CREATE INDEX mentions_member ON mentions (organization_id, member_id, created_at DESC, id DESC) WHERE member_id IS NOT NULL;
CREATE INDEX mentions_conversation ON mentions (organization_id, conversation_id, created_at DESC, id DESC);
CREATE INDEX mentions_newest ON mentions (organization_id, created_at DESC, id DESC);
CREATE INDEX mentions_created_by ON mentions (organization_id, created_by) WHERE created_by IS NOT NULL;
SELECT stoa_wall('mentions');
