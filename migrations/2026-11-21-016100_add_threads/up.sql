ALTER TABLE messages ADD COLUMN thread_root_id uuid;
ALTER TABLE messages ADD COLUMN thread_seq integer;
ALTER TABLE messages ADD COLUMN reply_count integer NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN last_reply_at timestamptz;
COMMENT ON COLUMN messages.thread_root_id IS 'The message that this one replies to; null: it stands in the conversation itself.';
COMMENT ON COLUMN messages.thread_seq IS 'The number of a reply in its thread: 1, 2, 3 … without a gap.';
COMMENT ON COLUMN messages.reply_count IS 'The number of the newest reply, counted in the statement that stores it.';
ALTER TABLE messages ADD CONSTRAINT messages_thread_root FOREIGN KEY (organization_id, thread_root_id)
  REFERENCES messages (organization_id, id) NOT VALID;
ALTER TABLE messages VALIDATE CONSTRAINT messages_thread_root;
ALTER TABLE messages ADD CONSTRAINT messages_thread_check
  CHECK ((thread_root_id IS NULL) = (thread_seq IS NULL)) NOT VALID;
ALTER TABLE messages VALIDATE CONSTRAINT messages_thread_check;

CREATE TABLE thread_followers (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  root_id         uuid NOT NULL,
  member_id       uuid NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, root_id, member_id),
  FOREIGN KEY (organization_id, root_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE thread_followers IS 'Who wants to hear of replies: whoever wrote the root or a reply, and whoever asked for it.';
CREATE INDEX thread_followers_member ON thread_followers (organization_id, member_id);
SELECT stoa_wall('thread_followers');
