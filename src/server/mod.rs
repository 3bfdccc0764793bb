//! The outside: HTTP, WebSocket, SSE and what happens to a document before the executor.

pub mod engine;

pub struct Server {
    pub app: std::sync::Arc<crate::app::App>,
}
impl Server {
    pub fn new(
        _app: std::sync::Arc<crate::app::App>,
        _engine: engine::Engine,
        _metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    ) -> Result<Self, Vec<String>> {
        todo!()
    }
    pub fn migrated(&self) {
        todo!()
    }
}
pub mod serve {
    pub async fn serve(
        _server: std::sync::Arc<super::Server>,
        _listener: tokio::net::TcpListener,
        _stop: tokio_util::sync::CancellationToken,
    ) -> crate::error::Result<()> {
        todo!()
    }
}
