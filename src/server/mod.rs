//! The outside: HTTP, WebSocket, SSE and what happens to a document before the executor.

pub mod documents;
pub mod engine;
