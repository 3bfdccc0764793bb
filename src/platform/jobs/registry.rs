//! Which kinds of jobs there are and which of them recur. Invariant: a worker takes only kinds that it knows, so that
//! the old program leaves a new one's jobs alone while both run.

use super::{Failure, Run};
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

type Runner<C> = Box<dyn Fn(C, Value) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// A kind of job.
pub struct Kind<C> {
    pub run: Runner<C>,
    /// How long one attempt may take.
    pub time: Duration,
}

/// A job that is left again and again.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub name: &'static str,
    pub every: Duration,
    pub attempts: i32,
}

/// The list of jobs.
pub struct Registry<C> {
    pub(super) kinds: BTreeMap<&'static str, Kind<C>>,
    pub(super) schedules: Vec<Schedule>,
}

impl<C: Send + Sync + 'static> Registry<C> {
    pub fn new() -> Self {
        Registry { kinds: BTreeMap::new(), schedules: Vec::new() }
    }

    /// A kind of job that is left by what happens.
    pub fn job<J: Run<C>>(mut self) -> Self {
        let run: Runner<C> = Box::new(|context, payload| {
            Box::pin(async move {
                // Perhaps of a newer version: that one will read it.
                let read = serde_json::from_value::<J>(payload);
                let job = read.map_err(|_| Failure::Later("This version cannot read what the job holds.".into()))?;
                job.run(&context).await
            })
        });
        self.kinds.insert(J::KIND, Kind { run, time: J::TIME });
        self
    }

    /// A job without content that is left every so often, by one of all nodes.
    pub fn every<J: Run<C>>(mut self, every: Duration) -> Self {
        self.schedules.push(Schedule { name: J::KIND, every, attempts: J::ATTEMPTS });
        self.job::<J>()
    }
}

impl<C: Send + Sync + 'static> Default for Registry<C> {
    fn default() -> Self {
        Self::new()
    }
}
