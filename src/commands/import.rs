//! `stoa import`: a team comes over from elsewhere, also while the server runs. Invariant: what it prints is for a person, and
//! says what did not come and why.

use super::administer;
use crate::{
    config::Config,
    error::Result,
    messaging::import::{self, Order, Source},
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum From {
    /// From an export of Slack: the zip as Slack has made it
    Slack {
        #[command(flatten)]
        what: What,
    },
    /// From a bulk export of Mattermost: the file .jsonl, or the zip that has the files of messages as well
    Mattermost {
        #[command(flatten)]
        what: What,
    },
}

#[derive(Args, Debug)]
pub(super) struct What {
    /// The export
    file: PathBuf,
    /// The short name (slug) of the organization that the team comes into
    #[arg(long, value_name = "SLUG")]
    organization: String,
    /// Read all of it, say what would come and what would not, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(config: &Config, from: From) -> Result<()> {
    let (source, what) = match from {
        From::Slack { what } => (Source::Slack, what),
        From::Mattermost { what } => (Source::Mattermost, what),
    };
    let What { file, organization, dry_run } = what;
    administer(config, async |app| import::run(&app, Order { source, file, organization, dry_run }).await).await
}
