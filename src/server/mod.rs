//! The outside: HTTP, WebSocket, SSE and what happens to a document before the executor.

pub mod engine;
pub mod socket;

use crate::app::App;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What every transport needs.
pub struct Server {
    pub app: Arc<App>,
    pub engine: engine::Engine,
    /// Cancelled when the process stops taking work.
    pub draining: CancellationToken,
    pub sockets: socket::Sockets,
}
