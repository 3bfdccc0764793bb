//! The outside: HTTP, WebSocket, SSE and what happens to a document before the executor.

pub mod engine;
pub mod explorer;
