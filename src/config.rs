//! Every setting, one struct a concern. Defaults run; a file, the environment and flags override them in
//! this order. Invariant: a value that reaches the rest of Stoa has been checked.

use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// All settings.
#[derive(Clone, Debug, Deserialize)]
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
    pub database: DatabaseConfig,
    pub http: HttpConfig,
    pub socket: SocketConfig,
    pub documents: DocumentConfig,
    pub events: EventConfig,
    pub identity: IdentityConfig,
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            data_dir: ".stoa".into(),
            production: false,
            demo: false,
            database: DatabaseConfig::default(),
            http: HttpConfig::default(),
            socket: SocketConfig::default(),
            documents: DocumentConfig::default(),
            events: EventConfig::default(),
            identity: IdentityConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// The database and the pool.
#[derive(Clone, Debug, Deserialize)]
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

/// HTTP.
#[derive(Clone, Debug, Deserialize)]
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

/// WebSockets.
#[derive(Clone, Debug, Deserialize)]
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

/// What a GraphQL document may be.
#[derive(Clone, Debug, Deserialize)]
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

/// The event log and its feeds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventConfig {
    /// Events kept in memory per live stream.
    pub ring: usize,
    /// How often heads are compared with the database, in milliseconds (± 20 %).
    pub sweep_ms: u64,
    /// Events that may wait for one subscriber before it has to read them itself.
    pub queue: usize,
}

impl Default for EventConfig {
    fn default() -> Self {
        EventConfig { ring: 256, sweep_ms: 5000, queue: 256 }
    }
}

/// Sign-in and tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// The `iss` of access tokens.
    pub issuer: String,
    /// The Ed25519 key that signs access tokens: PEM (PKCS#8), or the path of a file with it; none:
    /// `keys/access.pem` in the data directory, made there outside production.
    pub signing_key: Option<Secret>,
    pub access_token_seconds: u64,
    pub refresh_token_seconds: u64,
    /// Whether strangers may register an organization.
    pub registration: bool,
    /// Password hashes computed at once; 0: half as many as there are cores, so that the rest goes on.
    pub hashers: usize,
    /// Sign-ins waiting to be hashed at most; more are told 429.
    pub hash_queue: usize,
    /// Memory of one password hash in KiB (OWASP: at least 19456).
    pub argon2_memory_kib: u32,
    /// Passes of one password hash (OWASP: at least 2 with 19 MiB).
    pub argon2_passes: u32,
    /// Failed sign-ins per account before it is locked.
    pub max_failures: u32,
    /// How long an account stays locked, in seconds.
    pub lock_seconds: u64,
    /// Sign-in attempts per address and minute.
    pub sign_ins_per_minute: u32,
    /// Sessions of one member at once; a further sign-in ends the oldest.
    pub max_sessions: u32,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        IdentityConfig {
            issuer: "stoa".into(),
            signing_key: None,
            access_token_seconds: 15 * 60,
            refresh_token_seconds: 7 * 24 * 3600,
            registration: true,
            hashers: 0,
            hash_queue: 64,
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            max_failures: 10,
            lock_seconds: 15 * 60,
            sign_ins_per_minute: 60,
            max_sessions: 50,
        }
    }
}

/// Logs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `tracing` filter, such as `stoa=debug`; none: `info`.
    pub filter: Option<String>,
    /// `pretty` or `json`; none: pretty on a terminal, JSON otherwise.
    pub format: Option<String>,
}

/// A setting that no log and no error may show.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Secret(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Milliseconds of a setting as a duration.
pub fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}
