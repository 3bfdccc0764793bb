//! What fails of many things that upkeep does one after the other. Invariant: one that fails keeps no other waiting; the log names
//! each, and the last of them is the error.

use crate::error::{Error, Result};
use std::fmt::Debug;

/// What has failed so far.
#[derive(Default)]
pub struct Failures(Option<Error>);

impl Failures {
    /// Notes what came of one: `what` it is, such as `a file`, and which.
    pub fn note(&mut self, what: &'static str, id: impl Debug, done: Result<()>) {
        if let Err(fault) = done {
            tracing::warn!(?id, ?fault, "upkeep of {what} failed");
            self.0 = Some(fault);
        }
    }

    /// The last fault, if there was one.
    pub fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
