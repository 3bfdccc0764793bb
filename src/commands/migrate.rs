//! `stoa migrate`.

use crate::{config::Config, error::Result};

#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Action {
    /// Apply what waits
    Up,
    /// List all and say which are applied
    Status,
    /// Undo the last and apply it again
    Redo,
}

pub async fn run(_config: &Config, _action: Action) -> Result<()> {
    todo!()
}
