//! The embedded PostgreSQL: what makes `stoa` one command. It is an ordinary PostgreSQL that belongs to one
//! data folder, listens on a private socket and lives as long as Stoa does. Invariant: what was committed is
//! kept, however Stoa or PostgreSQL ends.

mod binaries;
mod cluster;
mod server;
mod user;

use crate::{
    config::Config,
    error::{Error, Result},
    platform::database::address::{self, Address},
};
use cluster::Cluster;
use rustix::process::Signal;
use server::{Phase, Server};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::timeout};

/// The database that Stoa makes and uses.
const DATABASE: &str = "stoa";

/// Between two looks whether PostgreSQL answers.
const POLL: Duration = Duration::from_millis(4);

/// How long a fast shutdown may take before PostgreSQL is stopped without a checkpoint.
const STOP: Duration = Duration::from_secs(20);

/// How long a killed PostgreSQL's last processes may hold its memory.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// Where and how.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedOptions {
    /// Stoa's data folder; the cluster is `postgres` in it.
    pub data_dir: PathBuf,
    /// Settings of PostgreSQL beside those of the cluster, such as `("fsync", "off")` in tests.
    pub settings: Vec<(String, String)>,
    /// The folder of the programs; none: `STOA_POSTGRES_BIN`, or the newest that is installed.
    pub binaries: Option<PathBuf>,
}

/// A running PostgreSQL of our own. Dropped, it is told to stop; `stop` also waits for it.
pub struct Postgres {
    url: String,
    server: Server,
    /// Flushes what `initdb` wrote, once in a cluster's life.
    flush: Option<JoinHandle<()>>,
}

impl Postgres {
    /// The database of the settings: its URL when there is one, or else the embedded PostgreSQL, started.
    pub async fn given_or_embedded(config: &Config) -> Result<(Option<Postgres>, String)> {
        if let Some(url) = &config.database.url {
            return Ok((None, url.clone()));
        }
        let binaries = config.postgres.bin.clone();
        let options = EmbeddedOptions { data_dir: config.data_dir.clone(), binaries, ..EmbeddedOptions::default() };
        let postgres = Self::start(&options).await?;
        let url = postgres.url.clone();
        Ok((Some(postgres), url))
    }

    /// As `given_or_embedded`, but also beside a Stoa that runs on the same data folder, whose PostgreSQL it then is.
    pub async fn given_or_shared(config: &Config) -> Result<(Option<Postgres>, String)> {
        match cluster::running(&config.data_dir).filter(|_| config.database.url.is_none()) {
            Some((socket, port)) => Ok((None, url_of(&socket, &port))),
            None => Self::given_or_embedded(config).await,
        }
    }

    /// Which PostgreSQL would be started, in words; the error says how to get one.
    pub fn find(config: &Config) -> Result<String> {
        binaries::find(config.postgres.bin.as_deref(), None).map(|found| found.to_string())
    }

    /// Starts the cluster of a data folder, made first if there is none, and waits until it answers; after a crash
    /// of the machine that includes its recovery. The error says in one line what to do.
    pub async fn start(options: &EmbeddedOptions) -> Result<Self> {
        let wanted = options.clone();
        let cluster = tokio::task::spawn_blocking(move || Cluster::prepare(&wanted)).await.map_err(Error::ours)??;
        let cluster = Arc::new(cluster);
        let port = options.settings.iter().rfind(|(name, _)| name == "port").map_or("5432", |(_, value)| value);
        let url = url_of(&cluster.socket, port);
        let server = Server::start(cluster.clone(), options.settings.clone())?;
        let mut postgres = Postgres { url, server, flush: None };
        postgres.wait_until_ready().await?;
        let durable = !options.settings.iter().any(|(name, value)| name == "fsync" && value == "off");
        postgres.flush = (durable && cluster.unsynced.exists()).then(|| tokio::spawn(flush(cluster)));
        Ok(postgres)
    }

    /// What `Database::connect` takes.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops PostgreSQL and waits until it has.
    pub async fn stop(mut self) {
        self.give_up_flush();
        self.server.end(Signal::INT);
        for signal in [Signal::QUIT, Signal::KILL] {
            if timeout(STOP, self.server.ended()).await.is_ok() {
                return;
            }
            tracing::warn!("PostgreSQL does not stop; asking harder");
            self.server.end(signal);
        }
        self.server.ended().await;
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let address = Address::parse(&self.url)?.with_database("postgres");
        let begin = Instant::now();
        let mut told = begin;
        loop {
            let phase = self.server.phase.borrow().clone();
            match phase {
                Phase::Running => {}
                // Processes of a postmaster that was killed are about to notice; the next start comes by itself.
                Phase::Failed(said) if said.contains("shared memory block") && begin.elapsed() < LAST_BREATH => {}
                Phase::Failed(said) => return Err(Error::ours(format!("PostgreSQL does not start: {said}"))),
                Phase::Stopped => return Err(Error::ours("PostgreSQL was stopped while it started")),
            }
            match address.connect().await {
                Ok((client, _driver)) => return create_database(&client).await,
                Err(Error::TooSlow(..)) => tokio::time::sleep(POLL).await,
                Err(fault) => return Err(fault),
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                tracing::info!(seconds = begin.elapsed().as_secs(), "PostgreSQL is recovering from a crash");
            }
        }
    }

    fn give_up_flush(&mut self) {
        if let Some(flush) = self.flush.take() {
            flush.abort();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.give_up_flush();
        self.server.end(Signal::INT);
    }
}

async fn create_database(client: &tokio_postgres::Client) -> Result<()> {
    let there = client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&DATABASE]).await;
    if there.map_err(address::fault)?.is_none() {
        client.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await.map_err(address::fault)?;
    }
    Ok(())
}

/// Brings a new cluster to the disk. Until then only a crash of the machine in the cluster's first seconds could
/// harm it; what is committed meanwhile is flushed by PostgreSQL itself. Given up, it is done at the next start.
async fn flush(cluster: Arc<Cluster>) {
    let mut command = cluster.owner.command(&cluster.installation.program("initdb"));
    command.arg("--sync-only").arg("--pgdata").arg(&cluster.folder).current_dir(&cluster.folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match tokio::process::Command::from(command).kill_on_drop(true).status().await {
        Ok(status) if status.success() => _ = std::fs::remove_file(&cluster.unsynced),
        ended => {
            tracing::warn!(?ended, "the new cluster is not flushed to the disk yet; tried again at the next start")
        }
    }
}

/// Where the database of a cluster is reached.
fn url_of(socket: &Path, port: &str) -> String {
    format!("postgres://postgres@{}:{port}/{DATABASE}", encode(socket.as_os_str().as_encoded_bytes()))
}

/// Percent-encodes a path to stand as the host of a URL.
fn encode(path: &[u8]) -> String {
    path.iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
