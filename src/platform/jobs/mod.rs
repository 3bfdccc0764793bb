//! Jobs: what follows a change and must not make it wait, such as a mail. A job is left in the transaction of the change
//! and carried out after its commit, by whichever node has time. Invariant: a change that is rolled back leaves no job,
//! and a job that was left is carried out at least once, whatever dies on the way: so a handler may be run twice.
//!
//! A job is a struct beside its feature: it implements [`Job`] and [`Run`] and stands in the one list, in
//! `src/upkeep.rs`. In reading order: `queue` is the table, `registry` which kinds there are and what recurs, `worker`
//! takes and runs, `by_hand` is for whoever runs the server.

pub mod by_hand;
mod queue;
mod registry;
mod worker;

pub use queue::{hasten, sweep};
pub use registry::Registry;
pub use worker::Worker;

use crate::{
    error::{Error, Result},
    platform::database::Transaction,
    schema::jobs,
};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::Notify;
use uuid::Uuid;

/// Something to be done later. What it holds is stored until it is done.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name in the table and in metrics; never changes.
    const KIND: &'static str;
    /// How often it is tried before it is dead.
    const ATTEMPTS: i32 = 12;
    /// How long one attempt may take.
    const TIME: Duration = Duration::from_secs(300);

    /// What it is about, for the administrator who reads the list. Never a secret.
    fn about(&self) -> String {
        String::new()
    }
}

/// How a job is done, with what the application has.
pub trait Run<C>: Job {
    fn run(self, context: &C) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why an attempt came to nothing, in words that an administrator may read: never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another attempt may do better.
    Later(String),
    /// It cannot be tried before that time has passed, which counts as no attempt, however often.
    NotYet(Duration, String),
    /// No attempt will.
    Never(String),
}

impl Failure {
    /// The words.
    pub fn why(self) -> String {
        match self {
            Failure::Later(why) | Failure::NotYet(_, why) | Failure::Never(why) => why,
        }
    }
}

impl From<Error> for Failure {
    fn from(fault: Error) -> Self {
        match &fault {
            Error::Yours(refusal) => Failure::Later(refusal.message.to_string()),
            Error::Ours(why) | Error::TooSlow(_, why) => {
                tracing::warn!(%why, "a job failed");
                Failure::Later("The server failed; its log says why.".into())
            }
        }
    }
}

impl From<diesel::result::Error> for Failure {
    fn from(fault: diesel::result::Error) -> Self {
        Error::from(fault).into()
    }
}

/// The way into the queue. Cheap to clone.
#[derive(Clone, Default)]
pub struct Jobs {
    wake: Arc<Notify>,
}

impl Jobs {
    /// Leaves a job in the transaction; it is taken up right after the commit. An organization's job is seen by its
    /// administrators; one without is seen by nobody.
    pub async fn enqueue<J: Job>(&self, tx: &mut Transaction, organization: Option<Uuid>, job: &J) -> Result<()> {
        self.enqueue_by(tx, organization, None, job).await
    }

    /// As `enqueue`, of a member who asked for it.
    pub async fn enqueue_by<J: Job>(
        &self,
        tx: &mut Transaction,
        organization: Option<Uuid>,
        member: Option<Uuid>,
        job: &J,
    ) -> Result<()> {
        let member = member.filter(|_| organization.is_some());
        leave(tx, (Uuid::now_v7(), None), (organization, member), job).await?;
        tx.wakes(self.wake.clone());
        Ok(())
    }

    /// Leaves a job that is carried out at that time, and until then can be taken back by its id.
    pub async fn enqueue_at<J: Job>(
        tx: &mut Transaction,
        organization: Uuid,
        (id, at): (Uuid, DateTime<Utc>),
        job: &J,
    ) -> Result<()> {
        leave(tx, (id, Some(at)), (Some(organization), None), job).await
    }

    /// Takes back a job of an organization that nobody runs yet.
    pub async fn take_back(tx: &mut Transaction, organization: Uuid, id: Uuid) -> Result<()> {
        let waiting = jobs::table
            .filter(jobs::organization_id.eq(organization).and(jobs::id.eq(id)))
            .filter(jobs::status.eq("waiting"));
        diesel::delete(waiting).execute(&mut **tx).await?;
        Ok(())
    }

    /// Lets the worker look at the queue after the commit: a job that was there has become due.
    pub fn wake_after(&self, tx: &mut Transaction) {
        tx.wakes(self.wake.clone());
    }
}

async fn leave<J: Job>(
    tx: &mut Transaction,
    (id, at): (Uuid, Option<DateTime<Utc>>),
    (organization, member): (Option<Uuid>, Option<Uuid>),
    job: &J,
) -> Result<()> {
    diesel::insert_into(jobs::table)
        .values((
            jobs::id.eq(id),
            jobs::organization_id.eq(organization),
            jobs::kind.eq(J::KIND),
            jobs::about.eq(queue::plain(&job.about())),
            jobs::payload.eq(serde_json::to_value(job)?),
            jobs::max_attempts.eq(J::ATTEMPTS),
            jobs::created_by.eq(member),
            at.map(|at| jobs::run_at.eq(at)),
        ))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
