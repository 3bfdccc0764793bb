//! From an API key to who asks. Invariants: a key is only as good as its row, its member, their user and its
//! organization are at this moment, give or take a second; it allows nothing that the member may not do themselves; and
//! who has no key learns nothing of which there are, by the answer or by its time.

use super::{access, sign_in::address_key};
use crate::{
    app::App,
    error::{Error, Result},
    kit::scope::{Credential, RequestInfo, Scope},
    platform::{standing::Standing, tokens::ApiKeyToken},
    schema::api_keys,
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Keys that are none which an address may send before it has to wait, and how long it is remembered. Nobody guesses one;
/// this spares the database.
const WRONG: u32 = 1000;
const REMEMBERED: Duration = Duration::from_secs(60);
/// How old the last use becomes before it is noted anew.
const NOTED: TimeDelta = TimeDelta::seconds(60);

/// Turns an API key into who asks. UNAUTHENTICATED (INVALID, EXPIRED, REVOKED) otherwise; RATE_LIMITED for an address that
/// has sent too many wrong ones.
pub(super) async fn authenticate(app: &Arc<App>, text: &str, request: RequestInfo) -> Result<Scope> {
    let token = ApiKeyToken::parse(text).ok_or_else(invalid)?;
    let standing = standing(app, &token, Some(&request)).await?;
    let id = standing.key.ok_or_else(invalid)?;
    access::scope(app, &standing, Credential::ApiKey(id, token), standing.expires_at, request)
}

/// What is known of the key, at most a second old. With `from`, a wrong one counts against where it came from.
pub(super) async fn standing(app: &Arc<App>, token: &ApiKeyToken, from: Option<&RequestInfo>) -> Result<Arc<Standing>> {
    let load = async {
        let attempt = match from {
            Some(from) => Some(app.throttle.attempt_here("API key", &address_key(from.address), WRONG, REMEMBERED)?),
            None => None,
        };
        let mut connection = app.database.of(token.organization).await?;
        match load(app, &mut connection, token).await? {
            Some(standing) => Ok(Arc::new(standing)),
            None => {
                if let Some(attempt) = attempt {
                    attempt.failed();
                }
                Err(invalid())
            }
        }
    };
    let standing = app.standings.get(token.known_as(), Box::pin(load)).await?;
    if standing.expires_at <= Utc::now() { Err(expired()) } else { Ok(standing) }
}

#[derive(Queryable)]
struct Row {
    id: Uuid,
    owner: Uuid,
    hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    previous_until: Option<DateTime<Utc>>,
    permissions: Vec<Option<String>>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

/// Asks the database; `None`: there is no such key. UNAUTHENTICATED (EXPIRED, REVOKED) or ORGANIZATION_SUSPENDED, told
/// only to who has the key, when nobody gets in with it.
async fn load(app: &App, conn: &mut AsyncPgConnection, token: &ApiKeyToken) -> Result<Option<Standing>> {
    let row: Option<Row> = api_keys::table
        .filter(api_keys::organization_id.eq(token.organization).and(api_keys::prefix.eq(&token.prefix)))
        .select((
            api_keys::id,
            api_keys::owner_id,
            api_keys::hash,
            api_keys::previous_hash,
            api_keys::previous_until,
            api_keys::permissions,
            api_keys::expires_at,
            api_keys::last_used_at,
            api_keys::revoked_at,
        ))
        .first(&mut *conn)
        .await
        .optional()?;
    // Both are compared, also with nothing: an unknown prefix takes the time of a known one.
    let current = token.proves(row.as_ref().map(|row| &*row.hash));
    let previous = token.proves(row.as_ref().and_then(|row| row.previous_hash.as_deref()));
    let Some(row) = row.filter(|_| current | previous) else { return Ok(None) };
    let now = Utc::now();
    if row.revoked_at.is_some() {
        return Err(Error::unauthenticated("REVOKED", "This API key was revoked. Make another one."));
    }
    if !current && row.previous_until.is_none_or(|until| until <= now) {
        return Err(Error::unauthenticated("REVOKED", "This API key was replaced by another one. Use that."));
    }
    let ends = [row.expires_at, row.previous_until.filter(|_| !current)];
    let ends = ends.into_iter().flatten().min().unwrap_or(DateTime::<Utc>::MAX_UTC);
    if ends <= now {
        return Err(expired());
    }
    let key = (row.id, row.permissions.into_iter().flatten().collect());
    let standing = access::load_member(conn, (token.organization, row.owner), key, ends).await?;
    if row.last_used_at.is_none_or(|at| at < now - NOTED) {
        note_use(app, token.organization, row.id);
    }
    Ok(Some(standing))
}

/// What a key allows by now that has asked for something before in the name of its member. UNAUTHENTICATED (REVOKED) when
/// nobody gets in with it any more.
pub(super) async fn allowed(
    conn: &mut AsyncPgConnection,
    (organization, id): (Uuid, Uuid),
    owner: Uuid,
) -> Result<Vec<String>> {
    let lives =
        api_keys::revoked_at.is_null().and(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(Utc::now())));
    let permissions: Option<Vec<Option<String>>> = api_keys::table
        .find((organization, id))
        .filter(api_keys::owner_id.eq(owner).and(lives))
        .select(api_keys::permissions)
        .first(conn)
        .await
        .optional()?;
    let ended = || Error::unauthenticated("REVOKED", "The API key that asked for this was revoked, or has expired.");
    Ok(permissions.ok_or_else(ended)?.into_iter().flatten().collect())
}

/// Notes beside the request that the key is used; of several nodes that find it due, one does.
fn note_use(app: &App, organization: Uuid, id: Uuid) {
    let database = app.database.clone();
    app.aside.run(async move {
        let now = Utc::now();
        diesel::update(api_keys::table.find((organization, id)))
            .filter(api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(now - NOTED)))
            .set(api_keys::last_used_at.eq(now))
            .execute(&mut *database.of(organization).await?)
            .await?;
        Ok(())
    });
}

fn invalid() -> Error {
    Error::unauthenticated("INVALID", "This API key is not valid: it is not whole, or there is none like it.")
}

fn expired() -> Error {
    Error::unauthenticated("EXPIRED", "This API key has expired. Rotate it, or make another one.")
}

/// Lets so many operations of one API key through; a person's are not counted here. RATE_LIMITED.
pub fn allow_operation(scope: &Scope) -> Result<()> {
    let Some(key) = scope.actor.api_key() else { return Ok(()) };
    let rate = scope.app.config.api_keys.operations_per_minute;
    scope.app.throttle.take_here("API key operation", &key.to_string(), rate, rate)
}
