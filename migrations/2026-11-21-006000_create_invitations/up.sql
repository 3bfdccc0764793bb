CREATE TABLE invitations (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  email           text NOT NULL,
  role            text NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'sales_rep', 'support', 'member', 'guest')),
  token_hash      bytea NOT NULL,
  expires_at      timestamptz NOT NULL,
  accepted_at     timestamptz,
  revoked_at      timestamptz,
  member_id       uuid,
  created_by      uuid NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
COMMENT ON TABLE invitations IS 'Who may become a member: whoever has the token that was mailed to them, once.';
COMMENT ON COLUMN invitations.token_hash IS 'SHA-256 of the token in the newest mail.';
COMMENT ON COLUMN invitations.member_id IS 'Who they became.';
COMMENT ON COLUMN invitations.created_by IS 'Who invites. While they may not give the role, nobody can accept.';
CREATE UNIQUE INDEX invitations_open ON invitations (organization_id, email)
  WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX invitations_newest ON invitations (organization_id, created_at DESC, id DESC);
CREATE INDEX invitations_email ON invitations (organization_id, email, id);
CREATE INDEX invitations_member ON invitations (organization_id, member_id) WHERE member_id IS NOT NULL;
CREATE INDEX invitations_created_by ON invitations (organization_id, created_by);
SELECT stoa_wall('invitations');
