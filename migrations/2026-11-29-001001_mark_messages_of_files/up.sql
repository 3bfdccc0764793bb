-- Those that say nothing bring files along. Only their rows are held, and nobody waits for them: of one organization after the
-- other, since the wall is forced on its owner too.
DO $$
DECLARE
  organization uuid;
BEGIN
  PERFORM set_config('stoa.worker', 'on', true);
  FOR organization IN SELECT id FROM organizations LOOP
    PERFORM set_config('stoa.organization', organization::text, true);
    UPDATE messages SET kind = 'file' WHERE organization_id = organization AND body = '';
  END LOOP;
END $$;
ALTER TABLE messages VALIDATE CONSTRAINT messages_kind_check;
ALTER TABLE messages VALIDATE CONSTRAINT messages_system_check;
