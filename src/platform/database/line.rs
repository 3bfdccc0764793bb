//! The line: one connection that all requests share to look records up by their keys, many questions in flight at once.
//! A question costs PostgreSQL half of what it costs on a connection of its own. Invariant: a question is answered for
//! the organization it was asked for; whatever goes wrong, there is no answer, and whoever asked asks elsewhere.

use super::pooled::{MAX_AGE, MAX_STATEMENTS, Manager};
use futures_util::{
    FutureExt, TryStreamExt,
    future::{BoxFuture, Shared, join},
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Instant,
};
use tokio::{sync::Mutex as Turnstile, task::JoinHandle};
use tokio_postgres::{Client, Row, Statement, types::ToSql};
use uuid::Uuid;

/// Opened by the first who asks, and anew when it has died or grown old.
#[derive(Default)]
pub(super) struct Line {
    open: RwLock<Option<Arc<Wire>>>,
    opening: Turnstile<()>,
    closed: AtomicBool,
}

struct Wire {
    client: Arc<Client>,
    /// Sets for whom the connection speaks.
    set: Statement,
    statements: RwLock<HashMap<Box<str>, Statement>>,
    speaks: Mutex<Option<Speaks>>,
    since: Instant,
    driver: JoinHandle<()>,
}

/// For whom a connection speaks, once the server has said yes.
#[derive(Clone)]
struct Speaks {
    organization: Uuid,
    agreed: Shared<BoxFuture<'static, bool>>,
}

impl Line {
    pub async fn read(
        &self,
        manager: &Manager,
        organization: Uuid,
        sql: &str,
        values: &[impl ToSql + Sync],
    ) -> Option<Vec<Row>> {
        let wire = self.wire(manager).await?;
        let statement = wire.statement(sql).await?;
        wire.ask(organization, &statement, values).await
    }

    /// Nobody gets an answer any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        *self.open.write() = None;
    }

    async fn wire(&self, manager: &Manager) -> Option<Arc<Wire>> {
        let usable = || self.open.read().as_ref().filter(|wire| wire.is_usable()).cloned();
        if let Some(wire) = usable() {
            return Some(wire);
        }
        // One opens it; the others do not wait.
        let _turn = self.opening.try_lock().ok()?;
        if let Some(wire) = usable() {
            return Some(wire);
        }
        let wire = Arc::new(Box::pin(Wire::open(manager)).await?);
        let mut open = self.open.write();
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        *open = Some(wire.clone());
        Some(wire)
    }
}

impl Wire {
    async fn open(manager: &Manager) -> Option<Self> {
        let (client, driver) = manager.open().await.ok()?;
        let set = client.prepare("SELECT set_config('stoa.organization', $1, false)").await.ok()?;
        let (client, since) = (Arc::new(client), Instant::now());
        Some(Wire { client, set, statements: RwLock::default(), speaks: Mutex::default(), since, driver })
    }

    fn is_usable(&self) -> bool {
        !self.driver.is_finished() && self.since.elapsed() < MAX_AGE
    }

    async fn statement(&self, sql: &str) -> Option<Statement> {
        if let Some(known) = self.statements.read().get(sql) {
            return Some(known.clone());
        }
        let statement = Box::pin(self.client.prepare(sql)).await.ok()?;
        let mut statements = self.statements.write();
        // Clients choose what they select, so that there is no end of statements.
        if statements.len() < MAX_STATEMENTS {
            statements.insert(sql.into(), statement.clone());
        }
        Some(statement)
    }

    /// tokio-postgres sends what is asked in the order in which its futures are first polled; so nothing comes between
    /// a question and what it is asked for when both are polled first under one lock.
    async fn ask(&self, organization: Uuid, statement: &Statement, values: &[impl ToSql + Sync]) -> Option<Vec<Row>> {
        let question = async { self.client.query_raw(statement, values).await.ok()?.try_collect().await.ok() };
        let mut question = std::pin::pin!(question);
        let (agreed, first) = poll_fn(|cx| {
            let mut speaks = self.speaks.lock();
            let agreed = match &*speaks {
                Some(speaks) if speaks.organization == organization => speaks.agreed.clone(),
                _ => {
                    let (client, set) = (self.client.clone(), self.set.clone());
                    let set = async move { client.execute(&set, &[&organization.to_string()]).await.is_ok() };
                    let mut agreed = set.boxed().shared();
                    // It is sent now; its answer is looked at below, by everybody who relies on it.
                    let _ = agreed.poll_unpin(cx);
                    *speaks = Some(Speaks { organization, agreed: agreed.clone() });
                    agreed
                }
            };
            Poll::Ready((agreed, question.as_mut().poll(cx)))
        })
        .await;
        let answer = async {
            match first {
                Poll::Ready(rows) => rows,
                Poll::Pending => question.await,
            }
        };
        let (rows, agreed) = join(answer, agreed).await;
        if agreed {
            return rows;
        }
        // Until it is known for whom it speaks it is not to be used.
        self.driver.abort();
        None
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
