//! The outside: HTTP, WebSocket, SSE and what happens to a document before the executor.
//! Invariant: everything that comes in is bounded in size, number and time before it costs anything.

pub mod client;
pub mod documents;
pub mod edge;
pub mod engine;
pub mod explorer;
pub mod fault;
pub mod files;
pub mod health;
pub mod http;
pub mod limits;
pub mod router;
pub mod serve;
pub mod socket;

pub use serve::serve;

use crate::{
    app::App,
    config::millis,
    error::{Code, Error, Result as Answered},
    kit::scope::Caller,
};
use client::Proxies;
use edge::{cors::Cors, meters::Meters};
use engine::{Answer, Engine, Prepared};
use limits::Limits;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio_util::sync::CancellationToken;

/// What every connection shares.
pub struct Server {
    pub app: Arc<App>,
    pub engine: Engine,
    /// Cancelled when the server stops: no new work, streams and sockets say good-bye.
    pub draining: CancellationToken,
    pub limits: Limits,
    pub cors: Cors,
    pub proxies: Proxies,
    pub meters: Meters,
    pub sockets: socket::Sockets,
    /// What `/metrics` shows; none: nobody records. Its upkeep is its owner's.
    pub metrics: Option<PrometheusHandle>,
    migrated: AtomicBool,
    probe: health::Probe,
}

impl Server {
    /// Reads the settings of `[http]`. The error names each that cannot be used. Install the metrics recorder
    /// first: counters belong to the recorder that is there when they are made.
    pub fn new(app: Arc<App>, engine: Engine, metrics: Option<PrometheusHandle>) -> Result<Self, Vec<String>> {
        let config = &app.config.http;
        let (cors, proxies) = match (Cors::parse(&config.cors_origins), Proxies::parse(&config.trusted_proxies)) {
            (Ok(cors), Ok(proxies)) => (cors, proxies),
            (cors, proxies) => {
                return Err([cors.err(), proxies.err()].into_iter().flatten().flatten().collect());
            }
        };
        Ok(Server {
            limits: Limits::new(config, app.config.files.max_uploads),
            cors,
            proxies,
            meters: Meters::new(),
            sockets: socket::Sockets::new(),
            draining: CancellationToken::new(),
            metrics,
            migrated: AtomicBool::new(false),
            probe: health::Probe::default(),
            engine,
            app,
        })
    }

    /// Executes a query or a mutation within the time limit, and not longer than the database answers at all. A mutation
    /// that takes longer goes on: only its answer is lost.
    pub async fn execute(&self, prepared: Prepared, caller: Caller) -> Answer {
        let (info, name) = (caller.request().clone(), prepared.name.clone());
        let work = tokio::time::timeout(millis(self.app.config.http.timeout_ms), self.engine.execute(prepared, caller));
        match self.unless_away(work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(elapsed)) => {
                tracing::warn!(request_id = %info.id, operation = name.as_deref(), "operation stopped by http.timeout_ms");
                Answer::refusal(&Error::TooSlow(Code::Timeout, Arc::new(elapsed)), &info)
            }
            Err(fault) => Answer::refusal(&fault, &info),
        }
    }

    /// Work that asks the database; SERVICE_UNAVAILABLE within a second when that has fallen silent.
    pub async fn unless_away<T>(&self, work: impl Future<Output = T>) -> Answered<T> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            fault = self.app.database.lost() => Err(fault),
        }
    }

    /// Said by whoever migrated the database, once it has the schema of this build; `/health/ready` waits for it.
    pub fn migrated(&self) {
        self.migrated.store(true, Ordering::Release);
    }

    fn is_migrated(&self) -> bool {
        self.migrated.load(Ordering::Acquire)
    }

    /// Whether `/graphql` in a browser shows the explorer: as set, otherwise only outside production.
    pub fn explores(&self) -> bool {
        self.app.config.http.graphiql.unwrap_or(!self.app.config.production)
    }
}
