//! What tells other nodes that a stream has grown. A hint, never the event: whoever hears it reads the log.
//! Invariant: nothing depends on a hint that arrives; one that is lost costs a sweep's delay.

use super::StreamId;

/// The way out to other nodes; the way in is `Hub::hint`.
pub trait Bus: Send + Sync + 'static {
    /// Says that `seq` is committed. Called after every commit: must not block, and may coalesce or drop.
    fn announce(&self, stream: StreamId, seq: i64);
}

/// One node: there is nobody else to tell, and its own subscribers get the events themselves.
pub struct InProcess;

impl Bus for InProcess {
    fn announce(&self, _stream: StreamId, _seq: i64) {}
}
