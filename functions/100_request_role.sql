-- Requests run as a role that owns nothing, so that row level security holds even when Stoa connects as a
-- superuser. Whoever may neither make nor take the role connects as a plain owner: FORCE does the same for them.
DO $$
DECLARE
  owned record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stoa_request') THEN
    BEGIN
      CREATE ROLE stoa_request NOLOGIN NOSUPERUSER NOBYPASSRLS;
    EXCEPTION
      -- Another database of this cluster may be making it at this moment.
      WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
    END;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stoa_request') THEN
    RETURN;
  END IF;

  -- To be a member is more than to be allowed to switch only since PostgreSQL 16, where whoever makes a role is a
  -- member that may not.
  IF NOT pg_has_role('stoa_request',
                     CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
    BEGIN
      EXECUTE format('GRANT stoa_request TO %I', current_user);
    EXCEPTION
      WHEN insufficient_privilege THEN NULL;
      WHEN internal_error THEN RAISE NOTICE 'stoa_request is being granted elsewhere: %', SQLERRM;
    END;
  END IF;

  -- Only what we own: extensions bring functions and tables of somebody else, and everybody may call those.
  BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO stoa_request', current_schema());
  EXCEPTION WHEN insufficient_privilege THEN NULL;
  END;
  FOR owned IN
    SELECT c.oid::regclass AS name, c.relkind,
      -- The logs only grow: no request takes anything from them, and none changes what was.
      CASE WHEN c.relname IN ('events', 'login_attempts') THEN 'UPDATE, DELETE' WHEN c.relname IN ('streams', 'stream_heads') THEN 'DELETE' END
        AS refused
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
      AND pg_has_role(c.relowner, 'USAGE') AND c.relname <> '__diesel_schema_migrations'
  LOOP
    IF owned.relkind = 'S' THEN
      EXECUTE format('GRANT USAGE ON SEQUENCE %s TO stoa_request', owned.name);
    ELSE
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO stoa_request', owned.name);
      IF owned.refused IS NOT NULL THEN
        EXECUTE format('REVOKE %s ON %s FROM stoa_request', owned.refused, owned.name);
      END IF;
    END IF;
  END LOOP;
END $$;
