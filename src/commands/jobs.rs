//! `stoa jobs`: what is to be done for no organization, looked at and mended while the server runs. Invariant: nothing of an
//! organization is seen here; its administrators have the API for that.

use super::administer;
use crate::{
    app::App,
    config::Config,
    error::Result,
    platform::jobs::by_hand::{self, Open},
};
use clap::Subcommand;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Show what waits, runs or is dead, the oldest first
    List,
    /// Run jobs now that wait or are dead
    Retry {
        /// Which jobs
        #[arg(required_unless_present = "dead")]
        ids: Vec<Uuid>,
        /// All that are dead
        #[arg(long, conflicts_with = "ids")]
        dead: bool,
    },
    /// Give jobs up that wait or are dead, and forget what they held
    Discard {
        /// Which jobs
        #[arg(required = true)]
        ids: Vec<Uuid>,
    },
}

pub(super) async fn run(config: &Config, action: Action) -> Result<()> {
    administer(config, async |app| act(&app, action).await).await
}

/// What was done, in words.
async fn act(app: &App, action: Action) -> Result<String> {
    let database = &app.database;
    Ok(match action {
        Action::List => {
            let lines: Vec<String> = by_hand::open(database).await?.iter().map(line).collect();
            if lines.is_empty() { "nothing waits, runs or is dead".to_owned() } else { lines.join("\n") }
        }
        Action::Retry { mut ids, dead } => {
            if dead {
                let open = by_hand::open(database).await?;
                ids = open.iter().filter(|job| job.status == "dead").map(|job| job.id).collect();
            }
            by_hand::retry(database, &ids).await?;
            format!("{} due again", jobs(ids.len()))
        }
        Action::Discard { ids } => {
            by_hand::discard(database, &ids).await?;
            format!("{} given up", jobs(ids.len()))
        }
    })
}

fn jobs(count: usize) -> String {
    if count == 1 { "1 job is".to_owned() } else { format!("{count} jobs are") }
}

fn line(job: &Open) -> String {
    let Open { id, kind, about, status, attempts, max_attempts, last_error, run_at } = job;
    let when = if status == "waiting" { format!(", next {}", run_at.format("%FT%TZ")) } else { String::new() };
    let why = last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{id}  {status:<7}  {kind} ({about}), attempt {attempts} of {max_attempts}{when}{why}")
}
