CREATE TABLE presences (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  member_id       uuid NOT NULL,
  status          text NOT NULL DEFAULT 'online' CHECK (status IN ('online', 'away', 'do_not_disturb')),
  text            text CHECK (length(text) BETWEEN 1 AND 100),
  expires_at      timestamptz,
  hidden          boolean NOT NULL DEFAULT false,
  hidden_from     uuid[] NOT NULL DEFAULT '{}',
  last_seen_at    timestamptz,
  version         integer NOT NULL DEFAULT 0,
  PRIMARY KEY (organization_id, member_id),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE presences IS 'What members show of themselves. Whether they are here is in no table: nodes know it.';
COMMENT ON COLUMN presences.status IS 'What is shown while the member is here.';
COMMENT ON COLUMN presences.expires_at IS 'From then on as if status were online and text NULL.';
COMMENT ON COLUMN presences.hidden_from IS 'Whom the member has blocked. Follows from user_contacts, under the lock of both members.';
COMMENT ON COLUMN presences.last_seen_at IS 'When the member last came or left; written a moment later, in batches.';
COMMENT ON COLUMN presences.version IS 'Grows with what the member sets; 0: nothing so far.';
SELECT stoa_wall('presences');
