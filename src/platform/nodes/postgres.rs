//! The way over PostgreSQL: LISTEN and NOTIFY on one connection of its own, so that no transaction that writes ever
//! notifies (that is six times slower, and takes turns with all others that do). Invariant: a connection that sends
//! also hears, so that a dead one is noticed by sending.

use super::{Hear, Way, Wire};
use crate::platform::database::address::{Address, explain};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use futures_util::future::BoxFuture;
use tokio_postgres::{AsyncMessage, Client, Statement};
use tokio_util::task::AbortOnDropHandle;

/// Nobody waits for a NOTIFY to reach the disk; it is lost with the server anyway.
const SESSION: &str = "SET application_name = 'stoa nodes'; SET synchronous_commit = off; SET statement_timeout = 5000; LISTEN stoa_nodes";
const CHANNEL: &str = "stoa_nodes";

pub(super) struct Postgres {
    address: Address,
}

struct Line {
    client: Client,
    notify: Statement,
    driver: AbortOnDropHandle<()>,
}

impl Postgres {
    pub fn new(address: Address) -> Self {
        Postgres { address }
    }

    async fn connect(&self, hear: Hear) -> Result<Line, String> {
        let heard = move |message: AsyncMessage| {
            if let AsyncMessage::Notification(said) = message
                && said.channel() == CHANNEL
                && let Ok(frame) = BASE64.decode(said.payload())
            {
                hear(&frame);
            }
        };
        let (client, driver) = self.address.connect_hearing(heard).await.map_err(|fault| format!("{fault:?}"))?;
        let driver = AbortOnDropHandle::new(driver);
        client.batch_execute(SESSION).await.map_err(explain)?;
        let notify = client.prepare("SELECT pg_notify('stoa_nodes', $1)").await.map_err(explain)?;
        Ok(Line { client, notify, driver })
    }
}

impl Way for Postgres {
    fn open(&self, hear: Hear) -> BoxFuture<'_, Result<Box<dyn Wire>, String>> {
        Box::pin(async move { Ok(Box::new(self.connect(hear).await?) as Box<dyn Wire>) })
    }
}

impl Wire for Line {
    fn send<'a>(&'a mut self, frame: &'a [u8]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(
            async move { self.client.execute(&self.notify, &[&BASE64.encode(frame)]).await.map(drop).map_err(explain) },
        )
    }

    fn broken(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async {
            let _ = (&mut self.driver).await;
            "PostgreSQL has closed the connection".to_owned()
        })
    }
}
