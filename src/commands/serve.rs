//! `stoa serve`: builds everything in order, says where it answers, stops in the reverse order.
//! Invariant: whatever happens after the embedded PostgreSQL has started, it is stopped again; and nothing listens
//! before an answer can be given.

use crate::{
    app::App,
    config::Config,
    error::{Error, Result},
    platform::{migrations, postgres::Postgres, telemetry},
    server::{self, Server, engine::Engine},
};
use std::{
    future::Future,
    io::{self, ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Serves until SIGTERM or SIGINT, then lets requests in flight finish. A second signal ends at once.
pub(super) async fn run(config: Config) -> Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let (postgres, url) = timed("PostgreSQL", Postgres::given_or_embedded(&config)).await?;
    let outcome = serve(config, &url, stop).await;
    if let Some(postgres) = postgres {
        postgres.stop().await;
    }
    outcome
}

async fn serve(config: Config, url: &str, stop: CancellationToken) -> Result<()> {
    let server = tokio::select! {
        server = build(config, url) => server?,
        () = stop.cancelled() => return Ok(()),
    };
    let listener = listen(server.app.config.listen).await?;
    let address = listener.local_addr().map_err(Error::ours)?;
    // The one line on standard output: whoever started Stoa can wait for it, or not listen at all.
    let _ = writeln!(io::stdout(), "Stoa answers on http://{}/graphql", reachable(address));
    server::serve::serve(server, listener, stop).await
}

/// Everything that is made once.
async fn build(config: Config, url: &str) -> Result<Arc<Server>> {
    // First: counters belong to the recorder that is there when they are made.
    let metrics = telemetry::start_metrics()?;
    timed("migrations", migrations::up(url)).await?;
    let app = timed("application", App::new(config, url)).await?;
    if app.config.demo {
        timed("demo", crate::commands::seed::demo(&app)).await?;
    }
    let engine = timed("schema", async { Ok(Engine::new(app.clone())) }).await?;
    let server = Server::new(app, engine, Some(metrics)).map_err(|faults| Error::ours(faults.join("; ")))?;
    server.migrated();
    Ok(Arc::new(server))
}

/// Does a part of the start and notes how long it took: the whole must stay below a second.
async fn timed<T>(phase: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    let outcome = work.await;
    tracing::debug!(phase, milliseconds = start.elapsed().as_secs_f64() * 1000.0, ok = outcome.is_ok(), "start");
    outcome
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::AddrInUse => "another program listens there".to_owned(),
            ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
            ErrorKind::PermissionDenied => "ports below 1024 are for privileged users".to_owned(),
            _ => error.to_string(),
        };
        Error::ours(format!("cannot listen on {address}: {reason}; choose another address with --listen"))
    })
}

/// An address to connect to: a server that listens on all of them is reached on the local one.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let local = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        address.set_ip(local);
    }
    address
}

/// Cancels at the first SIGTERM or SIGINT; ends the process at the second one.
fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::ours)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::ours)?;
    // Lives as long as the process.
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("stopping; requests in flight are finished first");
                stop.cancel();
            }
        }
        tracing::warn!("stopped at once, at the second signal");
        std::process::exit(1);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_connected_to() {
        let shown = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:4000"), "127.0.0.1:4000");
        assert_eq!(shown("[::]:4000"), "[::1]:4000");
        assert_eq!(shown("10.1.2.3:80"), "10.1.2.3:80");
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let message = super::super::reason(&listen(address).await.unwrap_err());
        assert_eq!(
            message,
            format!("cannot listen on {address}: another program listens there; choose another address with --listen")
        );
    }
}
