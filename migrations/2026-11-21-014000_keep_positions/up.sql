-- How far each participant has come in a conversation. What a member has marked is theirs at once (`read_seq`); what
-- everybody is told (`last_read_seq`) moves with the event that tells it, so that a snapshot and the events behind it
-- are what a fresh look shows. A position is moved in place: hence the room in the pages.
ALTER TABLE participants
  ADD COLUMN joined_seq        bigint NOT NULL DEFAULT 0,
  ADD COLUMN read_seq          bigint NOT NULL DEFAULT 0,
  ADD COLUMN read_at           timestamptz,
  ADD COLUMN delivered_seq     bigint NOT NULL DEFAULT 0,
  ADD COLUMN delivered_at      timestamptz,
  ADD COLUMN last_read_seq     bigint NOT NULL DEFAULT 0,
  ADD COLUMN last_read_at      timestamptz,
  ADD COLUMN last_delivered_seq bigint NOT NULL DEFAULT 0,
  ADD COLUMN last_delivered_at timestamptz,
  SET (fillfactor = 80);
COMMENT ON COLUMN participants.joined_seq IS 'The newest message when they joined: what is up to it is not new to them, and has no receipts of theirs.';
COMMENT ON COLUMN participants.read_seq IS 'The last message that they have read, as they know it; never goes back.';
COMMENT ON COLUMN participants.delivered_seq IS 'The last message that has reached one of their devices, as they know it; never goes back.';
COMMENT ON COLUMN participants.last_read_seq IS 'As far as the log tells of read_seq.';
COMMENT ON COLUMN participants.last_delivered_seq IS 'As far as the log tells of delivered_seq.';

-- What there was before anybody counted is not new. The wall is forced on its owner too, who has no organization here.
ALTER TABLE participants NO FORCE ROW LEVEL SECURITY;
ALTER TABLE conversations NO FORCE ROW LEVEL SECURITY;
UPDATE participants p
SET joined_seq = c.last_seq, read_seq = c.last_seq, delivered_seq = c.last_seq, last_read_seq = c.last_seq,
  last_delivered_seq = c.last_seq
FROM conversations c WHERE c.organization_id = p.organization_id AND c.id = p.conversation_id AND c.last_seq > 0;
ALTER TABLE conversations FORCE ROW LEVEL SECURITY;
ALTER TABLE participants FORCE ROW LEVEL SECURITY;

CREATE TABLE position_advances (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  conversation_id uuid NOT NULL,
  member_id       uuid NOT NULL,
  kind            text NOT NULL CHECK (kind IN ('read', 'delivered')),
  upto_seq        bigint NOT NULL,
  at              timestamptz NOT NULL,
  PRIMARY KEY (organization_id, conversation_id, member_id, kind, upto_seq),
  FOREIGN KEY (organization_id, conversation_id, member_id)
    REFERENCES participants (organization_id, conversation_id, member_id) ON DELETE CASCADE
);
COMMENT ON TABLE position_advances IS 'Who came how far, and when: a message was read at the first advance of that kind at or above it. Reading is delivery, too.';
SELECT stoa_wall('position_advances');
