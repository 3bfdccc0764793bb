//! The pool of database connections and the wall's third layer: a connection sees the rows of one
//! organization. Invariant: nobody gets a connection without saying whose it is, and none goes back to the
//! pool with a transaction open.

pub mod address;
mod line;
mod pooled;
mod pulse;
mod tls;

use crate::{
    config::{DatabaseConfig, millis},
    error::{Error, Result},
};
use address::Address;
use deadpool::managed::{self, Object, PoolError, QueueMode};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use line::Line;
use pooled::{Manager, Owner};
use pulse::Pulse;
use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};
use tokio_postgres::{Client, Row, types::ToSql};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

type Pool = managed::Pool<Manager>;

/// Futures that hold one move between threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Database>();
    shared::<Connection>();
    shared::<Transaction>();
};

/// How long readiness waits for an answer at most.
const PING: Duration = Duration::from_secs(1);

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    wait: Duration,
    taken: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
    line: Arc<Line>,
}

/// The pool at one moment, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Connections that are open.
    pub size: usize,
    /// Open connections that nobody uses.
    pub available: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections that may be open at once.
    pub max: usize,
}

impl Database {
    /// A pool for `url` (`postgres://…`, see [`Address`]). Connects when the first connection is asked for, so
    /// that Stoa starts and recovers by itself while the database is away; a bad URL is told at once.
    pub async fn connect(config: &DatabaseConfig, url: &str) -> Result<Self> {
        let wait = millis(config.wait_ms);
        let address = Address::parse(url)?;
        let pulse = Arc::new(Pulse::new(address.clone()));
        let manager = Manager::new(address, millis(config.statement_timeout_ms), pulse.clone());
        // Last in, first out: few connections stay warm, and those that rest are noticed when they die.
        let pool = Pool::builder(manager)
            .max_size(config.pool.max(1))
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(Error::ours)?;
        Ok(Database { pool, wait, taken: Arc::default(), pulse, line: Arc::default() })
    }

    /// The rows of one organization that a short statement finds by their keys, asked on the connection that all
    /// requests share. None: ask on a connection of your own; there is no such line now, or it failed.
    pub async fn look_up(&self, organization: Uuid, sql: &str, values: &[impl ToSql + Sync]) -> Option<Vec<Row>> {
        let rows = self.line.read(self.pool.manager(), organization, sql, values).await?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.pulse.beat();
        Some(rows)
    }

    /// A connection that sees the rows of one organization. SERVICE_UNAVAILABLE when none is to be had
    /// within `database.wait_ms`.
    pub async fn of(&self, organization: Uuid) -> Result<Connection> {
        self.checkout(Owner::Organization(organization)).await
    }

    /// A connection for somebody who signs in: sees the user's own memberships and no other tenant row.
    pub async fn of_user(&self, user: Uuid) -> Result<Connection> {
        self.checkout(Owner::User(user)).await
    }

    /// A connection that sees no tenant row at all.
    pub async fn of_nobody(&self) -> Result<Connection> {
        self.checkout(Owner::Nobody).await
    }

    /// A connection for what nobody has asked for: sees the queue of jobs, its schedules and which organizations there
    /// are, and no row that is in these.
    pub async fn of_worker(&self) -> Result<Connection> {
        self.checkout(Owner::Worker).await
    }

    /// A connection of its own beside the pool, so that a full pool does not blind whoever must see what has ended. Sees what
    /// a worker sees.
    pub async fn watcher(&self) -> Result<Watcher> {
        let (client, driver) = self.pool.manager().open().await?;
        let driver = AbortOnDropHandle::new(driver);
        client.batch_execute("SELECT set_config('stoa.worker', 'on', false)").await.map_err(address::fault)?;
        Ok(Watcher { client, _driver: driver })
    }

    /// Another number once a connection was opened to a server that was started since, and so may have other rows than the one
    /// before (failover, restore). Whoever has written after that has such a connection, and finds the new number.
    pub fn server(&self) -> u64 {
        self.pool.manager().server()
    }

    /// Whether the database answers, within a second and within `database.wait_ms`.
    pub async fn ping(&self) -> Result<()> {
        let limit = self.wait.min(PING);
        timeout(limit, async {
            loop {
                let mut object = self.pool.get().await.map_err(fault)?;
                // Until it has answered it is not worth keeping.
                object.spoiled = true;
                match object.connection.batch_execute("SELECT 1").await.map_err(Error::from) {
                    Ok(()) => {
                        object.spoiled = false;
                        return Ok(());
                    }
                    Err(Error::TooSlow(..)) => continue,
                    Err(fault) => return Err(fault),
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err(late(limit)))
    }

    /// Ends when the server has stopped answering (SERVICE_UNAVAILABLE), within a second; never while it answers others,
    /// however long one statement takes. To be waited for beside work that asks the database.
    pub async fn lost(&self) -> Error {
        self.pulse.lost().await
    }

    /// How full the pool is.
    pub fn stats(&self) -> Stats {
        let status = self.pool.status();
        Stats { size: status.size, available: status.available, waiting: status.waiting, max: status.max_size }
    }

    /// How often somebody has taken a connection: what tells a read per subscriber from one for all.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Closes the pool: connections that rest are closed now, those in use when they come back, and nobody
    /// gets a new one.
    pub fn close(&self) {
        self.pool.close();
        self.line.close();
    }

    async fn checkout(&self, owner: Owner) -> Result<Connection> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        timeout(self.wait, async {
            loop {
                let mut object = self.pool.get().await.map_err(fault)?;
                if object.owner == owner {
                    return Ok(Connection { object });
                }
                match object.belong_to(owner).await.map_err(Error::from) {
                    Ok(()) => return Ok(Connection { object }),
                    // It died while it rested; what is behind it in the pool may have, too, the last one is new.
                    Err(Error::TooSlow(..)) => continue,
                    Err(fault) => return Err(fault),
                }
            }
        })
        .await
        .unwrap_or_else(|_| Err(late(self.wait)))
    }
}

fn late(wait: Duration) -> Error {
    Error::unavailable(format!("no usable database connection within {} ms", wait.as_millis()))
}

fn fault(error: PoolError<Error>) -> Error {
    match error {
        PoolError::Backend(error) => error,
        error => Error::unavailable(error.to_string()),
    }
}

/// See [`Database::watcher`]. Closed when it is dropped.
pub struct Watcher {
    pub client: Client,
    _driver: AbortOnDropHandle<()>,
}

/// A pooled connection that speaks for one organization. Reads go through `&Connection` (diesel-async
/// pipelines queries that are polled together on `&AsyncPgConnection`): `.load(&mut &*connection)`.
pub struct Connection {
    object: Object<Manager>,
}

impl Connection {
    /// Opens a transaction. Dropped without `commit` or `rollback`, the connection is thrown away, and with it
    /// whatever was open.
    pub async fn begin(self) -> Result<Transaction> {
        // Open before the server says so: if this future is dropped, nobody knows how far it got.
        let mut transaction = Transaction { connection: self, open: true, wakes: None };
        transaction.batch_execute("BEGIN").await?;
        Ok(transaction)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The next one would wait for it, and the database work for nobody.
        if self.object.is_abandoned() {
            self.object.discard();
        }
    }
}

impl Deref for Connection {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.object.connection
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.object.connection
    }
}

/// An open transaction. Writes go through `&mut *transaction`.
pub struct Transaction {
    connection: Connection,
    open: bool,
    wakes: Option<Arc<Notify>>,
}

impl Transaction {
    /// From here on sees a user's own memberships and no other tenant row, until `be_oneself` or the end of the
    /// transaction.
    pub async fn be_user(&mut self, user: Uuid) -> Result<()> {
        Ok(self.connection.object.say(Owner::User(user), true).await?)
    }

    /// From here on sees and writes the rows of an organization, as `be_user`. For what happens to a person and is told
    /// in each of their organizations.
    pub async fn be_organization(&mut self, organization: Uuid) -> Result<()> {
        Ok(self.connection.object.say(Owner::Organization(organization), true).await?)
    }

    /// Sees again what it was made for.
    pub async fn be_oneself(&mut self) -> Result<()> {
        let owner = self.connection.object.owner;
        Ok(self.connection.object.say(owner, true).await?)
    }

    /// Wakes somebody as soon as what was written can be seen.
    pub fn wakes(&mut self, sleeper: Arc<Notify>) {
        self.wakes = Some(sleeper);
    }

    /// Makes what was written last. An error, also of a statement before that the caller overlooked, means that
    /// nothing was written; only when the connection breaks at this very moment it is unknown.
    pub async fn commit(mut self) -> Result<()> {
        // COMMIT alone answers "fine" in a transaction that has failed, and rolls it back. Any other statement
        // is refused there, and the COMMIT in the same message is then not reached.
        self.batch_execute("SELECT; COMMIT").await?;
        self.open = false;
        if let Some(sleeper) = &self.wakes {
            sleeper.notify_one();
        }
        Ok(())
    }

    /// Undoes what was written.
    pub async fn rollback(mut self) -> Result<()> {
        self.batch_execute("ROLLBACK").await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            self.connection.object.discard();
        }
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
