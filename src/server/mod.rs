//! The outside: HTTP, WebSocket, SSE and what happens to a document before the executor.

pub mod engine;

pub struct Server {
    pub app: std::sync::Arc<crate::app::App>,
    pub engine: engine::Engine,
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
}
pub async fn serve(
    _server: Server,
    _listener: tokio::net::TcpListener,
    _stop: tokio_util::sync::CancellationToken,
) -> crate::error::Result<()> {
    todo!()
}
