-- What nodes believe of a session or an API key they believe until something that it rests on is named here. Readers
-- compare snapshots and not numbers, so that who commits late is seen as well (src/platform/standing/endings.rs).
CREATE TABLE endings (
  xid     bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
  subject uuid NOT NULL,
  at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (xid, subject)
);
COMMENT ON TABLE endings IS 'What has ended or changed of what sessions and API keys rest on. Kept for an hour.';
COMMENT ON COLUMN endings.xid IS 'The transaction that did it.';
COMMENT ON COLUMN endings.subject IS 'An organization, a user, a member, a session or an API key.';
CREATE INDEX endings_at ON endings (at);
ALTER TABLE endings ENABLE ROW LEVEL SECURITY;
ALTER TABLE endings FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_endings ON endings USING ((SELECT stoa_worker()));
-- The triggers below write with the rights of whoever changes something.
CREATE POLICY anybodys_endings ON endings FOR INSERT WITH CHECK (true);

-- Notes the row's column that the trigger names; once in a transaction is enough.
CREATE FUNCTION note_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO endings (subject) VALUES ((to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[0])::uuid) ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;

CREATE TRIGGER user_ends AFTER UPDATE ON users FOR EACH ROW
  WHEN ((OLD.password_changes, OLD.disabled_at, OLD.email_verified_at)
    IS DISTINCT FROM (NEW.password_changes, NEW.disabled_at, NEW.email_verified_at))
  EXECUTE FUNCTION note_ending('id');

CREATE TRIGGER organization_ends AFTER UPDATE ON organizations FOR EACH ROW
  WHEN ((OLD.suspended_at, OLD.deleted_at, OLD.require_verified_email, OLD.time_zone, OLD.currency)
    IS DISTINCT FROM (NEW.suspended_at, NEW.deleted_at, NEW.require_verified_email, NEW.time_zone, NEW.currency))
  EXECUTE FUNCTION note_ending('id');
CREATE TRIGGER organization_goes AFTER DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION note_ending('id');

CREATE TRIGGER member_ends AFTER UPDATE ON memberships FOR EACH ROW
  WHEN ((OLD.user_id, OLD.role, OLD.custom_role_id, OLD.status)
    IS DISTINCT FROM (NEW.user_id, NEW.role, NEW.custom_role_id, NEW.status))
  EXECUTE FUNCTION note_ending('id');
CREATE TRIGGER member_goes AFTER DELETE ON memberships FOR EACH ROW EXECUTE FUNCTION note_ending('id');
-- Whom others lead has changed: anybody's TEAM permissions may reach elsewhere.
CREATE TRIGGER line_changes AFTER UPDATE ON memberships FOR EACH ROW
  WHEN (OLD.manager_id IS DISTINCT FROM NEW.manager_id) EXECUTE FUNCTION note_ending('organization_id');
CREATE TRIGGER line_grows AFTER INSERT ON memberships FOR EACH ROW
  WHEN (NEW.manager_id IS NOT NULL) EXECUTE FUNCTION note_ending('organization_id');
CREATE TRIGGER leader_changes AFTER UPDATE ON teams FOR EACH ROW
  WHEN (OLD.leader_id IS DISTINCT FROM NEW.leader_id) EXECUTE FUNCTION note_ending('organization_id');
CREATE TRIGGER team_changes AFTER INSERT OR UPDATE OR DELETE ON team_members FOR EACH ROW
  EXECUTE FUNCTION note_ending('organization_id');

CREATE TRIGGER role_changes AFTER UPDATE ON roles FOR EACH ROW
  WHEN ((OLD.name, OLD.permissions, OLD.deleted_at) IS DISTINCT FROM (NEW.name, NEW.permissions, NEW.deleted_at))
  EXECUTE FUNCTION note_ending('organization_id');

CREATE TRIGGER session_ends AFTER UPDATE ON sessions FOR EACH ROW
  WHEN ((OLD.member_id, OLD.revoked_at, OLD.password_changes)
      IS DISTINCT FROM (NEW.member_id, NEW.revoked_at, NEW.password_changes)
    OR NEW.expires_at < OLD.expires_at)
  EXECUTE FUNCTION note_ending('id');
CREATE TRIGGER session_goes AFTER DELETE ON sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS NULL AND OLD.expires_at > now()) EXECUTE FUNCTION note_ending('id');

CREATE TRIGGER api_key_ends AFTER UPDATE ON api_keys FOR EACH ROW
  WHEN ((OLD.owner_id, OLD.hash, OLD.previous_hash, OLD.previous_until, OLD.permissions, OLD.expires_at, OLD.revoked_at)
    IS DISTINCT FROM (NEW.owner_id, NEW.hash, NEW.previous_hash, NEW.previous_until, NEW.permissions, NEW.expires_at,
      NEW.revoked_at))
  EXECUTE FUNCTION note_ending('id');
CREATE TRIGGER api_key_goes AFTER DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION note_ending('id');

-- Now, and not with the other rights after all migrations: requests go on meanwhile.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stoa_request') THEN
    GRANT INSERT ON endings TO stoa_request;
  END IF;
END $$;
