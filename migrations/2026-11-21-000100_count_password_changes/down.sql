-- The program before knows ended sessions only by the date of their end. All organizations at once, also for an owner of
-- the tables whom the wall holds back.
ALTER TABLE sessions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE memberships NO FORCE ROW LEVEL SECURITY;
UPDATE sessions s SET revoked_at = now(), revoked_because = 'password changed'
FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.organization_id = s.organization_id AND m.id = s.member_id
  AND s.revoked_at IS NULL AND s.password_changes <> u.password_changes;
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
ALTER TABLE sessions DROP COLUMN password_changes;
ALTER TABLE users DROP COLUMN password_changes;
