//! What has ended elsewhere: a session that another node, or somebody in the database, has revoked. Invariant: it is gone
//! here within a second, on HTTP and on open sockets, with nothing but the database in between: what a node believes of
//! sessions is forgotten a quarter of a second after the commit, and sockets look twice a second.

use crate::{app::App, error::Result};
use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(250);
/// A look that takes longer is given up: what is believed grows old by itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// Looked at more than once: for what is committed some time after it was noted, and for whoever was asking the database
/// at that moment.
const RECENT: &str = "SELECT subject FROM endings WHERE at > clock_timestamp() - interval '1500 milliseconds'";
/// For the hourly upkeep.
const OLD: &str = "DELETE FROM endings WHERE at < now() - interval '1 minute'";

#[derive(QueryableByName)]
struct Ending {
    #[diesel(sql_type = sql_types::Uuid)]
    subject: Uuid,
}

/// Forgets what has changed, for as long as it is polled.
pub async fn follow(app: Arc<App>) {
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        // A database that is away is told of elsewhere.
        let Ok(Ok(recent)) = timeout(PATIENCE, recent(&app)).await else { continue };
        if recent.is_empty() {
            continue;
        }
        app.standings.forget_where(|standing| {
            [standing.organization, standing.member, standing.user].iter().any(|id| recent.contains(id))
        });
        recent.iter().for_each(|session| app.standings.forget(*session));
    }
}

async fn recent(app: &App) -> Result<HashSet<Uuid>> {
    // Over the line that all share, so that no full pool is waited for.
    let nothing: [Uuid; 0] = [];
    if let Some(rows) = app.database.look_up(Uuid::nil(), RECENT, &nothing).await {
        return Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect());
    }
    let rows: Vec<Ending> = sql_query(RECENT).load(&mut *app.database.of_nobody().await?).await?;
    Ok(rows.into_iter().map(|ending| ending.subject).collect())
}

/// Removes what every node has seen.
pub async fn purge(app: &App) -> Result<()> {
    sql_query(OLD).execute(&mut *app.database.of_nobody().await?).await?;
    Ok(())
}
