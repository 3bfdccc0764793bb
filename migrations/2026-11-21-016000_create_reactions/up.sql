CREATE TABLE reactions (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  message_id      uuid NOT NULL,
  member_id       uuid NOT NULL,
  emoji           text NOT NULL CHECK (length(emoji) BETWEEN 1 AND 100),
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, message_id, member_id, emoji),
  FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE reactions IS 'Emojis that members have put to messages: each once. A deleted message has none.';
COMMENT ON COLUMN reactions.emoji IS 'One Unicode emoji in its fully qualified form.';
CREATE INDEX reactions_member ON reactions (organization_id, member_id);
SELECT stoa_wall('reactions');
