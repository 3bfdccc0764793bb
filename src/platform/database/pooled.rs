//! One connection of the pool: how it is opened, whose it is, when it is thrown away. Invariant: it runs as a
//! role that row level security holds for, or it is not opened.

use super::{address::Address, pulse::Pulse};
use crate::error::{Error, Result};
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use diesel::{
    QueryResult,
    connection::{InstrumentationEvent, get_default_instrumentation},
    sql_types::Text,
};
use diesel_async::{AnsiTransactionManager, AsyncConnection, AsyncPgConnection, TransactionManager};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

/// Prepared statements per connection; diesel never forgets one, and each costs memory on both sides.
pub(super) const MAX_STATEMENTS: usize = 1000;

/// A connection is replaced at this age: what the server has cached for it goes with it.
pub(super) const MAX_AGE: Duration = Duration::from_secs(3600);

/// A transaction in which nothing happens for so long is given up by the server.
const IDLE_TRANSACTION: Duration = Duration::from_secs(30);

/// How long the cancelling of an abandoned statement may take.
const CANCEL: Duration = Duration::from_secs(1);

/// For whom a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Not known: whatever was set last may or may not have arrived.
    Unknown,
    Nobody,
    Organization(Uuid),
    User(Uuid),
    /// Nobody's, and the queue's: see `Database::of_worker`.
    Worker,
}

/// A connection that remembers whose it is.
pub(super) struct Pooled {
    pub connection: AsyncPgConnection,
    pub owner: Owner,
    /// Not to be used again.
    pub spoiled: bool,
    /// Moves the bytes; ends when the connection closes, from either side.
    driver: JoinHandle<()>,
    address: Address,
    activity: Arc<Activity>,
}

/// What diesel does on a connection.
#[derive(Default)]
struct Activity {
    /// Statements prepared and kept.
    prepared: AtomicUsize,
    /// Statements whose answer is awaited. Stays above zero when the future that waited is dropped.
    running: AtomicUsize,
}

impl Activity {
    fn note(&self, event: &InstrumentationEvent<'_>, pulse: &Pulse) {
        match event {
            InstrumentationEvent::CacheQuery { .. } => self.prepared.fetch_add(1, Ordering::Relaxed),
            InstrumentationEvent::StartQuery { .. } => self.running.fetch_add(1, Ordering::Relaxed),
            InstrumentationEvent::FinishQuery { error, .. } => {
                if error.is_none() {
                    pulse.beat();
                }
                self.running.fetch_sub(1, Ordering::Relaxed)
            }
            _ => 0,
        };
    }
}

diesel::define_sql_function! {
    /// Sets a setting, for the session or the transaction, and returns the new value.
    fn set_config(name: Text, value: Text, only_this_transaction: diesel::sql_types::Bool) -> Text;
}

impl Pooled {
    /// Lets the connection speak for somebody else: one statement. Spoiled unless it has worked.
    pub async fn belong_to(&mut self, owner: Owner) -> QueryResult<()> {
        self.spoiled = true;
        self.owner = Owner::Unknown;
        self.say(owner, false).await?;
        self.owner = owner;
        self.spoiled = false;
        Ok(())
    }

    /// Tells the server for whom the connection speaks, for good or until the transaction ends.
    pub async fn say(&mut self, owner: Owner, only_this_transaction: bool) -> QueryResult<()> {
        use diesel_async::RunQueryDsl;
        let (organization, user) = match owner {
            Owner::Organization(id) => (Some(id), None),
            Owner::User(id) => (None, Some(id)),
            Owner::Nobody | Owner::Unknown | Owner::Worker => (None, None),
        };
        let worker = if owner == Owner::Worker { "on" } else { "" };
        let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        diesel::select((
            set_config("stoa.organization", text(organization), only_this_transaction),
            set_config("stoa.user", text(user), only_this_transaction),
            set_config("stoa.worker", worker, only_this_transaction),
        ))
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Whether a statement still runs for somebody who has stopped waiting for it.
    pub fn is_abandoned(&self) -> bool {
        self.activity.running.load(Ordering::Relaxed) > 0
    }

    /// Closes the connection now; the server rolls back what was open. A statement that still runs is cancelled:
    /// the server would not look at the connection before its end.
    pub fn discard(&mut self) {
        if std::mem::replace(&mut self.spoiled, true) {
            return;
        }
        self.driver.abort();
        if self.is_abandoned()
            && let Ok(runtime) = Handle::try_current()
        {
            let (address, statement) = (self.address.clone(), self.connection.cancel_token());
            // Ends by itself within a second; if it fails, the statement's time-out does the same later.
            runtime.spawn(async move { timeout(CANCEL, address.cancel(statement)).await });
        }
    }
}

/// Opens connections.
pub(super) struct Manager {
    address: Address,
    statement_timeout: Duration,
    pulse: Arc<Pulse>,
    server: Mutex<Server>,
}

/// The start of the server that connections were last opened to.
#[derive(Default)]
struct Server {
    started: String,
    /// How many others there were before it.
    others: u64,
}

impl Manager {
    pub fn new(address: Address, statement_timeout: Duration, pulse: Arc<Pulse>) -> Self {
        Manager { address, statement_timeout, pulse, server: Mutex::default() }
    }

    /// Another number after each start of the server that a connection was opened to since.
    pub fn server(&self) -> u64 {
        self.server.lock().others
    }

    fn note(&self, started: String) {
        let mut server = self.server.lock();
        if server.started != started {
            *server = Server { started, others: server.others + 1 };
        }
    }
}

impl Manager {
    /// A connection with the settings and the role of requests, and the task that moves its bytes.
    pub async fn open(&self) -> Result<(Client, JoinHandle<()>)> {
        let (client, driver) = self.address.connect().await?;
        let session = format!(
            "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; {WHO_AM_I}",
            self.statement_timeout.as_millis(),
            IDLE_TRANSACTION.as_millis(),
        );
        let answer = client.simple_query(&session).await.map_err(super::address::fault)?;
        let facts = Facts::read(&answer)?;
        let role = facts.request_role()?;
        self.note(facts.started);
        if let Some(role) = role {
            client.batch_execute(role).await.map_err(super::address::fault)?;
        }
        Ok((client, driver))
    }
}

impl managed::Manager for Manager {
    type Type = Pooled;
    type Error = Error;

    async fn create(&self) -> Result<Pooled> {
        let (client, driver) = Box::pin(self.open()).await?;
        let mut connection = AsyncPgConnection::try_from(client).await.map_err(Error::unavailable)?;
        let activity = Arc::new(Activity::default());
        let (noted, pulse) = (activity.clone(), self.pulse.clone());
        // What the program watches all connections with hears of this one as well.
        let mut others = get_default_instrumentation();
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            noted.note(&event, &pulse);
            if let Some(others) = &mut others {
                others.on_connection_event(event);
            }
        });
        let address = self.address.clone();
        Ok(Pooled { connection, owner: Owner::Unknown, spoiled: false, driver, address, activity })
    }

    async fn recycle(&self, pooled: &mut Pooled, metrics: &Metrics) -> RecycleResult<Error> {
        let reason = if pooled.spoiled || pooled.driver.is_finished() {
            "closed"
        } else if AnsiTransactionManager::is_broken_transaction_manager(&mut pooled.connection) {
            "in a transaction"
        } else if pooled.activity.prepared.load(Ordering::Relaxed) > MAX_STATEMENTS || metrics.age() > MAX_AGE {
            "worn out"
        } else {
            return Ok(());
        };
        Err(RecycleError::message(reason))
    }
}

/// Whom the server takes us for, and whether the role of requests may be taken. Before PostgreSQL 16 a member of a
/// role could always switch to it.
const WHO_AM_I: &str = "
    SELECT current_setting('server_version_num') AS version,
           extract(epoch FROM pg_postmaster_start_time()) AS started,
           me.rolsuper AS superuser,
           me.rolsuper OR me.rolbypassrls AS bypasses,
           request.rolsuper OR request.rolbypassrls AS request_bypasses,
           pg_has_role(request.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
                                         THEN 'SET' ELSE 'MEMBER' END) AS may_switch
    FROM pg_roles me LEFT JOIN pg_roles request ON request.rolname = 'stoa_request'
    WHERE me.rolname = current_user";

struct Facts {
    version: u32,
    started: String,
    superuser: bool,
    bypasses: bool,
    request_bypasses: bool,
    may_switch: bool,
}

impl Facts {
    fn read(answer: &[SimpleQueryMessage]) -> Result<Self> {
        let row = answer
            .iter()
            .find_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .ok_or_else(|| Error::ours("PostgreSQL does not know the role that Stoa connects as"))?;
        let text = |column| row.try_get(column).map(Option::unwrap_or_default).map_err(Error::ours);
        let yes = |column| text(column).map(|value| value == "t");
        Ok(Facts {
            version: text("version")?.parse().unwrap_or(0),
            started: text("started")?.to_owned(),
            superuser: yes("superuser")?,
            bypasses: yes("bypasses")?,
            request_bypasses: yes("request_bypasses")?,
            may_switch: yes("may_switch")?,
        })
    }

    /// What makes this session one that the wall holds for; an error when nothing does.
    fn request_role(&self) -> Result<Option<&'static str>> {
        super::address::check_version(self.version)?;
        match self {
            Facts { may_switch: true, request_bypasses: true, .. } => Err(Error::ours(
                "the role stoa_request bypasses row level security: ALTER ROLE stoa_request NOSUPERUSER NOBYPASSRLS",
            )),
            // Errors are told apart by their English words where the code is not enough.
            Facts { may_switch: true, superuser: true, .. } => Ok(Some("SET lc_messages = 'C'; SET ROLE stoa_request")),
            Facts { may_switch: true, .. } => Ok(Some("SET ROLE stoa_request")),
            Facts { bypasses: true, .. } => Err(Error::ours(
                "the database user of Stoa bypasses row level security and may not become stoa_request: \
                 run `stoa migrate up`, or connect as a user who is neither superuser nor BYPASSRLS",
            )),
            _ => Ok(None),
        }
    }
}
