//! Bringing a team over from Slack or Mattermost, as whoever runs the server does it (`stoa import`). Invariants: an export is
//! read as a whole before anything is written, so that a damaged one changes nothing; what an import leaves out it says; the
//! same export again, or a newer one, adds only what is missing, also behind a run that broke off.
//!
//! In reading order: `slack` and `mattermost` read a file (`package` opens it, `markup` makes Markdown of texts) into `model` and
//! `spool`; `people`, `own` (emoji), `places` and `write` make records of it; `report` counts.

mod attach;
mod directory;
mod emoji;
mod markup;
mod mattermost;
mod model;
mod own;
mod package;
mod people;
mod places;
mod record;
mod report;
mod slack;
mod spool;
mod write;

pub use model::Source;
pub use places::IMPORTED;

use crate::{
    app::App,
    error::{Error, Result},
    files::arrival::Room,
    identity::administration,
    kit::{sql::Sql, value::Bind, write::Tx},
    platform::database::Connection,
};
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use model::Team;
use package::Package;
use report::Report;
use spool::{Sorted, Spool};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{Read, Seek},
    path::{Path, PathBuf},
};
use uuid::Uuid;
use write::Writer;

/// What to import, and into where.
pub struct Order {
    pub source: Source,
    pub file: PathBuf,
    /// The short name of the organization.
    pub organization: String,
    /// Reads all of it and writes nothing.
    pub dry_run: bool,
}

/// An export that was read.
struct Export {
    team: Team,
    posts: Sorted,
    package: Option<Package>,
    report: Report,
}

/// Imports an export; what came of it, in words. A fault behind the reading says that the run can be repeated.
pub async fn run(app: &App, order: Order) -> Result<String> {
    let organization = administration::organization(app, &order.organization).await?;
    let missing = || Error::bad_input(format!("There is no organization {}.", order.organization));
    let organization = organization.ok_or_else(missing)?;
    let alone = Alone::in_organization(app, organization, &order.organization).await?;
    let done = import(app, organization, order).await;
    alone.end().await;
    done
}

async fn import(app: &App, organization: Uuid, order: Order) -> Result<String> {
    let Order { source, file, organization: slug, dry_run } = order;
    let (path, folder) = (file.clone(), app.config.data_dir.clone());
    let read = tokio::task::spawn_blocking(move || read(source, &path, &folder));
    let Export { team, mut posts, package, mut report } = read.await.map_err(Error::ours)??;
    let mut writer = Writer {
        app,
        organization,
        source,
        dry: dry_run,
        package,
        report: &mut report,
        members: Vec::with_capacity(team.people.all.len()),
        active: HashSet::new(),
        room: Room::of(app, organization).await?,
        emojis: HashMap::new(),
    };
    let written = async {
        writer.people(&team.people.all).await?;
        writer.own_emojis(&team.emojis).await?;
        for (number, place) in (0..).zip(&team.places.all) {
            writer.place(number, place, &mut posts).await?;
        }
        Ok::<(), Error>(())
    };
    written.await.map_err(|fault| {
        tracing::error!(?fault, "the import broke off");
        Error::ours(format!("the import broke off ({fault}). What has come stays; run it again, and the rest follows"))
    })?;
    let shown = file.file_name().map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
    let verb = if dry_run { "would bring" } else { "brought" };
    let heading = format!("{shown}, an export of {}, {verb} into {slug}:", source.name());
    Ok(report.written(&heading, dry_run))
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = sql_types::Bool)]
    locked: bool,
}

/// What an SQL function does to the lock of an organization's imports.
fn lock(begin: &'static str, organization: Uuid) -> Sql {
    let mut sql = Sql::new(begin);
    let name = format!("stoa.import.{organization}");
    sql.push("hashtextextended(").bind(Bind::Text(Some(name))).push(", 0)) AS locked");
    sql
}

/// Whether an import into the caller's organization is running. If not, none begins before the transaction ends.
pub async fn is_running(tx: &mut Tx) -> Result<bool> {
    let free = lock("SELECT pg_try_advisory_xact_lock_shared(", tx.scope.actor.organization);
    let Locked { locked } = free.get_result(tx.conn()).await?;
    Ok(!locked)
}

/// One import into an organization at a time. The lock is the connection's and no transaction's: nothing happens on it while the
/// import works, and such a transaction the database ends after half a minute.
struct Alone {
    conn: Connection,
    organization: Uuid,
}

impl Alone {
    async fn in_organization(app: &App, organization: Uuid, slug: &str) -> Result<Self> {
        let mut alone = Alone { conn: app.database.of(organization).await?, organization };
        if alone.locked("SELECT pg_try_advisory_lock(").await? {
            Ok(alone)
        } else {
            Err(Error::bad_input(format!("Another import into {slug} is running. Wait until it has ended.")))
        }
    }

    async fn locked(&mut self, begin: &'static str) -> Result<bool> {
        let Locked { locked } = lock(begin, self.organization).get_result(&mut *self.conn).await?;
        Ok(locked)
    }

    /// The connection goes back to others, and must not take the lock along. Whatever has come of the import has come.
    async fn end(mut self) {
        match self.locked("SELECT pg_advisory_unlock(").await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("the lock of the import was lost on the way"),
            Err(fault) => tracing::warn!(?fault, "the lock of the import was lost on the way"),
        }
    }
}

fn read(source: Source, path: &Path, folder: &Path) -> Result<Export> {
    let (mut spool, mut report) = (Spool::begin(folder)?, Report::default());
    let shown = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (team, package) = match source {
        Source::Slack => {
            let mut package = Package::open(path, source)?;
            let team = slack::read(&mut package, &mut spool, &mut report)?;
            (team, Some(package))
        }
        Source::Mattermost => {
            let cannot = |why: std::io::Error| Error::bad_input(format!("{} cannot be read: {why}.", path.display()));
            let mut file = File::open(path).map_err(cannot)?;
            let mut head = [0; 4];
            let zipped = file.read(&mut head).map_err(cannot)? == 4 && head == *b"PK\x03\x04";
            file.rewind().map_err(cannot)?;
            if zipped {
                let mut package = Package::open(path, source)?;
                let lines = mattermost::lines_of(&package)?;
                let team = mattermost::read(package.entry(&lines, u64::MAX)?, &lines, &mut spool, &mut report)?;
                (team, Some(package))
            } else {
                (mattermost::read(file, &shown, &mut spool, &mut report)?, None)
            }
        }
    };
    Ok(Export { team, posts: spool.sorted()?, package, report })
}
