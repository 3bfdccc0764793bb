//! Jobs as administrators see them: what is to be done, what was done, what could not be done. Invariant: what a job
//! holds is never shown, because it may be a one-time token on its way into a mail.

use crate::{
    db_enum,
    kit::{
        filter::DeletedRecords,
        id::Id,
        permission::Action,
        relation::or_null,
        resolve::scope,
        rules::Rules,
        scalars::DateTime,
        user_error::{UserError, UserErrorCode},
        write::{self, Outcome, Stop, Tx},
    },
    schema::jobs,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::Value as Json;
use std::sync::Arc;
use stoa_macros::entity;

db_enum! {
    /// How far a job has come.
    pub enum JobStatus, filter JobStatusFilter {
        /// Will be run at `runAt`: it is new, or its last attempt failed.
        Waiting = "waiting",
        /// Is being run.
        Running = "running",
        /// Was done.
        Done = "done",
        /// Could not be done; `jobRetry` tries again.
        Dead = "dead",
        /// Was given up by somebody.
        Discarded = "discarded",
    }
}

/// Something that the server does for the organization beside requests, such as sending a mail. Finished jobs are
/// removed after a while.
#[entity(resource = Job, plural = jobs, wall = shared, read_only)]
pub struct Job {
    pub id: Id<Job>,
    /// What kind of job it is, such as `mail`.
    #[entity(filter, order, group)]
    pub kind: String,
    /// What it is about, in words: of a mail, which one and to whom.
    #[entity(filter, search)]
    pub about: String,
    /// How far it has come.
    #[entity(filter, order, group)]
    pub status: JobStatus,
    /// How often it has been tried since it was made or retried.
    #[entity(filter)]
    pub attempts: i32,
    /// How often it is tried before it is dead.
    pub max_attempts: i32,
    /// Why the latest attempt that failed did so; null: none has.
    #[entity(search)]
    pub last_error: Option<String>,
    /// When it is tried next; while it runs, when another node may take it if this one says nothing.
    #[entity(filter, order)]
    pub run_at: DateTime,
    /// When it was done, died or was discarded; null: none of these.
    #[entity(filter)]
    pub finished_at: Option<DateTime>,
}

impl Rules for Job {}

/// Which job.
#[derive(Clone, Debug, InputObject)]
pub struct JobInput {
    /// Which job.
    pub id: Id<Job>,
}

/// What came of retrying or discarding a job.
#[derive(SimpleObject)]
pub struct JobPayload {
    /// The job as it is now; null when nothing was written.
    pub job: Option<Arc<Job>>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

impl From<Outcome<Job>> for JobPayload {
    fn from(outcome: Outcome<Job>) -> Self {
        JobPayload { job: outcome.record, user_errors: outcome.errors, query: Default::default() }
    }
}

/// Mutations.
#[derive(Default)]
pub struct JobMutation;

#[Object]
impl JobMutation {
    /// Runs a job now that is DEAD or WAITING; a dead one has all its attempts again. Others are a user error
    /// STATE_INVALID.
    async fn job_retry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which job.")] input: JobInput,
    ) -> Option<JobPayload> {
        change(ctx, async move |tx| retry(tx, input.id).await).await
    }

    /// Gives a job up that is DEAD or WAITING: it will not be run, and what it held is forgotten. Others are a user
    /// error STATE_INVALID.
    async fn job_discard(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which job.")] input: JobInput,
    ) -> Option<JobPayload> {
        change(ctx, async move |tx| discard(tx, input.id).await).await
    }
}

async fn change(ctx: &Context<'_>, write: impl AsyncFnOnce(&mut Tx) -> Result<Job, Stop>) -> Option<JobPayload> {
    or_null(ctx, async {
        let outcome = write::one(scope(ctx)?, write).await?;
        Ok(Some(outcome.into()))
    })
    .await
}

/// The job, locked, if it is one that can be changed. A worker that is just taking it comes before or after.
async fn lock(tx: &mut Tx, id: Id<Job>) -> Result<Job, Stop> {
    let job: Job = write::lock(tx, id.0, Action::Update, DeletedRecords::Exclude, None).await?;
    match job.status {
        JobStatus::Dead | JobStatus::Waiting => Ok(job),
        JobStatus::Running => Err(Stop::at("id", UserErrorCode::StateInvalid, "The job is being run.")),
        JobStatus::Done | JobStatus::Discarded => {
            Err(Stop::at("id", UserErrorCode::StateInvalid, "The job is finished."))
        }
    }
}

async fn retry(tx: &mut Tx, id: Id<Job>) -> Result<Job, Stop> {
    let old = lock(tx, id).await?;
    let new = Job {
        status: JobStatus::Waiting,
        attempts: if old.status == JobStatus::Dead { 0 } else { old.attempts },
        run_at: tx.now,
        finished_at: None,
        updated_at: tx.now,
        version: old.version.saturating_add(1),
        ..old.clone()
    };
    store(tx, &new, false).await?;
    let jobs = tx.scope.app.jobs.clone();
    jobs.wake_after(tx.transaction());
    write::tell(tx, Some(&old), &new, "retried")?;
    Ok(new)
}

async fn discard(tx: &mut Tx, id: Id<Job>) -> Result<Job, Stop> {
    let old = lock(tx, id).await?;
    let new = Job {
        status: JobStatus::Discarded,
        finished_at: Some(tx.now),
        updated_at: tx.now,
        version: old.version.saturating_add(1),
        ..old.clone()
    };
    store(tx, &new, true).await?;
    write::tell(tx, Some(&old), &new, "discarded")?;
    Ok(new)
}

async fn store(tx: &mut Tx, job: &Job, forget: bool) -> Result<(), Stop> {
    // Of two `None`s the outer one leaves the column alone.
    let payload: Option<Option<Json>> = forget.then_some(None);
    diesel::update(jobs::table)
        .filter(jobs::organization_id.eq(tx.scope.actor.organization).and(jobs::id.eq(job.id.0)))
        .set((
            jobs::status.eq(job.status.word()),
            jobs::attempts.eq(job.attempts),
            jobs::run_at.eq(job.run_at.0),
            jobs::finished_at.eq(job.finished_at.map(|at| at.0)),
            jobs::updated_at.eq(job.updated_at.0),
            jobs::version.eq(job.version),
            payload.map(|none| jobs::payload.eq(none)),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}
