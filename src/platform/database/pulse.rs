//! Whether the database server still answers at all: for work that waits for it already. A server that is stopped or cut
//! off does not close its connections, it only says nothing any more. Invariant: a server that answers anything, however
//! slowly it answers this, is not called away.

use super::address::Address;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

/// How long work may wait before somebody looks.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long the server may take to answer whoever looks. With `PATIENCE` less than a second.
const ANSWER: Duration = Duration::from_millis(550);
/// How long what was found holds.
const FRESH: Duration = Duration::from_millis(100);

pub(super) struct Pulse {
    address: Address,
    /// When a statement was last answered, to anybody.
    answered: Mutex<Option<Instant>>,
    probe: tokio::sync::Mutex<Probe>,
}

/// Who looks, one at a time; the others wait and believe it.
#[derive(Default)]
struct Probe {
    client: Option<Client>,
    away_at: Option<Instant>,
}

impl Pulse {
    pub fn new(address: Address) -> Self {
        Pulse { address, answered: Mutex::default(), probe: tokio::sync::Mutex::default() }
    }

    /// A statement was answered.
    pub fn beat(&self) {
        *self.answered.lock() = Some(Instant::now());
    }

    /// Ends when the server does not answer any more, within a second of its falling silent.
    pub async fn lost(&self) -> Error {
        loop {
            sleep(PATIENCE).await;
            if let Err(fault) = self.feel().await {
                return fault;
            }
        }
    }

    async fn feel(&self) -> Result<()> {
        let mut probe = self.probe.lock().await;
        let fresh = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < FRESH);
        if fresh(*self.answered.lock()) {
            return Ok(());
        }
        let away = || Error::unavailable(format!("PostgreSQL has answered nothing for {} ms", ANSWER.as_millis()));
        if fresh(probe.away_at) {
            return Err(away());
        }
        // Until it has answered, a connection is not worth keeping; nor when whoever looks is dropped.
        let kept = probe.client.take();
        let asking = async {
            let mut kept = kept;
            loop {
                let (client, new) = match kept.take() {
                    Some(client) => (client, false),
                    None => (self.address.connect().await?.0, true),
                };
                match client.simple_query("SELECT 1").await {
                    Ok(_) => return Ok(client),
                    // It died while it rested.
                    Err(_) if !new => {}
                    Err(fault) => return Err(super::address::fault(fault)),
                }
            }
        };
        match timeout(ANSWER, asking).await {
            Ok(Ok(client)) => {
                (probe.client, probe.away_at) = (Some(client), None);
                self.beat();
                Ok(())
            }
            // It refuses new connections: then it answers.
            Ok(Err(Error::Ours(_) | Error::Yours(_))) => Ok(()),
            Ok(Err(fault)) => {
                probe.away_at = Some(Instant::now());
                Err(fault)
            }
            Err(_) => {
                probe.away_at = Some(Instant::now());
                Err(away())
            }
        }
    }
}
