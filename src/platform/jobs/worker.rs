//! The one task of a node that takes jobs and runs them, some at once. Invariant: it never runs more than
//! `jobs.workers`, and when it stops, each job it had is finished or back in the queue.

use super::{
    Failure, Jobs,
    queue::{Ending, Queue, Taken},
    registry::Registry,
};
use crate::{
    config::{JobConfig, millis},
    error::Result,
    platform::database::Database,
};
use metrics::{counter, gauge, histogram};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Pause between attempts to tell the database how a job ended.
const AGAIN: Duration = Duration::from_millis(500);
/// Pause between looks into the queue at least, however many jobs become due one after the other.
const SOON: Duration = Duration::from_millis(50);
/// How long jobs that are cut off may take to go back into the queue.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// A node's worker; ends when it is dropped, but then leaves its jobs to their leases.
pub struct Worker {
    stop: CancellationToken,
    cut: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Worker {
    /// Begins to take jobs. With `jobs.workers = 0` it takes none.
    pub fn start<C>(registry: Registry<C>, context: C, jobs: &Jobs, database: &Database, config: &JobConfig) -> Self
    where
        C: Clone + Send + Sync + 'static,
    {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let queue = Queue { database: database.clone(), lease: millis(config.lease_ms) };
        let crew = Arc::new(Crew {
            registry,
            context,
            queue,
            config: config.clone(),
            cut: cut.clone(),
            away: AtomicBool::new(false),
        });
        let task = tokio::spawn(crew.work(jobs.clone(), stop.clone()));
        Worker { stop, cut, task: AbortOnDropHandle::new(task) }
    }

    /// Takes nothing more, and ends when what runs has ended; what has not after `grace` goes back into the queue.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.cancel();
        if timeout(grace, &mut self.task).await.is_err() {
            self.cut.cancel();
            let _ = timeout(GIVE_BACK, self.task).await;
        }
    }
}

/// What all jobs of a node share.
struct Crew<C> {
    registry: Registry<C>,
    context: C,
    queue: Queue,
    config: JobConfig,
    /// Cancelled when there is no time left.
    cut: CancellationToken,
    /// Whether the queue could not be reached, which is told once.
    away: AtomicBool,
}

impl<C: Clone + Send + Sync + 'static> Crew<C> {
    async fn work(self: Arc<Self>, jobs: Jobs, stop: CancellationToken) {
        let kinds: Vec<_> = self.registry.kinds.keys().copied().collect();
        let poll = || Instant::now() + millis(self.config.poll_ms).mul_f64(rand::random_range(0.8..1.2));
        let (mut running, mut planned, mut next) = (JoinSet::new(), false, Instant::now());
        while !stop.is_cancelled() {
            let free = self.config.workers.saturating_sub(running.len());
            if free > 0 {
                let taken = self.queue.take(&kinds, free).await;
                for job in self.heard(taken).unwrap_or_default() {
                    running.spawn(self.clone().carry_out(job));
                }
            }
            let room = running.len() < self.config.workers;
            tokio::select! {
                () = stop.cancelled() => {}
                () = jobs.wake.notified(), if room => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
                () = sleep_until(next) => {
                    next = poll();
                    if self.config.workers > 0 {
                        planned = self.look_around(planned).await;
                        // What becomes due before the next look is taken when it does.
                        let due = self.queue.next_due(&kinds, next.saturating_duration_since(Instant::now())).await;
                        if let Some(seconds) = self.heard(due).flatten() {
                            next = next.min(Instant::now() + Duration::try_from_secs_f64(seconds).unwrap_or_default().max(SOON));
                        }
                    }
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Leaves what is due by schedule, and measures. True: the schedules are known to the database.
    async fn look_around(&self, mut planned: bool) -> bool {
        let schedules = &self.registry.schedules;
        let names: Vec<_> = schedules.iter().map(|schedule| schedule.name).collect();
        if !planned {
            planned = self.heard(self.queue.plan(&names).await).is_some();
        }
        let every: Vec<_> = schedules.iter().map(|schedule| schedule.every.as_secs_f64()).collect();
        let attempts: Vec<_> = schedules.iter().map(|schedule| schedule.attempts).collect();
        self.heard(self.queue.recur(&names, &every, &attempts).await);
        if let Some(depths) = self.heard(self.queue.depth().await) {
            for status in ["waiting", "running"] {
                let count = depths.iter().find(|depth| depth.status == status).map_or(0, |depth| depth.count);
                gauge!("stoa_jobs_queued", "status" => status).set(count as f64);
            }
        }
        planned
    }

    /// Notes whether the queue answers; an outage is told at its beginning and at its end.
    fn heard<T>(&self, answer: Result<T>) -> Option<T> {
        let away = answer.is_err();
        if self.away.swap(away, Ordering::Relaxed) != away {
            match &answer {
                Ok(_) => tracing::info!("the queue of jobs can be reached again"),
                Err(fault) => tracing::warn!(?fault, "the queue of jobs cannot be reached"),
            }
        }
        answer.ok()
    }

    /// Runs one job and says how it ended.
    async fn carry_out(self: Arc<Self>, mut job: Taken) {
        let Some(kind) = self.registry.kinds.get(&*job.kind) else { return };
        let started = Instant::now();
        if job.attempts > job.max_attempts {
            let why = "Each attempt ended with the process that made it.".to_owned();
            return self.settle(&job, Ending::Dead(why), started).await;
        }
        // In a task of its own, so that a panic ends the attempt and not the worker.
        let work = (kind.run)(self.context.clone(), job.payload.take().unwrap_or_default());
        let mut work = AbortOnDropHandle::new(tokio::spawn(work));
        let outcome = tokio::select! {
            ended = &mut work => ended.unwrap_or_else(|_| Err(Failure::Later("It panicked; the log says where.".into()))),
            () = sleep(kind.time) => Err(Failure::Later(format!("It was not done after {} s.", kind.time.as_secs()))),
            () = self.hold(&job) => {
                tracing::warn!(id = %job.id, kind = job.kind, "a job was taken away: its lease had run out, or it was discarded");
                return;
            }
            () = self.cut.cancelled() => {
                drop(work);
                return self.settle(&job, Ending::GivenBack, started).await;
            }
        };
        let ending = match outcome {
            Ok(()) => Ending::Done,
            Err(Failure::Later(why)) if job.attempts < job.max_attempts => Ending::Later(self.pause(job.attempts), why),
            Err(Failure::NotYet(pause, why)) => Ending::PutOff(pause, why),
            Err(Failure::Later(why) | Failure::Never(why)) => Ending::Dead(why),
        };
        self.settle(&job, ending, started).await;
    }

    /// Extends the lease as long as it is ours; ends when it is not.
    async fn hold(&self, job: &Taken) {
        loop {
            sleep(self.queue.lease / 3).await;
            if self.heard(self.queue.keep(job).await) == Some(false) {
                return;
            }
        }
    }

    /// Twice as long after each attempt, up to the most, and not at the same moment for all.
    fn pause(&self, attempts: i32) -> Duration {
        let doubled = self.config.retry_ms.saturating_mul(1 << attempts.saturating_sub(1).clamp(0, 30));
        millis(doubled.min(self.config.retry_most_ms)).mul_f64(rand::random_range(0.8..1.2))
    }

    /// Says how the job ended, as long as the lease may still be ours: otherwise it would be run again for nothing.
    async fn settle(&self, job: &Taken, ending: Ending, started: Instant) {
        let outcome = match &ending {
            Ending::Done => "done",
            Ending::Later(..) => "failed",
            Ending::PutOff(..) => "put off",
            Ending::Dead(_) => "dead",
            Ending::GivenBack => "given back",
        };
        if let Ending::Dead(why) = &ending {
            tracing::warn!(id = %job.id, kind = job.kind, why, "a job is dead");
        }
        counter!("stoa_jobs_total", "kind" => job.kind.clone(), "outcome" => outcome).increment(1);
        histogram!("stoa_job_seconds", "kind" => job.kind.clone()).record(started.elapsed().as_secs_f64());
        let until = Instant::now() + self.queue.lease;
        while self.heard(self.queue.settle(job, &ending).await).is_none() && Instant::now() < until {
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = self.cut.cancelled() => return,
            }
        }
    }
}
