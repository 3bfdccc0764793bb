//! The way over Redis: one channel, a connection that hears and one that says. For many nodes, where every NOTIFY would
//! be work for the database. Nothing is kept there. Invariant: an address that asks for TLS (`rediss://`) is never
//! spoken to without.

use super::{Hear, Way, Wire};
use futures_util::{StreamExt, future::BoxFuture};
use redis::{Client, aio::MultiplexedConnection, cmd};
use tokio_util::task::AbortOnDropHandle;

/// A Redis server, and what the names begin with that are ours there.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    prefix: String,
}

struct Line {
    says: MultiplexedConnection,
    channel: String,
    hears: AbortOnDropHandle<()>,
}

impl Redis {
    /// `url` is `redis://`, `rediss://` or `redis+unix://`; installations that share a server have prefixes of their own. An
    /// error in words, without the password.
    pub fn new(url: &str, prefix: &str) -> Result<Self, String> {
        let client = Client::open(url).map_err(|fault| fault.category().to_owned())?;
        Ok(Redis { client, prefix: prefix.to_owned() })
    }

    /// What all names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A connection for commands; an error in words.
    pub async fn connection(&self) -> Result<MultiplexedConnection, String> {
        self.client.get_multiplexed_async_connection().await.map_err(words)
    }

    /// The server's version, as it says itself.
    pub async fn version(&self) -> Result<String, String> {
        let mut connection = self.connection().await?;
        let info: String = cmd("INFO").arg("server").query_async(&mut connection).await.map_err(words)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.unwrap_or("of an unknown version").trim().to_owned())
    }

    async fn connect(&self, hear: Hear) -> Result<Line, String> {
        let mut hears = self.client.get_async_pubsub().await.map_err(words)?;
        let channel = format!("{}:nodes", self.prefix);
        hears.subscribe(&channel).await.map_err(words)?;
        let mut messages = hears.into_on_message();
        let hears = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                hear(message.get_payload_bytes());
            }
        });
        let hears = AbortOnDropHandle::new(hears);
        Ok(Line { says: self.connection().await?, channel, hears })
    }
}

impl Way for Redis {
    fn open(&self, hear: Hear) -> BoxFuture<'_, Result<Box<dyn Wire>, String>> {
        Box::pin(async move { Ok(Box::new(self.connect(hear).await?) as Box<dyn Wire>) })
    }
}

impl Wire for Line {
    fn send<'a>(&'a mut self, frame: &'a [u8]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let said = cmd("PUBLISH").arg(&self.channel).arg(frame).query_async::<i64>(&mut self.says).await;
            match said.map_err(words)? {
                // Not even this node hears it: the connection that hears is gone, whatever it looks like.
                0 => Err("nobody listens".to_owned()),
                _ => Ok(()),
            }
        })
    }

    fn broken(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async {
            let _ = (&mut self.hears).await;
            "Redis has closed the connection".to_owned()
        })
    }
}

fn words(fault: redis::RedisError) -> String {
    format!("Redis: {fault}")
}
