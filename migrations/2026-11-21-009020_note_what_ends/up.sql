-- What every node believes of sessions for up to a second, and must not any more. Noted by the database itself, so that
-- whatever ends a session, on whatever node or from a shell, is heard of by all within a quarter of a second.
CREATE TABLE endings (
  id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  subject uuid NOT NULL,
  at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE endings IS 'Sessions, members, users and organizations of which something has changed that a session stands on.';
COMMENT ON COLUMN endings.subject IS 'Their id.';
CREATE INDEX endings_at ON endings (at);

CREATE FUNCTION note_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO endings (subject) VALUES (NEW.id);
  RETURN NULL;
END $$;
-- Of a manager the permissions of all above and below change.
CREATE FUNCTION note_ending_of_team() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO endings (subject) VALUES (NEW.organization_id);
  RETURN NULL;
END $$;

CREATE TRIGGER sessions_end AFTER UPDATE OF revoked_at ON sessions FOR EACH ROW
  WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at) EXECUTE FUNCTION note_ending();
CREATE TRIGGER memberships_end AFTER UPDATE OF role, status ON memberships FOR EACH ROW
  WHEN ((OLD.role, OLD.status) IS DISTINCT FROM (NEW.role, NEW.status)) EXECUTE FUNCTION note_ending();
CREATE TRIGGER teams_end AFTER UPDATE OF manager_id ON memberships FOR EACH ROW
  WHEN (OLD.manager_id IS DISTINCT FROM NEW.manager_id) EXECUTE FUNCTION note_ending_of_team();
CREATE TRIGGER users_end AFTER UPDATE OF password_changes, disabled_at, email_verified_at ON users FOR EACH ROW
  WHEN ((OLD.password_changes, OLD.disabled_at, OLD.email_verified_at)
    IS DISTINCT FROM (NEW.password_changes, NEW.disabled_at, NEW.email_verified_at)) EXECUTE FUNCTION note_ending();
CREATE TRIGGER organizations_end
  AFTER UPDATE OF suspended_at, deleted_at, require_verified_email, time_zone, currency ON organizations FOR EACH ROW
  WHEN ((OLD.suspended_at, OLD.deleted_at, OLD.require_verified_email, OLD.time_zone, OLD.currency)
    IS DISTINCT FROM (NEW.suspended_at, NEW.deleted_at, NEW.require_verified_email, NEW.time_zone, NEW.currency))
  EXECUTE FUNCTION note_ending();
