//! Stand-in.
use crate::{config::Config, error::Result};

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

pub async fn run(_config: &Config, _action: Action) -> Result<()> {
    todo!()
}
