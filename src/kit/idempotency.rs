//! Idempotency keys: a mutation sent again with its key is not carried out again but answered as before, for 24
//! hours. Invariant: that something was written is noted in the transaction that wrote it, so that whatever
//! crashes in between, no key writes twice.

use super::scope::{Caller, Scope};
use crate::{
    error::{Code, Error, Result},
    schema::idempotency_keys as keys,
};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// Removes keys of an organization ($1) whose answers are not kept any more, so many ($2) at once.
pub const PURGE: &str = "
    DELETE FROM idempotency_keys WHERE organization_id = $1 AND (member_id, key) IN (
        SELECT member_id, key FROM idempotency_keys
        WHERE organization_id = $1 AND created_at < now() - interval '24 hours' LIMIT $2)";
/// How long a mutation that has written nothing yet keeps its key from others.
const CLAIM: TimeDelta = TimeDelta::minutes(5);
/// Keys that are over, removed with each new one.
const SWEPT: i64 = 20;

/// What is to be done with a request that has a key.
pub enum Claim {
    /// Carry it out, then `settle`.
    Ours,
    /// It was carried out; this was the answer.
    Answered(Bytes),
}

/// The keys of an API key are its own: what it may differs from what its member and their other keys may, and so an
/// answer to one of them is none to another.
pub fn apart(caller: Caller) -> Caller {
    match caller {
        Caller::Member(mut scope) => {
            if let (Some(key), Some(by)) = (&scope.request.idempotency_key, scope.actor.api_key()) {
                // No client can send a blank followed by more than a number: see `numbered`.
                scope.request.idempotency_key = Some(format!("{key} @{by}").into());
            }
            Caller::Member(scope)
        }
        stranger => stranger,
    }
}

/// Takes the key for this request. IDEMPOTENCY_KEY_REUSED when it belongs to another request; CONFLICT while the
/// same request is being carried out.
pub async fn claim(scope: &Scope, key: &str, request: &[u8]) -> Result<Claim> {
    let actor = &scope.actor;
    let now = Utc::now();
    let mut conn = scope.reader().await?;
    let over = keys::table
        .filter(keys::organization_id.eq(actor.organization).and(keys::created_at.lt(now - KEPT)))
        .select((keys::organization_id, keys::member_id, keys::key))
        .limit(SWEPT)
        .load::<(uuid::Uuid, uuid::Uuid, String)>(&mut *conn)
        .await?;
    for (organization, member, key) in over {
        diesel::delete(keys::table.find((organization, member, key))).execute(&mut *conn).await?;
    }
    let taken = diesel::insert_into(keys::table)
        .values((
            keys::organization_id.eq(actor.organization),
            keys::member_id.eq(actor.member),
            keys::key.eq(key),
            keys::request_hash.eq(request),
        ))
        .on_conflict_do_nothing()
        .execute(&mut *conn)
        .await?;
    if taken == 1 {
        return Ok(Claim::Ours);
    }
    let row = keys::table.find((actor.organization, actor.member, key));
    let found: Option<(Vec<u8>, bool, Option<Vec<u8>>)> =
        row.select((keys::request_hash, keys::done, keys::answer)).first(&mut *conn).await.optional()?;
    match found {
        Some((other, ..)) if other != request => Err(Error::yours(
            Code::IdempotencyKeyReused,
            "This Idempotency-Key was used for another request. Make a new one for each request.",
        )),
        Some((_, _, Some(answer))) => Ok(Claim::Answered(answer.into())),
        Some((_, false, None)) => {
            // Whoever began and wrote nothing for so long has crashed: one of those who ask again takes over.
            let again = diesel::update(row.filter(keys::done.eq(false).and(keys::claimed_at.lt(now - CLAIM))))
                .set(keys::claimed_at.eq(now))
                .execute(&mut *conn)
                .await?;
            if again == 1 { Ok(Claim::Ours) } else { Err(running()) }
        }
        Some((_, true, None)) => Err(Error::yours(
            Code::Conflict,
            "This request has written something, but its answer is not there: it is still being carried out, the server \
             stopped at that moment, or it held a secret, which is not kept. Read the records to see what it did.",
        )),
        None => Err(running()),
    }
}

fn running() -> Error {
    Error::yours(Code::Conflict, "The same request is being carried out. Ask again in a moment.")
}

/// Notes, in the mutation's transaction, that it writes.
pub async fn note(scope: &Scope, conn: &mut AsyncPgConnection) -> Result<()> {
    if let Some(key) = &scope.request.idempotency_key {
        let actor = &scope.actor;
        diesel::update(keys::table.find((actor.organization, actor.member, &**key)))
            .set(keys::done.eq(true))
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Keeps the answer of a request that wrote something; the key of one that did not is free again. None: there is no
/// answer worth keeping, because something was away.
pub async fn settle(scope: &Scope, key: &str, answer: Option<&[u8]>) -> Result<()> {
    let actor = &scope.actor;
    let row = keys::table.find((actor.organization, actor.member, key));
    let mut conn = scope.reader().await?;
    let kept = diesel::update(row.filter(keys::done)).set(keys::answer.eq(answer)).execute(&mut *conn).await?;
    if kept == 0 {
        diesel::delete(row.filter(keys::done.eq(false))).execute(&mut *conn).await?;
    }
    Ok(())
}
