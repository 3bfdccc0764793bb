//! The pool of database connections and the wall's third layer: a connection sees the rows of one
//! organization. Invariant: nobody gets a connection without saying whose it is.

use crate::{config::DatabaseConfig, error::Result};
use diesel_async::AsyncPgConnection;
use std::ops::{Deref, DerefMut};
use uuid::Uuid;

/// The pool.
#[derive(Clone)]
pub struct Database {}

impl Database {
    /// Connects (lazily) to `url`.
    pub async fn connect(_config: &DatabaseConfig, _url: &str) -> Result<Self> {
        todo!()
    }

    /// A connection that sees the rows of one organization.
    pub async fn of(&self, _organization: Uuid) -> Result<Connection> {
        todo!()
    }

    /// A connection for somebody who signs in: sees the user's own memberships and no other tenant row.
    pub async fn of_user(&self, _user: Uuid) -> Result<Connection> {
        todo!()
    }

    /// A connection that sees no tenant row at all.
    pub async fn of_nobody(&self) -> Result<Connection> {
        todo!()
    }
}

/// A pooled connection that speaks for one organization. Reads go through `&Connection` (diesel-async
/// pipelines queries that are polled together on `&AsyncPgConnection`).
pub struct Connection {
    inner: AsyncPgConnection,
}

impl Connection {
    /// Opens a transaction. Dropped without `commit` or `rollback`, the connection is thrown away, and with it
    /// whatever was open.
    pub async fn begin(self) -> Result<Transaction> {
        todo!()
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.inner
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.inner
    }
}

/// An open transaction.
pub struct Transaction {
    connection: Connection,
}

impl Transaction {
    pub async fn commit(self) -> Result<()> {
        todo!()
    }

    pub async fn rollback(self) -> Result<()> {
        todo!()
    }
}

impl Deref for Transaction {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}
