-- What earlier versions cannot read of a message: its body still says it. The wall is forced on its owner too, who has no
-- organization here.
ALTER TABLE messages NO FORCE ROW LEVEL SECURITY;
UPDATE messages SET system = NULL WHERE system->>'event' IN ('avatar_changed', 'avatar_removed');
ALTER TABLE messages FORCE ROW LEVEL SECURITY;
ALTER TABLE conversations DROP COLUMN avatar;
