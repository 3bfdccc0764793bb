//! The wall as PostgreSQL's catalog knows it: every tenant table begins its keys with the organization, refers within
//! it, and is behind row level security that the role of requests cannot step over.

use crate::kit::{connect, database, server};
use tokio_postgres::Client;

/// Tables that belong to no organization. Whoever adds one says here why.
const GLOBAL: &[&str] = &[
    // The tenants themselves: behind a policy on `id`.
    "organizations",
    // People, whatever organizations they belong to: read by id of the caller or by address at sign-in.
    "users",
    // Tokens mailed to people, and those of their devices: found by their hash alone.
    "user_tokens",
    "devices",
    // Who people are at other providers: found by the provider's name for them, or by the caller's id.
    "user_identities",
    // Sign-ins by a provider that strangers have begun: found by their hash alone.
    "oidc_attempts",
    // Who tried to sign in, also to no account: read by the caller's own user id, and removed by age.
    "login_attempts",
    // What recurs on this server: seen by its worker only.
    "schedules",
    // What has ended of what sessions rest on, also of people: ids alone, written by triggers, seen by nodes only.
    "endings",
    // diesel's own; the role of requests has no right to it.
    "__diesel_schema_migrations",
];

/// Tables some of whose rows belong to no organization, so that their key is the id alone. In all else they stand behind
/// the wall like others.
const PARTLY_GLOBAL: [&str; 1] = [
    // The mail of somebody who has no organization, and upkeep.
    "jobs",
];

/// Tables that refer to their organization by value only; their migration says why.
const WITHOUT_KEYS: [&str; 2] = ["events", "stream_heads"];

/// What `fault` selects must be nothing; each row is a fault in words.
async fn none(client: &Client, fault: &str, parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Vec<String> {
    client.query(fault, parameters).await.expect("sound SQL").iter().map(|row| row.get(0)).collect()
}

/// All faults of the catalog, each with the name of the table.
async fn faults(client: &Client) -> Vec<String> {
    let (global, without_keys) = (GLOBAL.to_vec(), WITHOUT_KEYS.to_vec());
    let tenants = "
        WITH tenants AS (
            SELECT c.oid, c.relname::text AS name, c.relrowsecurity, c.relforcerowsecurity, a.attnum AS organization
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p'))";
    let mut faults = none(
        client,
        "SELECT format('%s: has no organization_id and is not among the global tables', c.relname) FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm', 'f') AND c.relname <> ALL($1)
           AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id')
         UNION ALL
         SELECT format('%s: a view runs with its owner''s rights; make it a query', c.relname) FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
        &[&global],
    )
    .await;
    for (fault, condition) in [
        (
            "its primary key does not begin with organization_id",
            "NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary AND i.indkey[0] = t.organization)",
        ),
        (
            "organization_id may be null",
            "NOT (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = t.organization)",
        ),
        ("row level security is not enabled", "NOT t.relrowsecurity"),
        ("row level security is not forced, so that its owner steps over it", "NOT t.relforcerowsecurity"),
        (
            "no policy keeps every command to the organization",
            "NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t.oid AND p.polcmd = '*' AND p.polpermissive
                 AND pg_get_expr(p.polqual, p.polrelid) LIKE '(organization_id = (%stoa_organization()%'
                 AND (p.polwithcheck IS NULL OR p.polwithcheck::text = p.polqual::text))",
        ),
    ] {
        let excepted = ["its primary key", "organization_id may"].iter().any(|excepted| fault.starts_with(excepted));
        let except = if excepted { PARTLY_GLOBAL.to_vec() } else { Vec::new() };
        let sql = format!(
            "{tenants} SELECT name || ': {fault}' FROM tenants t WHERE ({condition}) AND name <> ALL($1) ORDER BY 1"
        );
        faults.extend(none(client, &sql, &[&except]).await);
    }
    // A permissive policy more opens the wall: each is named here with what it opens.
    faults.extend(
        none(
            client,
            "SELECT format('%s: the policy %s is not among those that were reviewed', p.polrelid::regclass, p.polname)
             FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
             WHERE c.relnamespace = 'public'::regnamespace AND p.polname <> 'organization_wall'
               -- Whoever may insert a row of no organization can read none of them.
               AND NOT (c.relname = 'jobs' AND p.polname = 'nobodys_jobs' AND p.polcmd = 'a' AND p.polqual IS NULL
                        AND pg_get_expr(p.polwithcheck, p.polrelid) = '(organization_id IS NULL)')
               AND NOT (c.relname = 'endings' AND p.polname = 'anybodys_endings' AND p.polcmd = 'a' AND p.polqual IS NULL)
               AND (c.relname::text, p.polname::text, p.polcmd::text, coalesce(pg_get_expr(p.polqual, p.polrelid), '')) NOT IN (
                 VALUES ('jobs', 'worker_jobs', '*', '( SELECT stoa_worker() AS stoa_worker)'),
                        ('endings', 'worker_endings', '*', '( SELECT stoa_worker() AS stoa_worker)'),
                        ('schedules', 'worker_schedules', '*', '( SELECT stoa_worker() AS stoa_worker)'),
                        ('organizations', 'worker_organizations', 'r', '( SELECT stoa_worker() AS stoa_worker)'),
                        ('memberships', 'own_memberships', 'r', '(user_id = ( SELECT stoa_user() AS stoa_user))'),
                        ('organizations', 'own_organizations', 'r', pg_get_expr(
                           (SELECT o.polqual FROM pg_policy o WHERE o.polname = 'own_organizations'
                             AND o.polrelid = 'organizations'::regclass), 'organizations'::regclass)))",
            &[],
        )
        .await,
    );
    // The organization itself, and what only the worker sees.
    faults.extend(
        none(
            client,
            "SELECT format('%s: not behind row level security', c.relname) FROM pg_class c
             WHERE c.oid IN ('organizations'::regclass, 'schedules'::regclass, 'endings'::regclass)
               AND NOT (c.relrowsecurity AND c.relforcerowsecurity)",
            &[],
        )
        .await,
    );
    let keys = format!(
        "{tenants}, keys AS (
            SELECT k.*, t.name, t.organization,
                   (SELECT string_agg(a.attname, ', ' ORDER BY place) FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
                    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number) AS columns
            FROM pg_constraint k JOIN tenants t ON t.oid = k.conrelid WHERE k.contype = 'f')"
    );
    // A reference to a tenant table takes the organization along, onto the other's organization_id.
    let sql = format!(
        "{keys} SELECT format('%s: (%s) refers to %s without the organization', k.name, k.columns, r.name)
         FROM keys k JOIN tenants r ON r.oid = k.confrelid
         WHERE k.conkey[1] <> k.organization OR k.confkey[1] <> r.organization OR k.confdeltype IN ('n', 'd')
         ORDER BY 1"
    );
    faults.extend(none(client, &sql, &[]).await);
    // Every uuid column that is not a key of its own is a reference, and so has a foreign key.
    let sql = format!(
        "{keys} SELECT format('%s: %s has no foreign key', t.name, a.attname)
         FROM tenants t JOIN pg_attribute a ON a.attrelid = t.oid AND a.atttypid = 'uuid'::regtype AND a.attnum > 0
         WHERE a.attname <> 'id' AND t.name <> ALL($1) AND NOT (t.name = 'streams' AND a.attname = 'stream_id')
           AND NOT EXISTS (SELECT FROM keys k WHERE k.conrelid = t.oid AND a.attnum = ANY(k.conkey)
             AND (a.attnum <> t.organization OR k.confrelid = 'organizations'::regclass))
         ORDER BY 1"
    );
    faults.extend(none(client, &sql, &[&without_keys]).await);
    // Deleting or purging what is referred to looks for what refers to it, by an index that begins with the columns
    // (in whatever order); a partial one serves when it only leaves out NULL, or rows that no longer refer.
    let sql = format!(
        "{keys} SELECT format('%s: no index begins with (%s)', k.name, k.columns) FROM keys k
         WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid
             AND (i.indkey::int2[])[0:array_length(k.conkey, 1) - 1] @> k.conkey
             AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) LIKE '(% IS NOT NULL)'))
         ORDER BY 1"
    );
    faults.extend(none(client, &sql, &[]).await);
    // The role of requests owns nothing, steps over nothing, is nobody else, and cannot see what diesel keeps.
    faults.extend(
        none(
            client,
            "SELECT 'stoa_request bypasses row level security' FROM pg_roles
                WHERE rolname = 'stoa_request' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)
             UNION ALL SELECT 'there is no role stoa_request' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stoa_request')
             UNION ALL SELECT format('stoa_request is a member of %s', roleid::regrole) FROM pg_auth_members
                WHERE member = 'stoa_request'::regrole
             UNION ALL SELECT format('stoa_request owns %s', classid::regclass || ' ' || objid) FROM pg_shdepend
                WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'stoa_request'::regrole AND deptype = 'o'
             UNION ALL SELECT format('stoa_request may do more than read and write rows of %s', c.relname) FROM pg_class c
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                  AND has_table_privilege('stoa_request', c.oid, 'TRUNCATE, REFERENCES, TRIGGER')
             UNION ALL SELECT 'stoa_request may create in the schema'
                WHERE has_schema_privilege('stoa_request', 'public', 'CREATE') AND current_setting('server_version_num')::int >= 150000
             UNION ALL SELECT 'stoa_request sees the list of migrations'
                WHERE has_table_privilege('stoa_request', '__diesel_schema_migrations', 'SELECT')
             UNION ALL SELECT format('%s runs with the rights of its owner', p.oid::regprocedure) FROM pg_proc p
                WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
                  -- The trigger by which an organization's log goes with it: no request may delete what it stands at.
                  AND NOT (p.proname = 'forget_stream' AND p.prorettype = 'trigger'::regtype AND p.proconfig IS NOT NULL)
                  -- Words are no condition that an index may serve under a policy: it keeps the organization and who reads itself.
                  AND NOT (p.proname = 'search_messages' AND p.proconfig IS NOT NULL)
                  -- The ways out of the log: for what is old and in no audit trail, and for what messages said that say it no more.
                  AND NOT (p.proname IN ('trim_stream', 'forget_bodies') AND p.proconfig IS NOT NULL)
                  -- The one way out of the sign-in log, for what is old.
                  AND NOT (p.proname = 'purge_login_attempts' AND p.proconfig IS NOT NULL)",
            &[],
        )
        .await,
    );
    faults
}

#[tokio::test]
async fn every_table_stands_behind_the_wall() {
    let faults = faults(&connect(&server().await.database).await).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The test above can fail: each of these is found, and named.
#[tokio::test]
async fn a_hole_in_the_catalog_is_named() {
    let mut client = connect(&database("holes", "postgres").await).await;
    for (hole, fault) in [
        ("CREATE TABLE loose (id uuid PRIMARY KEY)", "loose: has no organization_id"),
        ("CREATE VIEW peep AS SELECT * FROM leads", "peep: a view"),
        ("ALTER TABLE leads NO FORCE ROW LEVEL SECURITY", "leads: row level security is not forced"),
        ("ALTER TABLE sessions DISABLE ROW LEVEL SECURITY", "sessions: row level security is not enabled"),
        ("DROP POLICY organization_wall ON messages", "messages: no policy"),
        ("CREATE POLICY more ON leads USING (true)", "leads: the policy more"),
        ("ALTER POLICY worker_jobs ON jobs USING (true)", "jobs: the policy worker_jobs"),
        ("ALTER POLICY nobodys_jobs ON jobs WITH CHECK (true)", "jobs: the policy nobodys_jobs"),
        ("CREATE POLICY more ON leads FOR INSERT WITH CHECK (true)", "leads: the policy more"),
        ("ALTER TABLE schedules NO FORCE ROW LEVEL SECURITY", "schedules: not behind row level security"),
        ("ALTER TABLE endings DISABLE ROW LEVEL SECURITY", "endings: not behind row level security"),
        ("ALTER POLICY worker_endings ON endings USING (true)", "endings: the policy worker_endings"),
        ("ALTER POLICY organization_wall ON leads WITH CHECK (true)", "leads: no policy"),
        ("DROP INDEX leads_contact", "leads: no index begins with (organization_id, contact_id)"),
        ("ALTER TABLE leads ADD COLUMN other_id uuid", "leads: other_id has no foreign key"),
        ("ALTER TABLE leads DROP CONSTRAINT leads_pkey CASCADE", "leads: its primary key"),
        (
            "CREATE TABLE pointers (organization_id uuid NOT NULL REFERENCES organizations, id uuid, session_id uuid,
                 PRIMARY KEY (organization_id, id));
             ALTER TABLE refresh_tokens DROP CONSTRAINT refresh_tokens_pkey CASCADE;
             ALTER TABLE sessions ADD UNIQUE (id);
             ALTER TABLE pointers ADD FOREIGN KEY (session_id) REFERENCES sessions (id)",
            "pointers: (session_id) refers to sessions without the organization",
        ),
        ("ALTER TABLE streams OWNER TO stoa_request", "stoa_request owns pg_class"),
        ("ALTER ROLE stoa_request BYPASSRLS", "stoa_request bypasses"),
        ("GRANT TRUNCATE ON leads TO stoa_request", "stoa_request may do more than read and write rows of leads"),
    ] {
        let hidden = client.transaction().await.expect("a transaction");
        hidden.batch_execute(hole).await.unwrap_or_else(|fault| panic!("{hole}: {fault}"));
        let found = faults(hidden.client()).await;
        assert!(found.iter().any(|found| found.contains(fault)), "{hole}: {found:#?}");
        hidden.rollback().await.expect("undone");
    }
}
