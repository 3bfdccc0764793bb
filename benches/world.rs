//! What is measured: a Stoa of the bench's own with its own PostgreSQL (fsync on), and the rows in it.

use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio_postgres::{Client, NoTls};

/// Rows, when all of them are there.
pub const LEADS: u64 = 200_000;
pub const CONTACTS: u64 = 100_000;
pub const ACCOUNTS: u64 = 50_000;
pub const MESSAGES: u64 = 200_000;
pub const CONVERSATIONS: u64 = 1_000;
pub const MEMBERS: u64 = 20;

const EMAIL: &str = "founder@bench.example";
const PASSWORD: &str = "correct horse battery staple 7";

/// A Stoa that answers.
pub struct Stoa {
    process: Child,
    pub address: String,
    /// From the start of the process to its word that it answers.
    pub ready: Duration,
    /// Of that, the time until PostgreSQL answered.
    pub database: Duration,
}

impl Stoa {
    pub fn start(program: &Path, data_dir: &Path, demo: bool) -> Self {
        let log = data_dir.join("stoa.log");
        fs::create_dir_all(data_dir).expect("a folder");
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("STOA_") || name == "DATABASE_URL") {
                command.env_remove(name);
            }
        }
        let settings = [
            ("STOA_LISTEN", "127.0.0.1:0"),
            ("STOA_LOG_FILTER", "warn,stoa::commands::serve=debug"),
            ("STOA_LOG_FORMAT", "json"),
            ("STOA_IDENTITY_SIGN_INS_PER_MINUTE", "100000"),
            ("STOA_IDENTITY_ACCESS_TOKEN_SECONDS", "7200"),
            // The sockets of S1 belong to twenty members.
            ("STOA_SOCKET_MAX_SOCKETS", "1000"),
            ("STOA_HTTP_MAX_CONNECTIONS", "20000"),
        ];
        command.envs(settings).arg("--data-dir").arg(data_dir).args(demo.then_some("--demo"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).expect("a log"));
        let begin = Instant::now();
        let mut process = command.spawn().expect("stoa starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("an output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let ready = begin.elapsed();
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split_once('/'));
        let address = address.unwrap_or_else(|| panic!("stoa does not start: {}", said())).0.to_owned();
        let phase = |line: &str| {
            let entry: Value = serde_json::from_str(line).ok()?;
            let entry = entry.get("fields").cloned().unwrap_or(entry);
            (entry["phase"] == "PostgreSQL").then(|| entry["milliseconds"].as_f64()).flatten()
        };
        let database = said().lines().find_map(phase).unwrap_or(0.0);
        Stoa { process, address, ready, database: Duration::from_secs_f64(database / 1000.0) }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        self.process.wait().expect("an end");
    }
}

impl Drop for Stoa {
    fn drop(&mut self) {
        // After a panic of the bench; PostgreSQL is then taken up by the next start.
        _ = self.process.kill();
    }
}

/// A folder that the user of the cluster can reach.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("stoa-bench-").tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

/// The database behind a Stoa.
pub struct Database {
    /// The folder of its socket.
    pub socket: PathBuf,
    pub postmaster: u32,
    client: Client,
}

impl Database {
    pub async fn of(data_dir: &Path) -> Self {
        let socket = data_dir.canonicalize().expect("a folder").join("postgres");
        let pid = fs::read_to_string(socket.join("postmaster.pid")).expect("a running PostgreSQL");
        let postmaster = pid.lines().next().and_then(|line| line.trim().parse().ok()).expect("a process id");
        let settings = format!("host={} user=postgres dbname=stoa", socket.display());
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        Database { socket, postmaster, client }
    }

    pub async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|fault| panic!("{fault:?} in {sql}"));
    }

    /// Notifications need not follow what stands in the log by now: Stoa would spend the next rounds on what pgbench wrote there.
    pub async fn settle(&self) {
        self.run(
            "INSERT INTO log_places AS p (organization_id, stream_id, follower, seq)
             SELECT organization_id, stream_id, 'notifications', head_seq FROM stream_heads
             ON CONFLICT (organization_id, stream_id, follower) DO UPDATE SET seq = greatest(p.seq, excluded.seq)",
        )
        .await;
    }

    pub async fn text(&self, sql: &str) -> Option<String> {
        self.client.query_opt(sql, &[]).await.expect("sound SQL").map(|row| row.get(0))
    }
}

/// Twelve digits that follow on `ID` in an id of row `number`: all ids have one length, so that all requests have.
pub fn digits(number: u64) -> u64 {
    100_000_000_000 + number
}
/// The ids of leads, contacts, accounts, members, conversations begin so; twelve digits follow.
pub const LEAD: &str = "00000001-0000-7000-8000-";
pub const CONTACT: &str = "00000002-0000-7000-8000-";
pub const ACCOUNT: &str = "00000003-0000-7000-8000-";
pub const MEMBER: &str = "00000004-0000-7000-8000-";
pub const CONVERSATION: &str = "00000005-0000-7000-8000-";

/// The organization that everything belongs to.
pub struct World {
    pub organization: String,
    pub founder: String,
    /// The founder's access token.
    pub token: String,
}

impl World {
    /// Founds the organization, or finds it where an earlier run has left it.
    pub async fn found(address: &str, database: &Database) -> Self {
        let organization = "SELECT id::text FROM organizations WHERE slug = 'bench'";
        if database.text(organization).await.is_none() {
            let input = json!({ "email": EMAIL, "password": PASSWORD, "fullName": "Fay Founder",
                "organizationName": "Bench", "organizationSlug": "bench" });
            let mutation = "mutation($input: RegisterInput!) { register(input: $input) { userErrors { message } session { accessToken } } }";
            ask(address, None, mutation, json!({ "input": input })).await;
            members(database).await;
        }
        let founder = "SELECT id::text FROM memberships WHERE role = 'owner' AND email LIKE '%@bench.example'";
        World {
            organization: database.text(organization).await.expect("an organization"),
            founder: database.text(founder).await.expect("a founder"),
            token: sign_in(address, EMAIL).await,
        }
    }

    /// The access tokens of other members.
    pub async fn members(&self, address: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        for number in 1..MEMBERS {
            tokens.push(sign_in(address, &format!("member{number}@bench.example")).await);
        }
        tokens
    }

    /// Fills the tables up to a part of all rows, between 0 and 1.
    pub async fn fill(&self, database: &Database, part: f64) {
        let there = database.text("SELECT count(*)::text FROM leads").await.and_then(|count| count.parse().ok());
        let (from, upto) = (there.unwrap_or(0), (LEADS as f64 * part) as u64);
        if from >= upto {
            return;
        }
        let range = |all: u64| {
            let scaled = |rows: u64| rows * all / LEADS;
            format!("generate_series({}, {}) AS i", scaled(from), (scaled(upto)).saturating_sub(1))
        };
        let id = |prefix: &str, number: &str| format!("('{prefix}' || ({number} + 100000000000)::text)::uuid");
        let organization = format!("'{}'::uuid", self.organization);
        let founder = format!("'{}'::uuid", self.founder);
        let owner = |salt: u64| id(MEMBER, &format!("1 + (i * 7 + {salt}) % {}", MEMBERS - 1));
        // The newest has the highest number; one every two minutes.
        let time = |all: u64| format!("now() - ({all} - i) * interval '{} seconds'", 120 * LEADS / all);
        // Five contacts each for every fifth account, so that the newest accounts have theirs.
        let accounts = (ACCOUNTS as f64 * part) as u64;
        database
            .run(&format!(
                "INSERT INTO accounts (organization_id, id, name, domain, industry, type, employees, annual_revenue,
                   owner_id, created_by, created_at, updated_at)
                 SELECT {organization}, {id}, 'Account ' || i, 'account' || i || '.example',
                   (ARRAY['software', 'retail', 'health', 'energy'])[1 + i % 4],
                   (ARRAY['prospect', 'customer', 'partner', 'vendor', 'competitor'])[1 + i % 5],
                   i % 5000, (i % 9973) * 1000, {owner}, {founder}, {time}, {time} FROM {rows}",
                id = id(ACCOUNT, "i"),
                owner = owner(0),
                time = time(ACCOUNTS),
                rows = range(ACCOUNTS),
            ))
            .await;
        database
            .run(&format!(
                "INSERT INTO contacts (organization_id, id, first_name, last_name, email, phone, title, account_id,
                   owner_id, created_by, created_at, updated_at)
                 SELECT {organization}, {id}, 'Given' || i % 977, 'Family' || i % 7919, 'contact' || i || '@mail.example',
                   '+49 30 ' || i, 'Head of ' || i % 31, {account}, {owner}, {founder}, {time}, {time} FROM {rows}",
                id = id(CONTACT, "i"),
                account = id(ACCOUNT, &format!("({accounts} - 1 - i % greatest({accounts} * 2 / 5, 1))")),
                owner = owner(3),
                time = time(CONTACTS),
                rows = range(CONTACTS),
            ))
            .await;
        database
            .run(&format!(
                "INSERT INTO leads (organization_id, id, first_name, last_name, email, phone, company, title, source,
                   status, score, industry, annual_revenue, employees, city, country, assigned_to_id, account_id,
                   owner_id, created_by, converted_at, created_at, updated_at)
                 SELECT {organization}, {id}, 'Given' || i % 977, 'Family' || i % 7919, 'lead' || i || '@mail.example',
                   '+49 30 ' || i, 'Company ' || i % 5003, 'Head of ' || i % 31,
                   (ARRAY['web', 'fair', 'call'])[1 + i % 3],
                   (ARRAY['new', 'contacted', 'qualified', 'unqualified', 'converted'])[1 + i % 5], i % 101,
                   (ARRAY['software', 'retail', 'health', 'energy'])[1 + i % 4], (i % 9973) * 100, i % 5000, 'Berlin',
                   'Germany', {assignee}, {account}, {owner}, {founder},
                   CASE WHEN i % 5 = 4 THEN now() END, {time}, {time} FROM {rows}",
                id = id(LEAD, "i"),
                assignee = owner(5),
                account = id(ACCOUNT, &format!("(i * 7919 % {accounts})")),
                owner = owner(11),
                time = time(LEADS),
                rows = range(LEADS),
            ))
            .await;
        if from == 0 {
            database
                .run(&format!(
                    "INSERT INTO conversations (organization_id, id, kind, title, last_seq, last_message_at, created_by)
                     SELECT {organization}, {conversation}, 'group', 'Topic ' || i, {each}, now(), {founder}
                     FROM generate_series(0, {CONVERSATIONS} - 1) AS i;
                     INSERT INTO participants (organization_id, id, conversation_id, member_id)
                     SELECT {organization}, gen_random_uuid(), {conversation}, m.id
                     FROM generate_series(0, {CONVERSATIONS} - 1) AS i, memberships m;
                     INSERT INTO messages (organization_id, id, conversation_id, seq, sender_id, body, created_at)
                     SELECT {organization}, gen_random_uuid(), {conversation}, 1 + m, {sender},
                       'Message ' || m || ' about something that matters to all of us.',
                       now() - ({each} - m) * interval '1 minute'
                     FROM generate_series(0, {CONVERSATIONS} - 1) AS i, generate_series(0, {each} - 1) AS m;
                     ANALYZE conversations, participants, messages",
                    conversation = id(CONVERSATION, "i"),
                    each = MESSAGES / CONVERSATIONS,
                    sender = id(MEMBER, &format!("1 + m % {}", MEMBERS - 1)),
                ))
                .await;
        }
        database.run("VACUUM ANALYZE leads, contacts, accounts, memberships, users").await;
    }
}

/// The founder's colleagues; all have the founder's password.
async fn members(database: &Database) {
    let id = |number: &str| format!("('{MEMBER}' || ({number} + 100000000000)::text)::uuid");
    database
        .run(&format!(
            "INSERT INTO users (id, email, password_hash, full_name)
             SELECT {id}, 'member' || i || '@bench.example', u.password_hash, 'Member ' || i
             FROM generate_series(1, {MEMBERS} - 1) AS i, users u WHERE u.email = '{EMAIL}';
             INSERT INTO memberships (organization_id, id, user_id, name, email, role, joined_at)
             SELECT o.id, {id}, {id}, 'Member ' || i, 'member' || i || '@bench.example',
               CASE WHEN i % 4 = 0 THEN 'manager' ELSE 'sales_rep' END, now()
             FROM generate_series(1, {MEMBERS} - 1) AS i, organizations o WHERE o.slug = 'bench'",
            id = id("i"),
        ))
        .await;
}

async fn sign_in(address: &str, email: &str) -> String {
    let mutation =
        "mutation($input: LoginInput!) { login(input: $input) { userErrors { message } session { accessToken } } }";
    let input = json!({ "email": email, "password": PASSWORD });
    let answer = ask(address, None, mutation, json!({ "input": input })).await;
    let token = answer["data"]["login"]["session"]["accessToken"].as_str();
    token.unwrap_or_else(|| panic!("no sign-in: {answer}")).to_owned()
}

/// The answer to one request, which must not have errors.
pub async fn ask(address: &str, token: Option<&str>, query: &str, variables: Value) -> Value {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let mut connection = super::http::Connection::open(address).await;
    let answer = connection.exchange(&super::http::request(token, &body)).await;
    let answer: Value = serde_json::from_slice(answer).expect("JSON");
    assert!(answer.get("errors").is_none(), "{query}: {answer}");
    answer
}
