//! `DATABASE_URL`: what it may say and how a connection to it is opened. Invariant: no parameter of the URL is
//! silently ignored when it asks for safety.

use super::tls::{self, Roots, Trust};
use crate::error::{Error, Result};
use std::{borrow::Cow, collections::HashMap, future::poll_fn, path::Path, time::Duration};
use tokio::task::JoinHandle;
use tokio_postgres::{
    AsyncMessage, CancelToken, Client, Config, NoTls, Socket,
    config::{Host, SslMode},
    error::SqlState,
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The oldest PostgreSQL that Stoa runs on, as `server_version_num` counts.
const OLDEST: u32 = 140_000;

/// Parameters of libpq that Stoa reads itself.
const TLS_PARAMETERS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// Parameters of libpq that change nothing here and are often in a URL that somebody was given.
const HARMLESS: [&str; 5] = ["gssencmode", "sslsni", "sslcompression", "client_encoding", "fallback_application_name"];

/// A database to connect to. The URL is libpq's: `postgres://user:password@host:port/database?parameters`, a
/// Unix socket's folder percent-encoded as the host; `sslmode` (disable, allow, prefer, require, verify-ca,
/// verify-full), `sslrootcert` (a file, or `system`), `sslcert`, `sslkey` and those of tokio-postgres.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Address {
    /// Reads a URL; the error says what is wrong in it, without the password.
    pub fn parse(url: &str) -> Result<Self> {
        Self::read(url).map_err(|fault| Error::ours(format!("DATABASE_URL: {fault}")))
    }

    fn read(url: &str) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("must begin with postgres://".into());
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut own = HashMap::new();
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if TLS_PARAMETERS.contains(&name) {
                own.insert(name, decode(value));
            } else if !HARMLESS.contains(&name) {
                rest.push(pair);
            }
        }
        let mut config: Config = format!("{place}?{}", rest.join("&")).parse().map_err(explain)?;
        complete(&mut config);
        let tls = read_tls(&mut config, &own)?;
        Ok(Address { config, tls })
    }

    /// The database's name as the URL has it.
    pub fn database(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    /// The same server, another database.
    pub fn with_database(mut self, name: &str) -> Self {
        self.config.dbname(name);
        self
    }

    /// Opens a connection and a task that moves its bytes; the task ends with the connection and closes it when
    /// it is aborted. SERVICE_UNAVAILABLE when nobody answers, a fault of ours when we are turned away.
    pub async fn connect(&self) -> Result<(Client, JoinHandle<()>)> {
        self.connect_hearing(|_| ()).await
    }

    /// As `connect`; what the server says unasked, such as a NOTIFY, is told to `hear`, which must not wait.
    pub async fn connect_hearing(
        &self,
        hear: impl Fn(AsyncMessage) + Clone + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>)> {
        // In boxes: whoever may have to connect, which is everybody, would otherwise carry all of this about.
        let answer = match &self.tls {
            None => Box::pin(open(&self.config, NoTls, hear)).await,
            Some(tls) => match Box::pin(open(&self.config, tls.clone(), hear.clone())).await {
                // As libpq: `prefer` is content with a plain line when TLS, or this user over TLS, is refused.
                Err(fault) if self.config.get_ssl_mode() == SslMode::Prefer && refused(&fault) => {
                    let plain = self.config.clone().ssl_mode(SslMode::Disable).clone();
                    Box::pin(open(&plain, NoTls, hear)).await.map_err(|_| fault)
                }
                answer => answer,
            },
        };
        answer.map_err(fault)
    }

    /// Asks the server to give up the statement that a connection runs.
    pub async fn cancel(&self, statement: CancelToken) {
        let asked = match &self.tls {
            None => statement.cancel_query(NoTls).await,
            Some(tls) => statement.cancel_query(tls.clone()).await,
        };
        if let Err(fault) = asked {
            tracing::debug!(fault = explain(fault), "a statement could not be cancelled");
        }
    }
}

async fn open<T>(
    config: &Config,
    tls: T,
    hear: impl Fn(AsyncMessage) + Send + 'static,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = config.connect(tls).await?;
    let driver = tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(message) => hear(message),
                Err(fault) => {
                    tracing::debug!(fault = explain(fault), "a database connection ended");
                    break;
                }
            }
        }
    });
    Ok((client, driver))
}

/// Defaults as libpq has them, and limits so that a host that is gone is noticed.
fn complete(config: &mut Config) {
    if config.get_hosts().is_empty() {
        let addresses = config.get_hostaddrs().to_vec();
        if !addresses.is_empty() {
            addresses.iter().for_each(|address| _ = config.host(address.to_string()));
        } else if Path::new("/var/run/postgresql").is_dir() {
            config.host_path("/var/run/postgresql");
        } else {
            config.host("localhost");
        }
    }
    if config.get_application_name().is_none() {
        config.application_name("stoa");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(15));
    }
    config.keepalives_idle(config.get_keepalives_idle().min(Duration::from_secs(60)));
}

fn read_tls(config: &mut Config, own: &HashMap<&str, Cow<'_, str>>) -> Result<Option<MakeRustlsConnect>, String> {
    let value = |name| own.get(name).map(|value| &**value).filter(|value| !value.is_empty());
    let roots = value("sslrootcert");
    let system = roots == Some("system");
    let mode = value("sslmode").unwrap_or(if system { "verify-full" } else { "prefer" });
    if system && mode != "verify-full" {
        return Err("sslrootcert=system is only safe with sslmode=verify-full: anybody can get a certificate".into());
    }
    let file = |path: &str| Roots::File(path.to_owned());
    let (mode, trust) = match mode {
        "disable" => (SslMode::Disable, Trust::Anybody),
        "allow" | "prefer" => (SslMode::Prefer, Trust::Anybody),
        "require" => (SslMode::Require, roots.map_or(Trust::Anybody, |path| Trust::Signed(file(path)))),
        "verify-ca" => match roots {
            Some(path) => (SslMode::Require, Trust::Signed(file(path))),
            None => return Err("sslmode=verify-ca needs sslrootcert, the file of the certificate that signs".into()),
        },
        "verify-full" => {
            let roots = roots.filter(|_| !system).map_or(Roots::System, file);
            (SslMode::Require, Trust::Host(roots))
        }
        other => {
            return Err(format!("sslmode is disable, allow, prefer, require, verify-ca or verify-full, not {other:?}"));
        }
    };
    // A Unix socket does not leave the machine; PostgreSQL speaks no TLS there, and libpq does not ask for it.
    let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    config.ssl_mode(if local { SslMode::Disable } else { mode });
    if local || mode == SslMode::Disable {
        return Ok(None);
    }
    let client = match (value("sslcert"), value("sslkey")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("sslcert and sslkey go together".into()),
    };
    tls::connector(trust, client).map(Some)
}

/// Percent-decoding as libpq does it: a plus is a plus.
fn decode(value: &str) -> Cow<'static, str> {
    let value = value.replace('+', "%2B");
    let mut pairs = url::form_urlencoded::parse(value.as_bytes());
    pairs.next().map_or(Cow::Borrowed(""), |(value, _)| Cow::Owned(value.into_owned()))
}

fn refused(fault: &tokio_postgres::Error) -> bool {
    match fault.code() {
        Some(code) => *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => fault.to_string().contains("TLS handshake"),
    }
}

/// Away and worth another try, or turned away: then somebody has to change a setting.
pub(crate) fn fault(fault: tokio_postgres::Error) -> Error {
    let settled = match fault.code() {
        Some(code) => matches!(code.code().get(..2), Some("28" | "3D" | "42" | "22" | "0A")),
        // A certificate that is not believed comes as invalid data; an end of file while the server restarts does not.
        None => match causes(&fault).find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
            Some(cause) => cause.kind() == std::io::ErrorKind::InvalidData,
            None => ["TLS", "authentication"].iter().any(|word| fault.to_string().contains(word)),
        },
    };
    match settled {
        true => Error::ours(format!("PostgreSQL: {}", explain(fault))),
        false => Error::unavailable(format!("PostgreSQL: {}", explain(fault))),
    }
}

/// An error of tokio-postgres with what is behind it: its own words are only "db error".
pub(crate) fn explain(fault: tokio_postgres::Error) -> String {
    if let Some(database) = fault.as_db_error() {
        return database.message().to_owned();
    }
    causes(&fault).map(|cause| cause.to_string()).collect::<Vec<_>>().join(": ")
}

fn causes(fault: &tokio_postgres::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(fault as &(dyn std::error::Error + 'static)), |cause| cause.source())
}

/// Refuses a PostgreSQL that is too old, by its `server_version_num`.
pub(crate) fn check_version(number: u32) -> Result<()> {
    match number {
        OLDEST.. => Ok(()),
        _ => Err(Error::ours(format!("Stoa needs PostgreSQL 14 or newer; this one is {}", number / 10_000))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(url: &str) -> String {
        Address::read(url).err().unwrap_or_default()
    }

    #[test]
    fn tls_modes_mean_what_libpq_means() {
        let mode = |url| {
            let address = Address::read(url).unwrap();
            (address.config.get_ssl_mode(), address.tls.is_some())
        };
        assert_eq!(mode("postgres://h/d"), (SslMode::Prefer, true));
        assert_eq!(mode("postgres://h/d?sslmode=disable"), (SslMode::Disable, false));
        assert_eq!(mode("postgresql://h/d?sslmode=require"), (SslMode::Require, true));
        assert_eq!(mode("postgres://u@%2Ftmp%2Fs/d?sslmode=require"), (SslMode::Disable, false));
        assert!(fault_of("postgres://h/d?sslmode=verify-ca").contains("needs sslrootcert"));
        assert!(fault_of("postgres://h/d?sslmode=require&sslrootcert=system").contains("verify-full"));
        assert!(fault_of("postgres://h/d?sslmode=yes").contains("not \"yes\""));
        assert!(fault_of("postgres://h/d?sslmode=verify-full&sslrootcert=/no%2Fsuch").contains("/no/such"));
        assert!(fault_of("postgres://h/d?sslcert=/a").contains("go together"));
    }

    #[test]
    fn unknown_parameters_are_refused_and_known_ones_kept() {
        assert!(fault_of("postgres://h/d?sslcrl=/x").contains("sslcrl"));
        assert!(fault_of("mysql://h/d").contains("postgres://"));
        assert!(!fault_of("postgres://u:secret@h:99999/d").contains("secret"));
        let address = Address::read("postgres://u:p@h:6432/d?gssencmode=disable&connect_timeout=2").unwrap();
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(2)));
        assert_eq!(address.config.get_application_name(), Some("stoa"));
        assert_eq!(address.database(), Some("d"));
    }

    #[test]
    fn a_plus_stays_a_plus() {
        assert_eq!(decode("/a+b%20c"), "/a+b c");
    }
}
