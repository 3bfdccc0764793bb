//! The transaction of a member's mutation, and why it may come to nothing. Invariant: its events are stored by its last
//! statement and published after the commit.

use crate::{
    error::{Error, Result},
    events::{Change, Hub},
    kit::{
        idempotency,
        scalars::DateTime,
        scope::Scope,
        user_error::{UserErrorCode, UserErrors},
    },
    platform::database::Transaction,
};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use uuid::Uuid;

/// An open transaction of a member, with the events that its commit will publish.
pub struct Tx {
    pub scope: Scope,
    /// When all of this happens: one time for every row and event of the transaction.
    pub now: DateTime,
    pub(super) transaction: Transaction,
    changes: Vec<Change>,
}

impl Scope {
    /// EMAIL_NOT_VERIFIED when the member may not write yet.
    pub async fn begin(&self) -> Result<Tx> {
        self.actor.demand_verified()?;
        let transaction = self.reader().await?.begin().await?;
        Ok(Tx { scope: self.clone(), now: DateTime::now(), transaction, changes: Vec::new() })
    }
}

impl Tx {
    pub fn conn(&mut self) -> &mut AsyncPgConnection {
        &mut self.transaction
    }

    /// For what is left to be done after the commit.
    pub fn transaction(&mut self) -> &mut Transaction {
        &mut self.transaction
    }

    /// For reads in the transaction, which diesel-async can send together.
    pub fn reader(&self) -> &AsyncPgConnection {
        &self.transaction
    }

    /// What the commit will tell.
    pub fn record(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Numbers and stores the events, commits, then publishes.
    pub async fn commit(mut self) -> Result<()> {
        idempotency::note(&self.scope, &mut self.transaction).await?;
        let changes = std::mem::take(&mut self.changes);
        let mut events = Vec::new();
        if !changes.is_empty() {
            let (organization, origin) = (self.scope.actor.organization, self.scope.origin());
            events = Hub::append(&mut self.transaction, organization, &origin, changes).await?;
        }
        self.transaction.commit().await?;
        self.scope.loads.clear();
        self.scope.app.hub.publish(events);
        Ok(())
    }

    /// Commits what succeeded, rolls back what failed.
    pub async fn finish<T>(self, result: Result<T, Stop>) -> Result<Result<T, Rejection>> {
        match result {
            Ok(value) => self.commit().await.map(|()| Ok(value)),
            Err(stop) => {
                self.transaction.rollback().await?;
                match stop {
                    Stop::Rejected(rejection) => Ok(Err(rejection)),
                    Stop::Failed(fault) => Err(fault),
                }
            }
        }
    }

    /// Runs one of several writes so that its failure leaves the others alone.
    pub(super) async fn attempt<T>(&mut self, write: impl AsyncFnOnce(&mut Tx) -> Result<T, Stop>) -> Result<T, Stop> {
        self.transaction.batch_execute("SAVEPOINT item").await.map_err(Error::from)?;
        let told = self.changes.len();
        let result = write(self).await;
        if result.is_err() {
            self.changes.truncate(told);
            self.transaction.batch_execute("ROLLBACK TO SAVEPOINT item").await.map_err(Error::from)?;
        }
        self.transaction.batch_execute("RELEASE SAVEPOINT item").await.map_err(Error::from)?;
        result
    }
}

/// What the user has to mend, and the record as it stands where that helps.
#[derive(Debug, Default)]
pub struct Rejection {
    pub errors: UserErrors,
    /// The record that the write would have changed.
    pub current: Option<Uuid>,
}

/// Why a write goes no further.
#[derive(Debug)]
pub enum Stop {
    Rejected(Rejection),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(fault: Error) -> Self {
        Stop::Failed(fault)
    }
}

impl From<diesel::result::Error> for Stop {
    fn from(fault: diesel::result::Error) -> Self {
        Stop::Failed(fault.into())
    }
}

impl From<UserErrors> for Stop {
    fn from(errors: UserErrors) -> Self {
        Stop::Rejected(Rejection { errors, current: None })
    }
}

impl Stop {
    /// One fault of one field.
    pub fn at(field: &str, code: UserErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        let mut errors = UserErrors::default();
        errors.add(field, code, message);
        errors.into()
    }
}
