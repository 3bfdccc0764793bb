CREATE TABLE conversations (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('direct', 'group')),
  title           text,
  topic           text,
  direct_key      text,
  last_seq        bigint NOT NULL DEFAULT 0,
  last_message_at timestamptz,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  archived_at     timestamptz,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK ((kind = 'direct') = (direct_key IS NOT NULL))
);
COMMENT ON TABLE conversations IS 'Where members talk. A direct conversation is the only one of its pair.';
COMMENT ON COLUMN conversations.direct_key IS 'Both member ids in order: what makes a direct conversation unique.';
COMMENT ON COLUMN conversations.last_seq IS 'The number of the newest message: 1, 2, 3 … without a gap.';
CREATE UNIQUE INDEX conversations_direct ON conversations (organization_id, direct_key) WHERE direct_key IS NOT NULL;
CREATE INDEX conversations_newest ON conversations (organization_id, created_at DESC, id DESC);
CREATE INDEX conversations_created_by ON conversations (organization_id, created_by);
SELECT stoa_wall('conversations');

CREATE TABLE participants (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  conversation_id uuid NOT NULL,
  member_id       uuid NOT NULL,
  role            text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'moderator', 'member')),
  joined_at       timestamptz NOT NULL DEFAULT now(),
  left_at         timestamptz,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, conversation_id, member_id),
  FOREIGN KEY (organization_id, conversation_id) REFERENCES conversations (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE participants IS 'Who is, or was, in a conversation.';
CREATE INDEX participants_member ON participants (organization_id, member_id);
CREATE INDEX participants_created_by ON participants (organization_id, created_by);
SELECT stoa_wall('participants');

CREATE TABLE messages (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  conversation_id uuid NOT NULL,
  seq             bigint NOT NULL,
  sender_id       uuid NOT NULL,
  client_id       text,
  body            text CHECK (length(body) <= 40000),
  edited_at       timestamptz,
  deleted_at      timestamptz,
  deleted_by      uuid,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, conversation_id, seq),
  FOREIGN KEY (organization_id, conversation_id) REFERENCES conversations (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, sender_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, deleted_by) REFERENCES memberships (organization_id, id),
  CHECK ((deleted_at IS NULL) = (body IS NOT NULL))
);
COMMENT ON TABLE messages IS 'What was said. A deleted message keeps its place and loses its body.';
COMMENT ON COLUMN messages.client_id IS 'The sender''s own key for this message: sending it again returns the message that exists.';
CREATE UNIQUE INDEX messages_client_id ON messages (organization_id, sender_id, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX messages_sender ON messages (organization_id, sender_id);
CREATE INDEX messages_created_by ON messages (organization_id, created_by);
CREATE INDEX messages_deleted_by ON messages (organization_id, deleted_by) WHERE deleted_by IS NOT NULL;
SELECT stoa_wall('messages');
