//! Connections: accepted, served, and let go when the server stops.
//! Invariant: a stop loses no request that was being answered, and nobody keeps a connection by doing nothing.

use super::{Server, edge, limits::ConnectionPermit, router};
use crate::{config::millis, error::Result, messaging::notification::follow, upkeep};
use axum::{Router, body::Body};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a new connection may take to ask for something.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long a connection may lie idle between requests. Longer than the minute that load balancers keep theirs: who
/// closes first must be the proxy, or it sends a request into a connection that is just being closed (502).
/// hyper knows one timer for both, so this is also what a later head may take.
const IDLE: Duration = Duration::from_secs(75);
/// How long written bytes may stay unread before the connection counts as dead (RFC 5482): an event stream that shows every
/// twelve seconds that it lives has then ended within half a minute after its reader, and with it the member's presence.
const UNREAD: Duration = Duration::from_secs(12);
/// The head of a request: room for a query string that a GET carries.
const MAX_HEAD: usize = 64 * 1024;
/// Pause after the system has refused a connection, out of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled, then lets requests and jobs in flight end, `http.drain_ms` at most.
pub async fn serve(server: Arc<Server>, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let router = router::routes(server.clone());
    let protocol = Arc::new(protocol());
    let connections = TaskTracker::new();
    let worker = upkeep::start(&server.app);
    let following = follow::start(&server.app);
    let cut = CancellationToken::new();

    while let Some((stream, peer, permit)) = accept(&server, &listener, &stop).await {
        connections.spawn(connection(
            server.clone(),
            router.clone(),
            protocol.clone(),
            Counted { io: stream, _permit: permit },
            peer,
            cut.clone(),
        ));
    }

    drop(listener);
    server.draining.cancel();
    connections.close();
    let quiet = async {
        connections.wait().await;
        server.sockets.closed().await;
        server.engine.drain().await;
    };
    let drain = millis(server.app.config.http.drain_ms);
    let (quiet, ()) = tokio::join!(tokio::time::timeout(drain, quiet), worker.stop(drain));
    if quiet.is_err() {
        tracing::warn!(connections = connections.len(), "stopped before all requests had ended (http.drain_ms)");
        cut.cancel();
        connections.wait().await;
    }
    // Whoever is away for long is no reason to stay.
    _ = tokio::time::timeout(drain, server.app.presence.leave(&server.app.database)).await;
    following.stop(drain).await;
    Ok(())
}

/// The next connection, when there is room for one; none when the server stops.
async fn accept(
    server: &Server,
    listener: &TcpListener,
    stop: &CancellationToken,
) -> Option<(TcpStream, IpAddr, ConnectionPermit)> {
    stop.run_until_cancelled(async {
        let permit = server.limits.connections.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tune(&stream);
                    return Some((stream, peer.ip(), permit));
                }
                // The client has gone again.
                Err(fault)
                    if matches!(fault.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                Err(fault) => {
                    tracing::warn!(%fault, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
    .await
    .flatten()
}

/// Answers leave at once, and a peer that is gone or does not read is noticed. None of it is worth refusing a
/// connection for.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(stream, true);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, u32::try_from(UNREAD.as_millis()).unwrap_or(u32::MAX));
}

/// HTTP/1.1 and HTTP/2 (with prior knowledge, as proxies speak it).
fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol.http1().timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(MAX_HEAD);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(UNREAD)
        .keep_alive_timeout(UNREAD);
    protocol
}

/// One connection, from its first byte to its last or to its upgrade.
async fn connection<I>(
    server: Arc<Server>,
    router: Router,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    io: I,
    peer: IpAddr,
    cut: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (server, asked) = (server.clone(), asked.clone());
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (server, router) = (server.clone(), router.clone());
            async move { Ok::<_, Infallible>(edge::answer(&server, router, peer, request.map(Body::new)).await) }
        })
    };
    let mut serving = pin!(protocol.serve_connection_with_upgrades(TokioIo::new(io), service));
    let mut first = pin!(sleep(FIRST_REQUEST));
    let (mut waiting, mut leaving) = (true, false);
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(fault) = ended {
                    tracing::debug!(%peer, %fault, "connection ended");
                }
                return;
            }
            () = first.as_mut(), if waiting => {
                waiting = false;
                if !asked.load(Ordering::Relaxed) {
                    tracing::debug!(%peer, "connection closed: it did not ask for anything");
                    return;
                }
            }
            () = server.draining.cancelled(), if !leaving => {
                leaving = true;
                serving.as_mut().graceful_shutdown();
            }
            () = cut.cancelled() => return,
        }
    }
}

/// A connection with its place among `http.max_connections`, which it keeps when it becomes a socket.
pub(super) struct Counted<I> {
    io: I,
    _permit: ConnectionPermit,
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
