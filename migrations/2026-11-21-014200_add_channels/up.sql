ALTER TABLE conversations ADD COLUMN visibility text NOT NULL DEFAULT 'private';
ALTER TABLE conversations
  DROP CONSTRAINT conversations_kind_check,
  ADD CONSTRAINT conversations_kind_check CHECK (kind IN ('direct', 'group', 'channel')) NOT VALID,
  ADD CONSTRAINT conversations_visibility_check
    CHECK (visibility = 'private' OR (visibility = 'public' AND kind = 'channel')) NOT VALID;
ALTER TABLE conversations VALIDATE CONSTRAINT conversations_kind_check;
ALTER TABLE conversations VALIDATE CONSTRAINT conversations_visibility_check;
COMMENT ON COLUMN conversations.visibility IS 'Public: every member but guests may find it and join; only who is in it reads.';
