DO $$
DECLARE
  organization uuid;
BEGIN
  PERFORM set_config('stoa.worker', 'on', true);
  FOR organization IN SELECT id FROM organizations LOOP
    PERFORM set_config('stoa.organization', organization::text, true);
    UPDATE messages SET kind = 'text' WHERE organization_id = organization AND kind = 'file';
  END LOOP;
END $$;
