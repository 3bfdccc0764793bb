//! Organizations as upkeep looks after them: one after the other, and how long each keeps what is gone. Invariant: one that fails
//! keeps no other waiting.

use super::failures::Failures;
use crate::{
    app::App,
    error::{Error, Result},
    schema::organizations,
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::{Stream, TryStreamExt, stream};
use std::pin::pin;
use uuid::Uuid;

/// Organizations read at once.
const PAGE: i64 = 1000;

/// Does something for every organization. The error is the last one of those that failed; the log names each.
pub async fn each_organization<F: Future<Output = Result<()>>>(app: &App, work: impl Fn(Uuid) -> F) -> Result<()> {
    in_turn(all(app), work).await
}

/// As `each_organization`, of these.
pub async fn in_turn<F: Future<Output = Result<()>>>(
    organizations: impl Stream<Item = Result<Uuid>>,
    work: impl Fn(Uuid) -> F,
) -> Result<()> {
    let (mut organizations, mut failures) = (pin!(organizations), Failures::default());
    while let Some(organization) = organizations.try_next().await? {
        failures.note("an organization", organization, work(organization).await);
    }
    failures.end()
}

/// What is gone from before this moment need not be kept any more: the organization's `retentionDays` ago. None: it is gone itself.
pub async fn kept_since(app: &App, organization: Uuid) -> Result<Option<DateTime<Utc>>> {
    let days = organizations::table.find(organization).select(organizations::retention_days);
    let days: Option<i32> = days.first(&mut *app.database.of(organization).await?).await.optional()?;
    Ok(days.map(|days| Utc::now() - TimeDelta::days(days.into())))
}

/// Read in pages.
fn all(app: &App) -> impl Stream<Item = Result<Uuid>> + '_ {
    let pages = stream::try_unfold(Some(Uuid::nil()), async |after| {
        let Some(after) = after else { return Ok(None) };
        let page = page(app, after).await?;
        let next = page.last().copied().filter(|_| page.len() as i64 == PAGE);
        Ok::<_, Error>(Some((stream::iter(page.into_iter().map(Ok)), next)))
    });
    pages.try_flatten()
}

async fn page(app: &App, after: Uuid) -> Result<Vec<Uuid>> {
    let mut conn = app.database.of_worker().await?;
    let page = organizations::table.filter(organizations::id.gt(after)).order(organizations::id).limit(PAGE);
    Ok(page.select(organizations::id).load(&mut *conn).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[tokio::test]
    async fn one_that_fails_keeps_no_other_waiting_and_is_told() {
        let all: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
        let seen = Mutex::new(Vec::new());
        let work = async |organization: Uuid| {
            seen.lock().push(organization);
            if organization == all[0] || organization == all[2] { Err(Error::ours("as told")) } else { Ok(()) }
        };
        assert!(in_turn(stream::iter(all.iter().copied().map(Ok)), &work).await.is_err());
        assert_eq!(*seen.lock(), all);
        assert!(in_turn(stream::iter([Ok(all[1]), Ok(all[3])]), &work).await.is_ok());
    }
}
