CREATE TABLE user_contacts (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  owner_id        uuid NOT NULL,
  member_id       uuid NOT NULL,
  relation        text NOT NULL CHECK (relation IN ('none', 'requested', 'received', 'accepted')),
  blocked_at      timestamptz,
  status          text NOT NULL GENERATED ALWAYS AS (CASE WHEN blocked_at IS NULL THEN relation ELSE 'blocked' END) STORED,
  requested_at    timestamptz,
  nickname        text CHECK (length(nickname) <= 100),
  favourite       boolean NOT NULL DEFAULT false,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, owner_id, member_id),
  FOREIGN KEY (organization_id, owner_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK (owner_id <> member_id)
);
COMMENT ON TABLE user_contacts IS 'Whom members have in their contact lists. A pair has a row for each side; nobody sees the other''s.';
COMMENT ON COLUMN user_contacts.owner_id IS 'Whose list it is.';
COMMENT ON COLUMN user_contacts.relation IS 'How they stand but for a block, which hides it from its owner and changes nothing for the other.';
COMMENT ON COLUMN user_contacts.status IS 'How they stand, as the owner sees it; none: not in the list, the row only remembers.';
COMMENT ON COLUMN user_contacts.requested_at IS 'When the owner last asked; kept when it comes to nothing, so that nobody asks all day.';
CREATE INDEX user_contacts_newest ON user_contacts (organization_id, owner_id, created_at DESC, id DESC);
CREATE INDEX user_contacts_updated ON user_contacts (organization_id, owner_id, updated_at DESC, id DESC);
CREATE INDEX user_contacts_member ON user_contacts (organization_id, member_id);
CREATE INDEX user_contacts_created_by ON user_contacts (organization_id, created_by) WHERE created_by IS NOT NULL;
-- Whom somebody has blocked, and who has blocked them.
CREATE INDEX user_contacts_blocks ON user_contacts (organization_id, owner_id, member_id) WHERE blocked_at IS NOT NULL;
CREATE INDEX user_contacts_blocked ON user_contacts (organization_id, member_id, owner_id) WHERE blocked_at IS NOT NULL;
SELECT stoa_wall('user_contacts');
