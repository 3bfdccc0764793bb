//! Every setting, one struct a concern. Defaults run; a file, the environment and flags override them in
//! this order (`config/load.rs`). Invariant: a value that reaches the rest of Stoa has been checked.
//!
//! A new setting is a field here with its default, a range in its struct's `check`, and its lines in
//! `config.default.toml`; the name in the file, the environment variable and the suggestions follow from the
//! field. Tests fail when one of the three is missing.

mod api_keys;
mod check;
mod files;
mod identity;
mod jobs;
mod load;
mod mail;
mod oidc;
mod presence;
mod redis;
mod secret;
#[cfg(test)]
mod tests;

pub use self::redis::RedisConfig;
pub use api_keys::ApiKeyConfig;
pub use check::Fault;
pub use files::FileConfig;
pub use identity::IdentityConfig;
pub use jobs::JobConfig;
pub use load::{Flag, Loaded, Origin, Sources, load};
pub use mail::{MailConfig, MailTransport, SmtpSecurity};
pub use oidc::{OidcProvider, is_safe};
pub use presence::PresenceConfig;
pub use secret::Secret;

use check::Check;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where Stoa keeps what it writes: the embedded cluster, keys, files.
    pub data_dir: PathBuf,
    /// Refuses what is only good for trying out: generated keys, the explorer, demo data.
    pub production: bool,
    /// Fills an empty database with demo organizations whose passwords everybody knows.
    pub demo: bool,
    /// Threads that serve requests; 0: as many as there are cores.
    pub workers: usize,
    /// What links in mails begin with; none: `http://` and `listen`.
    pub public_url: Option<String>,
    pub database: DatabaseConfig,
    pub postgres: PostgresConfig,
    pub redis: RedisConfig,
    pub http: HttpConfig,
    pub socket: SocketConfig,
    pub documents: DocumentConfig,
    pub events: EventConfig,
    pub presence: PresenceConfig,
    pub identity: IdentityConfig,
    pub api_keys: ApiKeyConfig,
    pub jobs: JobConfig,
    pub mail: MailConfig,
    pub files: FileConfig,
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            data_dir: ".stoa".into(),
            production: false,
            demo: false,
            workers: 0,
            public_url: None,
            database: DatabaseConfig::default(),
            postgres: PostgresConfig::default(),
            redis: RedisConfig::default(),
            http: HttpConfig::default(),
            socket: SocketConfig::default(),
            documents: DocumentConfig::default(),
            events: EventConfig::default(),
            presence: PresenceConfig::default(),
            identity: IdentityConfig::default(),
            api_keys: ApiKeyConfig::default(),
            jobs: JobConfig::default(),
            mail: MailConfig::default(),
            files: FileConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// What a position of an inbox takes in a message, in bytes, with some to spare for the rest of it.
const POSITION: usize = 100;

impl Config {
    /// Everything about these settings that is wrong: values out of range, and pairs that cannot be together.
    pub fn check(&self) -> Vec<Fault> {
        let mut check = Check::default();
        check.within("workers", self.workers, 0..=1024);
        check.that("data_dir", !self.data_dir.as_os_str().is_empty(), "must name a folder");
        check.that(
            "demo",
            !(self.demo && self.production),
            "cannot be together with production: everybody knows the demo passwords",
        );
        let is_base = |url: &String| check::is_web_url(url) && !url.ends_with('/');
        check.that(
            "public_url",
            self.public_url.as_ref().is_none_or(is_base),
            "must look like https://stoa.example.com, without a slash at the end",
        );
        let sends = self.mail.transport != MailTransport::File;
        check.that(
            "public_url",
            !(self.production && sends && self.public_url.is_none()),
            "is needed in production, where mails are sent: their links begin with it",
        );
        self.database.check(check.section("database"));
        self.redis.check(check.section("redis"));
        check.that(
            "events.inbox",
            self.events.inbox <= self.socket.max_message / POSITION,
            format!("must be at most socket.max_message / {POSITION}: who comes back names all of them in one message"),
        );
        self.http.check(check.section("http"));
        self.socket.check(check.section("socket"));
        self.documents.check(check.section("documents"));
        self.events.check(check.section("events"));
        self.presence.check(check.section("presence"));
        self.identity.check(check.section("identity"), self.production);
        self.api_keys.check(check.section("api_keys"));
        self.jobs.check(check.section("jobs"));
        self.mail.check(check.section("mail"));
        self.files.check(check.section("files"));
        self.log.check(check.section("log"));
        check.faults()
    }

    /// What links in mails begin with.
    pub fn base_url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

/// The database and the pool.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://…`; none: the embedded PostgreSQL.
    pub url: Option<String>,
    /// Connections at most.
    pub pool: usize,
    /// How long a request waits for a connection before it is told 503.
    pub wait_ms: u64,
    /// How long one statement may take.
    pub statement_timeout_ms: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        DatabaseConfig { url: None, pool: 16, wait_ms: 900, statement_timeout_ms: 10_000 }
    }
}

impl DatabaseConfig {
    fn check(&self, check: &mut Check) {
        let is_postgres = |url: &String| check::is_postgres_url(url);
        check.that("url", self.url.as_ref().is_none_or(is_postgres), "must look like postgres://user@host:5432/name");
        check.within("pool", self.pool, 1..=1000);
        check.within("wait_ms", self.wait_ms, 10..=60_000);
        check.within("statement_timeout_ms", self.statement_timeout_ms, 10..=3_600_000);
    }
}

/// The embedded PostgreSQL.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresConfig {
    /// The folder of `postgres` and `initdb`; none: the newest that is found.
    pub bin: Option<PathBuf>,
}

/// HTTP.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// A request's body at most, in bytes.
    pub max_body: usize,
    /// Operations in a batch at most.
    pub max_batch: usize,
    /// How long an operation may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long a stop waits for requests in flight, in milliseconds.
    pub drain_ms: u64,
    /// Requests worked on at once; more are told 503 at once.
    pub max_in_flight: usize,
    /// Connections at once, sockets and event streams among them; more wait to be accepted.
    pub max_connections: usize,
    /// Event streams (SSE) at once of one session, or of one address where nobody has signed in.
    pub max_streams: usize,
    /// Origins that browsers may call from; `*` for any (without cookies).
    pub cors_origins: Vec<String>,
    /// Proxies (addresses or CIDR blocks) whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Whether `/graphql` in a browser shows GraphiQL; none: only outside production.
    pub graphiql: Option<bool>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            max_body: 1024 * 1024,
            max_batch: 10,
            timeout_ms: 15_000,
            drain_ms: 10_000,
            max_in_flight: 1024,
            max_connections: 10_000,
            max_streams: 100,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            graphiql: None,
        }
    }
}

impl HttpConfig {
    fn check(&self, check: &mut Check) {
        check.within("max_body", self.max_body, 1024..=1 << 30);
        check.within("max_batch", self.max_batch, 1..=1000);
        check.within("timeout_ms", self.timeout_ms, 10..=3_600_000);
        check.within("drain_ms", self.drain_ms, 0..=600_000);
        check.within("max_in_flight", self.max_in_flight, 1..=1_000_000);
        check.within("max_connections", self.max_connections, 1..=10_000_000);
        check.within("max_streams", self.max_streams, 1..=100_000);
        for origin in &self.cors_origins {
            let message = format!("\"{origin}\" is not an origin such as https://app.example.com, nor *");
            check.that("cors_origins", origin == "*" || check::is_origin(origin), message);
        }
        for proxy in &self.trusted_proxies {
            let message = format!("\"{proxy}\" is not an address such as 10.0.0.7, nor a block such as 10.0.0.0/8");
            check.that("trusted_proxies", check::is_block(proxy), message);
        }
    }
}

/// WebSockets.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketConfig {
    /// A message at most, in bytes.
    pub max_message: usize,
    /// Operations at once on one socket.
    pub max_operations: usize,
    /// Sockets at once of one session.
    pub max_sockets: usize,
    /// Messages per second that one socket may send for long.
    pub messages_per_second: u32,
    /// Messages that one socket may send at once.
    pub message_burst: u32,
    /// How long a socket may stay without `connection_init`, in milliseconds.
    pub init_timeout_ms: u64,
    /// How often the server pings, in milliseconds; two missed pongs close the socket.
    pub ping_ms: u64,
    /// How long a write may stall before the socket is closed, in milliseconds.
    pub write_timeout_ms: u64,
    /// Answers waiting for one socket at most.
    pub queue: usize,
}

impl Default for SocketConfig {
    fn default() -> Self {
        SocketConfig {
            max_message: 256 * 1024,
            max_operations: 500,
            max_sockets: 20,
            messages_per_second: 50,
            message_burst: 1000,
            init_timeout_ms: 10_000,
            ping_ms: 25_000,
            write_timeout_ms: 10_000,
            queue: 256,
        }
    }
}

impl SocketConfig {
    fn check(&self, check: &mut Check) {
        check.within("max_message", self.max_message, 1024..=64 << 20);
        check.within("max_operations", self.max_operations, 1..=100_000);
        check.within("max_sockets", self.max_sockets, 1..=100_000);
        check.within("messages_per_second", self.messages_per_second, 1..=1_000_000);
        check.within("message_burst", self.message_burst, 1..=1_000_000);
        check.within("init_timeout_ms", self.init_timeout_ms, 10..=600_000);
        check.within("ping_ms", self.ping_ms, 10..=600_000);
        check.within("write_timeout_ms", self.write_timeout_ms, 10..=600_000);
        check.within("queue", self.queue, 1..=65_536);
    }
}

/// What a GraphQL document may be.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentConfig {
    pub max_tokens: usize,
    /// Brackets within brackets.
    pub max_nesting: usize,
    /// Selections after fragments are spread.
    pub max_selections: usize,
    pub max_depth: usize,
    pub max_aliases: usize,
    pub max_root_fields: usize,
    /// Directives on one field.
    pub max_directives: usize,
    pub max_cost: u64,
    /// Parsed documents kept.
    pub cache: usize,
    /// Whether clients may ask what the schema is.
    pub introspection: bool,
}

impl Default for DocumentConfig {
    fn default() -> Self {
        DocumentConfig {
            max_tokens: 5000,
            max_nesting: 64,
            max_selections: 5000,
            max_depth: 16,
            max_aliases: 50,
            max_root_fields: 20,
            max_directives: 5,
            max_cost: 10_000,
            cache: 1000,
            introspection: true,
        }
    }
}

impl DocumentConfig {
    fn check(&self, check: &mut Check) {
        check.within("max_tokens", self.max_tokens, 10..=1_000_000);
        // Parsers recurse: some 400 levels end the process.
        check.within("max_nesting", self.max_nesting, 1..=200);
        check.within("max_selections", self.max_selections, 1..=1_000_000);
        check.within("max_depth", self.max_depth, 1..=100);
        check.within("max_aliases", self.max_aliases, 0..=100_000);
        check.within("max_root_fields", self.max_root_fields, 1..=10_000);
        check.within("max_directives", self.max_directives, 0..=1000);
        check.within("max_cost", self.max_cost, 1..=1_000_000_000);
        check.within("cache", self.cache, 0..=1_000_000);
    }
}

/// The event log and its feeds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventConfig {
    /// Events kept in memory per live stream.
    pub ring: usize,
    /// How often heads are compared with the database, in milliseconds (a fifth less to a tenth more).
    pub sweep_ms: u64,
    /// Events that may wait for one subscriber before it has to read them itself.
    pub queue: usize,
    /// Conversations that one subscription of an inbox follows at most; each takes about a kilobyte. Whoever comes back names them
    /// all in one message: `POSITION` bytes each of `socket.max_message`.
    pub inbox: usize,
    /// Days that events can be replayed, and messages in them are kept.
    pub keep_days: u16,
}

impl Default for EventConfig {
    fn default() -> Self {
        EventConfig { ring: 256, sweep_ms: 5000, queue: 256, inbox: 2500, keep_days: 90 }
    }
}

impl EventConfig {
    fn check(&self, check: &mut Check) {
        check.within("ring", self.ring, 1..=65_536);
        check.within("inbox", self.inbox, 1..=100_000);
        check.within("keep_days", self.keep_days, 1..=3650);
        check.within("sweep_ms", self.sweep_ms, 10..=600_000);
        check.within("queue", self.queue, 1..=65_536);
    }
}

/// Logs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `tracing` filter, such as `stoa=debug`; none: `info`.
    pub filter: Option<String>,
    /// `pretty` or `json`; none: pretty on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
}

impl LogConfig {
    fn check(&self, check: &mut Check) {
        let reads = |filter: &String| tracing_subscriber::EnvFilter::builder().parse(filter).is_ok();
        check.that("filter", self.filter.as_ref().is_none_or(reads), "must be a filter such as info,stoa=debug");
    }
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line, for machines.
    Json,
}

/// Milliseconds of a setting as a duration.
pub fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}
