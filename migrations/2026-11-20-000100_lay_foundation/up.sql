-- What every later migration builds on: extensions and the wall. The role that requests run as and its rights are
-- in functions/100_request_role.sql, which runs after every migration.

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS unaccent;

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
