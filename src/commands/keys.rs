//! `stoa keys`: the keys that sign access tokens. Invariant: rotating them signs nobody out, and needs no restart; the key
//! under which secrets are stored is made when there is none, and never another.

use crate::{
    config::Config,
    error::Result,
    platform::{
        tokens::{list_keys, rotate_keys},
        vault,
    },
};
use clap::Subcommand;
use std::io::{self, Write};

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Show which key signs and which still check
    List,
    /// Make a new key that signs from now on; tokens of the old one stay good until they end
    Rotate {
        /// Let the old key check nothing any more: access tokens of it end within seconds, and clients refresh them
        #[arg(long)]
        forget_old: bool,
    },
}

pub(super) fn run(config: &Config, action: Action) -> Result<()> {
    let mut out = io::stdout();
    match action {
        Action::List => {
            for key in list_keys(config)? {
                let does = if key.signs { "signs" } else { "checks" };
                // Whoever does not read it does not need it.
                let _ = writeln!(out, "{}  {does:<6}  since {}", key.id, key.since.format("%Y-%m-%d %H:%M UTC"));
            }
        }
        Action::Rotate { forget_old } => {
            vault::make_missing(config)?;
            let id = rotate_keys(config, forget_old)?;
            let _ = writeln!(out, "{id} signs from now on; servers that run take it up within five seconds");
        }
    }
    Ok(())
}
