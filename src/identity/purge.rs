//! What nobody needs any more of sessions: ended ones and API keys, expired tokens (also those that were mailed), devices
//! that are not used, old idempotency keys. Invariant: what could still
//! tell a copied token from the true one stays, as does a month of sessions for who asks where they were signed in.

use super::{device, oidc, sign_in_log, user_token};
use crate::{
    app::App,
    error::{Error, Result},
    kit::idempotency,
    platform::{
        database::Connection,
        jobs::{Failure, Job, Run},
        standing,
    },
    schema::organizations,
};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Integer, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use futures_util::{Stream, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{pin::pin, sync::Arc, time::Duration};
use uuid::Uuid;

/// Organizations read at once.
const PAGE: i64 = 1000;
/// Rows removed in one statement, so that each is short.
const SWEPT: i32 = 1000;

/// The tokens of a session go with it.
const SESSIONS: &str = "
    DELETE FROM sessions WHERE organization_id = $1 AND id IN (
        SELECT id FROM sessions
        WHERE organization_id = $1 AND least(expires_at, revoked_at) < now() - interval '30 days' LIMIT $2)";

/// What has expired is refused for that, whether it was used or not.
const TOKENS: &str = "
    DELETE FROM refresh_tokens WHERE organization_id = $1 AND hash IN (
        SELECT hash FROM refresh_tokens WHERE organization_id = $1 AND expires_at < now() LIMIT $2)";

/// The log still says of them who made and ended them.
const API_KEYS: &str = "
    DELETE FROM api_keys WHERE organization_id = $1 AND id IN (
        SELECT id FROM api_keys
        WHERE organization_id = $1 AND least(expires_at, revoked_at) < now() - interval '90 days' LIMIT $2)";

/// Removes what has expired, of all organizations.
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeExpired {}

impl Job for PurgeExpired {
    const KIND: &'static str = "purge_expired";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for PurgeExpired {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        let purged = [
            user_token::purge(app).await,
            device::purge(app).await,
            oidc::purge(app).await,
            sign_in_log::purge(app).await,
            standing::purge(&app.database).await,
        ];
        let mut failed = purged.into_iter().find_map(Result::err);
        let mut all = pin!(organizations(app));
        while let Some(organization) = all.try_next().await? {
            // One that fails must not keep the others waiting.
            if let Err(fault) = purge(app, organization).await {
                failed = Some(fault);
            }
        }
        failed.map_or(Ok(()), |fault| Err(fault.into()))
    }
}

/// All organizations, for upkeep; read in pages.
pub fn organizations(app: &App) -> impl Stream<Item = Result<Uuid>> + '_ {
    let pages = stream::try_unfold(Some(Uuid::nil()), async |after| {
        let Some(after) = after else { return Ok(None) };
        let page = organizations_after(app, after).await?;
        let next = page.last().copied().filter(|_| page.len() as i64 == PAGE);
        Ok::<_, Error>(Some((stream::iter(page.into_iter().map(Ok)), next)))
    });
    pages.try_flatten()
}

async fn organizations_after(app: &App, after: Uuid) -> Result<Vec<Uuid>> {
    let mut conn = app.database.of_worker().await?;
    let page = organizations::table.filter(organizations::id.gt(after)).order(organizations::id).limit(PAGE);
    Ok(page.select(organizations::id).load(&mut *conn).await?)
}

async fn purge(app: &App, organization: Uuid) -> Result<()> {
    let mut conn = app.database.of(organization).await?;
    for statement in [TOKENS, SESSIONS, API_KEYS, idempotency::PURGE] {
        sweep(&mut conn, statement, organization).await?;
    }
    Ok(())
}

async fn sweep(conn: &mut Connection, statement: &'static str, organization: Uuid) -> Result<()> {
    loop {
        let sweep = sql_query(statement).bind::<SqlUuid, _>(organization).bind::<Integer, _>(SWEPT);
        if sweep.execute(&mut **conn).await? < SWEPT as usize {
            return Ok(());
        }
    }
}
