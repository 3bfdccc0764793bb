//! Small writes that nobody waits for, such as when something was last used. Invariant: few at once and none that
//! matters: what does not fit is left out, as is what a stop finds unfinished.

use crate::error::Result;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// At once, so that the pool stays free for requests.
const MOST: usize = 2;

/// Where such writes go. Cheap to clone.
#[derive(Clone)]
pub struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Self {
        Aside(Arc::new(Semaphore::new(MOST)))
    }
}

impl Aside {
    /// Does it soon, or not at all. A failure goes to the log.
    pub fn run(&self, work: impl Future<Output = Result<()>> + Send + 'static) {
        let Ok(place) = self.0.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            if let Err(fault) = work.await {
                tracing::warn!(?fault, "something of little weight was not written");
            }
            drop(place);
        });
    }
}
