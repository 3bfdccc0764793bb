//! `stoa migrate`: brings the database to the shape that this Stoa expects, or says what is missing. Uses the
//! database that `stoa serve` would; the embedded one is started for it and stopped again.

use crate::{
    config::Config,
    error::{Error, Result},
    platform::{
        migrations::{self, MigrationState, Outcome},
        postgres::Postgres,
    },
};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Action {
    /// Runs what is pending.
    Up,
    /// Lists all migrations.
    Status,
    /// Undoes the newest migration and runs it again; its data is lost. Not in production.
    Redo,
}

/// Does it and prints a line per migration.
pub async fn run(config: &Config, action: Action) -> Result<()> {
    if action == Action::Redo && config.production {
        return Err(Error::ours("redo undoes a migration with all its data: not in production"));
    }
    let (server, url) = Postgres::given_or_embedded(config).await?;
    let done = act(&url, action).await;
    if let Some(server) = server {
        server.stop().await;
    }
    done
}

async fn act(url: &str, action: Action) -> Result<()> {
    match action {
        Action::Up => tell(migrations::up(url).await?),
        Action::Redo => tell(migrations::redo(url).await?),
        Action::Status => {
            for migration in migrations::status(url).await? {
                let state = match migration.state {
                    MigrationState::Applied => "applied",
                    MigrationState::Pending => "pending",
                    MigrationState::Unknown => "newer than this Stoa",
                };
                println!("{:<50} {state}", migration.name);
            }
        }
    }
    Ok(())
}

fn tell(outcome: Outcome) {
    for version in &outcome.reverted {
        println!("undone   {version}");
    }
    for name in &outcome.applied {
        println!("applied  {name}");
    }
    if outcome.applied.is_empty() {
        println!("{}", if outcome.functions { "functions replaced" } else { "nothing to do" });
    }
}
