//! Images among the files: how large they are, and small copies of them. Invariants: a copy is there whole before a row says so,
//! and goes with what it is a copy of; none is larger than that, in pixels or in bytes, so that all copies of an organization
//! take no more than twice its quota, and do not count against it. An image that cannot be looked at stays the file that it is,
//! and is looked at once.

use super::file::File;
use crate::{
    app::App,
    error::Result,
    events::{Hub, Origin},
    kit::{
        entity::{Entity, select},
        failures::Failures,
        organizations::each_organization,
        scalars::DateTime,
        value::Bind,
        write,
    },
    platform::{
        files::ObjectName,
        jobs::{Failure, Job, Run},
        picture::{self, Limits, MOST, Measured},
    },
    schema::files,
};
use async_graphql::Enum;
use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// What the index of images that were not looked at says of them, word for word.
const UNMEASURED: &str = "measured_at IS NULL AND state = 'ready'
    AND content_type IN ('image/png', 'image/jpeg', 'image/jpg', 'image/gif', 'image/webp')";
/// Images of an organization that upkeep looks at in one run.
const PAGE: i64 = 500;
/// An upload as old as this has no job any more that will look at it.
const LEFT: chrono::TimeDelta = chrono::TimeDelta::hours(6);

/// How large a thumbnail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ThumbnailSize {
    /// At most 320 pixels wide and 320 high: for lists, and beside messages.
    Small,
    /// At most 1280 pixels wide and 1280 high: for looking at it in a page.
    Large,
}

impl ThumbnailSize {
    /// The longest first.
    pub const ALL: [ThumbnailSize; 2] = [ThumbnailSize::Large, ThumbnailSize::Small];

    /// Pixels of its longer side at most.
    const fn side(self) -> u32 {
        match self {
            ThumbnailSize::Small => 320,
            ThumbnailSize::Large => 1280,
        }
    }

    /// As stored, and in the names of objects and URLs.
    pub const fn word(self) -> &'static str {
        match self {
            ThumbnailSize::Small => "small",
            ThumbnailSize::Large => "large",
        }
    }

    /// The object of a file's thumbnail.
    pub fn object(self, organization: Uuid, object: Uuid) -> ObjectName {
        ObjectName::thumbnail(organization, object, self.word())
    }
}

/// How far an image has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ImageState {
    /// It is no image that can be measured: another type of file, damaged, or larger than 50 megapixels or 20 MiB.
    None,
    /// It will be measured in a moment, once its upload is complete.
    Pending,
    /// It has a width, a height and thumbnails.
    Ready,
}

/// Whether files of that media type are images that can be decoded here.
pub fn is_image(content_type: &str) -> bool {
    matches!(content_type, "image/png" | "image/jpeg" | "image/jpg" | "image/gif" | "image/webp")
}

/// Measures an image that was uploaded, and makes its thumbnails.
#[derive(Debug, Serialize, Deserialize)]
pub struct MeasureImage {
    pub organization: Uuid,
    pub file: Uuid,
}

impl Job for MeasureImage {
    const KIND: &'static str = "measure_image";

    fn about(&self) -> String {
        format!("file {}", self.file)
    }
}

impl Run<Arc<App>> for MeasureImage {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(measure(app, self.organization, self.file).await?)
    }
}

/// Measures images that have no job: those of versions that did not, and what a job has given up.
#[derive(Debug, Serialize, Deserialize)]
pub struct MeasureImages {}

impl Job for MeasureImages {
    const KIND: &'static str = "measure_images";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for MeasureImages {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(each_organization(app, |organization| measure_left(app, organization)).await?)
    }
}

async fn measure_left(app: &App, organization: Uuid) -> Result<()> {
    let before = DateTime::now().0 - LEFT;
    let left = || {
        let left = files::table.filter(files::organization_id.eq(organization)).filter(sql::<Bool>(UNMEASURED));
        left.filter(files::updated_at.lt(before))
    };
    let mut conn = app.database.of(organization).await?;
    let count: i64 = left().count().get_result(&mut *conn).await?;
    // Of several pages any one, so that a page of those that fail each time keeps no other waiting for good.
    let page = rand::random_range(0..=(count - 1).max(0) / PAGE);
    let left = left().order(files::id).offset(page * PAGE).limit(PAGE).select(files::id);
    let left: Vec<Uuid> = left.load(&mut *conn).await?;
    drop(conn);
    let mut failures = Failures::default();
    for file in left {
        failures.note("an image", file, measure(app, organization, file).await);
    }
    failures.end()
}

/// Once: whatever comes of it is noted. The error is for what may go better another time.
async fn measure(app: &App, organization: Uuid, file: Uuid) -> Result<()> {
    // Before anything is read, so that those who wait hold nothing.
    let turn = app.pictures.turn().await?;
    let row = files::table.find((organization, file)).filter(sql::<Bool>(UNMEASURED));
    let row = row.select((files::object, files::size));
    let found: Option<(Option<String>, i32)> =
        row.first(&mut *app.database.of(organization).await?).await.optional()?;
    let Some((Some(Ok(object)), size)) = found.map(|(object, size)| (object.map(|object| object.parse()), size)) else {
        return Ok(());
    };
    let size = u64::from(size.unsigned_abs());
    let whole = match size {
        ..=MOST => app.files.read_whole(&ObjectName::file(organization, object), 0..size).await?,
        _ => None,
    };
    let sides = ThumbnailSize::ALL.map(ThumbnailSize::side);
    let measured = match whole {
        Some(whole) => turn.make(move || picture::measure(&whole, &sides, &Limits::PHOTOGRAPH)).await.ok(),
        None => None,
    };
    let mut kept = Vec::new();
    for (thumbnail, copy) in ThumbnailSize::ALL.into_iter().zip(measured.iter().flat_map(|measured| &measured.copies)) {
        if (copy.len() as u64) < size {
            app.files.write(&thumbnail.object(organization, object), copy.clone()).await?;
            kept.push(thumbnail);
        }
    }
    if !note(app, (organization, file), measured, &kept).await? {
        // It was deleted meanwhile.
        for thumbnail in kept {
            app.files.remove(&thumbnail.object(organization, object)).await?;
        }
    }
    Ok(())
}

/// Notes what came of it; false: there is no such file any more.
async fn note(
    app: &App,
    (organization, file): (Uuid, Uuid),
    measured: Option<Measured>,
    kept: &[ThumbnailSize],
) -> Result<bool> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    let mut row = select(File::table());
    row.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(organization)));
    row.push(" AND t0.id = ").bind(Bind::Uuid(Some(file))).push(" FOR NO KEY UPDATE OF t0");
    let rows: Vec<File> = row.load(&mut *tx).await?;
    let Some(old) = rows.into_iter().next() else {
        tx.rollback().await?;
        return Ok(false);
    };
    if old.measured_at.is_some() {
        // By somebody else at the same time, who has made the same.
        tx.rollback().await?;
        return Ok(true);
    }
    let pixels = |length: u32| i32::try_from(length).ok();
    let now = DateTime::now();
    let new = File {
        width: measured.as_ref().and_then(|measured| pixels(measured.width)),
        height: measured.as_ref().and_then(|measured| pixels(measured.height)),
        thumbnails: kept.iter().map(|thumbnail| thumbnail.word().to_owned()).collect(),
        measured_at: Some(now),
        updated_at: now,
        version: old.version.saturating_add(1),
        ..old.clone()
    };
    diesel::update(files::table.find((organization, file)))
        .set((
            files::width.eq(new.width),
            files::height.eq(new.height),
            files::thumbnails.eq(&new.thumbnails),
            files::measured_at.eq(now.0),
            files::updated_at.eq(now.0),
            files::version.eq(new.version),
        ))
        .execute(&mut *tx)
        .await?;
    let told = vec![write::change(Some(&old), &new, "measured")?];
    let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(true)
}

/// Removes the content of a file, and its thumbnails.
pub async fn remove(app: &App, organization: Uuid, object: Uuid) -> Result<()> {
    for thumbnail in ThumbnailSize::ALL {
        app.files.remove(&thumbnail.object(organization, object)).await?;
    }
    app.files.remove(&ObjectName::file(organization, object)).await
}
