-- What every later migration builds on: extensions, the role that requests run as, the wall.

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS unaccent;

-- Requests run as a role that owns nothing, so that row level security holds even when Stoa connects as a
-- superuser. Whoever may not create roles connects as a plain owner, for whom FORCE does the same.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stoa_request') THEN
    BEGIN
      CREATE ROLE stoa_request NOLOGIN NOSUPERUSER NOBYPASSRLS;
    EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
    END;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'stoa_request') THEN
    BEGIN
      EXECUTE format('GRANT stoa_request TO %I', current_user);
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO stoa_request', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO stoa_request', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT EXECUTE ON FUNCTIONS TO stoa_request', current_schema());
  END IF;
END $$;

-- Whose rows this connection may see. NULL, and so no row at all, until it is set.
CREATE FUNCTION stoa_organization() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT nullif(current_setting('stoa.organization', true), '')::uuid $$;

-- Who signs in on this connection: opens the user's own memberships and nothing else.
CREATE FUNCTION stoa_user() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT nullif(current_setting('stoa.user', true), '')::uuid $$;

-- Puts a tenant table behind the wall: only rows of the organization that the connection speaks for.
CREATE FUNCTION stoa_wall(tenant_table regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
  EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenant_table);
  EXECUTE format('CREATE POLICY organization_wall ON %s USING (organization_id = (SELECT stoa_organization()))', tenant_table);
END $$;

-- Text as it is compared where case and accents do not count.
CREATE FUNCTION stoa_fold(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
  AS $$ SELECT lower(public.unaccent('public.unaccent'::regdictionary, value)) $$;
