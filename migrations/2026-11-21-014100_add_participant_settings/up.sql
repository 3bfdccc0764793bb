-- What a member has set for a conversation: theirs alone, and so in no event of the conversation.
ALTER TABLE participants
  ADD COLUMN pinned             boolean NOT NULL DEFAULT false,
  ADD COLUMN muted_until        timestamptz,
  ADD COLUMN notification_level text NOT NULL DEFAULT 'all',
  ADD COLUMN draft              text;
ALTER TABLE participants
  ADD CONSTRAINT participants_notification_level_check CHECK (notification_level IN ('all', 'mentions', 'none')) NOT VALID,
  ADD CONSTRAINT participants_draft_check CHECK (length(draft) <= 40000) NOT VALID;
ALTER TABLE participants VALIDATE CONSTRAINT participants_notification_level_check;
ALTER TABLE participants VALIDATE CONSTRAINT participants_draft_check;
COMMENT ON COLUMN participants.draft IS 'What the member has begun to write; never in the log.';
