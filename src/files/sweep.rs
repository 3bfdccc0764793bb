//! What nobody needs any more of files: uploads that were begun and not completed, files of members who are gone that belong to
//! nothing, objects that no file has. Invariant: an object goes only when no row names it and none can come to name it, so that
//! whatever is done twice, or by two nodes at once, takes nothing from anybody.

use super::{
    file::{File, push_unused},
    thumbnail,
};
use crate::{
    app::App,
    error::Result,
    events::{Hub, Origin},
    kit::{
        entity::{Entity, select},
        failures::Failures,
        organizations::{each_organization, in_turn, kept_since},
        sql::Sql,
        value::Bind,
        write,
    },
    platform::{
        files::Listed,
        jobs::{Failure, Job, Run},
    },
    schema::{conversations, emojis, files, users},
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// An object as old as this is named by a row, or nobody's: a day is the longest that an upload may take.
const SETTLED: Duration = Duration::from_secs(2 * 86_400);
/// Rows and objects looked at together.
const PAGE: usize = 500;

/// Removes the content of a file that was deleted with its thumbnails, the picture of an emoji that was purged, or that which a
/// conversation has shown.
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoveObject {
    pub organization: Uuid,
    pub object: Uuid,
}

impl Job for RemoveObject {
    const KIND: &'static str = "remove_object";
}

impl Run<Arc<App>> for RemoveObject {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(thumbnail::remove(app, self.organization, self.object).await?)
    }
}

/// Forgets uploads whose time is over, and what belongs to nothing of members who are gone.
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeUploads {}

impl Job for PurgeUploads {
    const KIND: &'static str = "purge_uploads";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for PurgeUploads {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(each_organization(app, |organization| purge(app, organization)).await?)
    }
}

async fn purge(app: &App, organization: Uuid) -> Result<()> {
    let Some(before) = kept_since(app, organization).await? else { return Ok(()) };
    let over = |sql: &mut Sql| {
        sql.push("t0.upload_until < ").bind(Bind::Time(Some(Utc::now())));
    };
    // Whoever is invited again meanwhile finds them; nobody else has seen what is in them. Since when somebody is gone the log
    // knows: what the row says of them may have changed after that, such as their name.
    let left = |sql: &mut Sql| {
        sql.push(
            "EXISTS (SELECT FROM memberships m WHERE m.organization_id = t0.organization_id AND m.id = t0.created_by
               AND m.status = 'removed' AND coalesce((SELECT e.at FROM events e WHERE e.organization_id = m.organization_id
                 AND e.entity_id = m.id AND e.entity = 'Member' AND e.kind = 'removed' ORDER BY e.seq DESC LIMIT 1),
                 m.updated_at) < ",
        );
        sql.bind(Bind::Time(Some(before))).push(") AND ");
        push_unused(sql, "t0");
    };
    let forgotten = forget(app, organization, "expired", over).await;
    forget(app, organization, "purged", left).await.and(forgotten)
}

/// Removes the files that this is true of.
async fn forget(app: &App, organization: Uuid, kind: &'static str, fits: impl Fn(&mut Sql)) -> Result<()> {
    let mut failures = Failures::default();
    loop {
        let mut tx = app.database.of(organization).await?.begin().await?;
        // Locked, so that one that is being completed at this moment comes before or after.
        let mut due: Sql = select(File::table());
        due.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(organization))).push(" AND ");
        fits(&mut due);
        due.push(" ORDER BY t0.id LIMIT ").number(PAGE as u32).push(" FOR UPDATE OF t0 SKIP LOCKED");
        let due: Vec<File> = due.load(&mut *tx).await?;
        if due.is_empty() {
            tx.rollback().await?;
            return failures.end();
        }
        let ids: Vec<Uuid> = due.iter().map(|file| file.id.0).collect();
        let rows = files::table.filter(files::organization_id.eq(organization).and(files::id.eq_any(ids)));
        let objects: Vec<Option<String>> = diesel::delete(rows).returning(files::object).get_results(&mut *tx).await?;
        let told = due.iter().map(|file| write::change(Some(file), file, kind)).collect::<Result<_>>()?;
        let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
        tx.commit().await?;
        app.hub.publish(events);
        for object in objects.into_iter().flatten().filter_map(|object| object.parse().ok()) {
            // What fails here is found by `SweepObjects`.
            failures.note("a file", object, thumbnail::remove(app, organization, object).await);
        }
    }
}

/// Removes objects that no row names, thumbnails and pictures of people, of emoji and of conversations among them: what was sent
/// twice, or left by a crash or a failure.
#[derive(Debug, Serialize, Deserialize)]
pub struct SweepObjects {}

impl Job for SweepObjects {
    const KIND: &'static str = "sweep_objects";
    /// The next one comes within a day.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(6 * 3600);
}

impl Run<Arc<App>> for SweepObjects {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(sweep(app, SETTLED).await?)
    }
}

/// As `SweepObjects`, of objects of that age.
pub async fn sweep(app: &App, settled: Duration) -> Result<()> {
    let before = Utc::now() - TimeDelta::from_std(settled).unwrap_or(TimeDelta::MAX);
    app.files.remove_drafts(settled).await?;
    // Also of organizations that are gone: none of theirs has a row.
    let all = stream::iter(app.files.organizations().await?.into_iter().map(Ok));
    let of = |organization: Uuid| sweep_objects(app, app.files.of(organization), Some(organization), before);
    let swept = in_turn(all, of).await;
    sweep_objects(app, app.files.avatars(), None, before).await.and(swept)
}

/// Those of an organization, or pictures of people, that were written before that moment.
async fn sweep_objects(
    app: &App,
    objects: BoxStream<'static, Result<Listed>>,
    organization: Option<Uuid>,
    before: DateTime<Utc>,
) -> Result<()> {
    let old = objects.try_filter(|object| std::future::ready(object.written_at <= before));
    let (mut pages, mut failures) = (old.try_chunks(PAGE), Failures::default());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|fault| fault.1)?;
        let named = match organization {
            Some(organization) => named(app, organization, &page).await?,
            None => shown(app, &page).await?,
        };
        for object in page {
            let id = object.name.id().map(|id| id.to_string());
            if !named.contains(&id) {
                failures.note("an object", &object.name, app.files.remove(&object.name).await);
            }
        }
    }
    failures.end()
}

/// The ids among these that rows of files, emoji and conversations name.
async fn named(app: &App, organization: Uuid, page: &[Listed]) -> Result<Vec<Option<String>>> {
    let ids: Vec<String> = page.iter().filter_map(|object| object.name.id()).map(|id| id.to_string()).collect();
    let named = files::table.filter(files::organization_id.eq(organization).and(files::object.eq_any(&ids)));
    let shown = emojis::table.filter(emojis::organization_id.eq(organization).and(emojis::picture.eq_any(&ids)));
    let talks = conversations::table.filter(conversations::organization_id.eq(organization));
    let talks = talks.filter(conversations::avatar.eq_any(&ids));
    let mut conn = app.database.of(organization).await?;
    let mut named: Vec<Option<String>> = named.select(files::object).load(&mut *conn).await?;
    named.extend(shown.select(emojis::picture.nullable()).load::<Option<String>>(&mut *conn).await?);
    named.extend(talks.select(conversations::avatar).load::<Option<String>>(&mut *conn).await?);
    Ok(named)
}

/// The ids of the pictures that these people show.
async fn shown(app: &App, page: &[Listed]) -> Result<Vec<Option<String>>> {
    let people: Vec<Uuid> = page.iter().filter_map(|object| object.name.owner()).collect();
    let shown = users::table.filter(users::id.eq_any(people)).select(users::avatar);
    Ok(shown.load(&mut *app.database.of_nobody().await?).await?)
}
