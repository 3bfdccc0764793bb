//! The rows of the WebSocket table, one by one, with a raw client against a stand-in for identity and engine.
//! Limits are set so small that a test takes milliseconds; what must not happen is waited for only that long.

mod fake;
mod limits;
mod rows;
mod wire;
