-- How far those have come who follow the log: what is done because of an event is done where the place moves over it.
CREATE TABLE log_places (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  stream_id       uuid NOT NULL,
  follower        text NOT NULL,
  seq             bigint NOT NULL,
  PRIMARY KEY (organization_id, stream_id, follower),
  FOREIGN KEY (organization_id, stream_id) REFERENCES streams (organization_id, stream_id) ON DELETE CASCADE
) WITH (fillfactor = 50);
COMMENT ON TABLE log_places IS 'How far each follower of the log has come in each stream; one without a row is before the first event.';
SELECT stoa_wall('log_places');

-- What was said before anybody was notified is not news. The wall is forced on its owner too, who has no organization here.
ALTER TABLE streams NO FORCE ROW LEVEL SECURITY;
ALTER TABLE stream_heads NO FORCE ROW LEVEL SECURITY;
ALTER TABLE log_places NO FORCE ROW LEVEL SECURITY;
INSERT INTO log_places (organization_id, stream_id, follower, seq)
SELECT organization_id, stream_id, 'notifications', head_seq FROM stream_heads JOIN streams USING (organization_id, stream_id)
WHERE kind IN ('conversation', 'member');
ALTER TABLE log_places FORCE ROW LEVEL SECURITY;
ALTER TABLE stream_heads FORCE ROW LEVEL SECURITY;
ALTER TABLE streams FORCE ROW LEVEL SECURITY;

CREATE TABLE notifications (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  member_id       uuid NOT NULL,
  kind            text NOT NULL,
  conversation_id uuid,
  message_id      uuid,
  message_seq     bigint,
  actor_id        uuid,
  marked_at       timestamptz,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, actor_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, conversation_id) REFERENCES conversations (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE,
  CHECK ((message_id IS NULL) = (message_seq IS NULL)),
  CHECK (message_id IS NULL OR conversation_id IS NOT NULL)
) WITH (fillfactor = 90);
COMMENT ON TABLE notifications IS 'What members were told of that concerns them. Each row is one member''s alone.';
COMMENT ON COLUMN notifications.id IS 'Made of the event and the member: what is done twice is one row. Begins with the time of the event.';
COMMENT ON COLUMN notifications.member_id IS 'Who was told.';
COMMENT ON COLUMN notifications.message_seq IS 'The number of the message: whoever has read the conversation up to it has read this.';
COMMENT ON COLUMN notifications.marked_at IS 'When it was marked as read; follows the position of the member in the conversation soon after.';
CREATE INDEX notifications_newest ON notifications (organization_id, member_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (organization_id, member_id, conversation_id, message_seq) WHERE marked_at IS NULL;
CREATE INDEX notifications_conversation ON notifications (organization_id, conversation_id) WHERE conversation_id IS NOT NULL;
CREATE INDEX notifications_message ON notifications (organization_id, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX notifications_actor ON notifications (organization_id, actor_id) WHERE actor_id IS NOT NULL;
CREATE INDEX notifications_created_by ON notifications (organization_id, created_by) WHERE created_by IS NOT NULL;
SELECT stoa_wall('notifications');
