-- What there is of channels becomes groups.
ALTER TABLE conversations DROP COLUMN visibility;
ALTER TABLE conversations DROP CONSTRAINT conversations_kind_check;
ALTER TABLE conversations NO FORCE ROW LEVEL SECURITY;
UPDATE conversations SET kind = 'group' WHERE kind = 'channel';
ALTER TABLE conversations FORCE ROW LEVEL SECURITY;
ALTER TABLE conversations ADD CONSTRAINT conversations_kind_check CHECK (kind IN ('direct', 'group'));
