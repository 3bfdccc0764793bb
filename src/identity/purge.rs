//! What nobody needs any more of sessions: ended ones and API keys, expired tokens (also those that were mailed), devices
//! that are not used, old idempotency keys. Invariant: what could still
//! tell a copied token from the true one stays, as does a month of sessions for who asks where they were signed in.

use super::{device, oidc, sign_in_log, user_token};
use crate::{
    app::App,
    error::Result,
    kit::{idempotency, organizations::each_organization},
    platform::{
        database::Connection,
        jobs::{Failure, Job, Run},
        standing,
    },
};
use diesel::{
    sql_query,
    sql_types::{Integer, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

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
        let all = each_organization(app, |organization| purge(app, organization)).await;
        Ok(purged.into_iter().collect::<Result<()>>().and(all)?)
    }
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
