//! Saying what others see of one. Invariant: what was acknowledged is stored, for all devices and after a restart.

use super::{Presence, PresenceStatus};
use crate::{
    error::Result,
    events::{Change, StreamKind, stream_of_member},
    kit::{
        relation::or_null,
        resolve::scope,
        rules::{Rule, Tidy},
        scalars::DateTime,
        scope::Scope,
        user_error::{UserError, UserErrorCode as Code, UserErrors},
        write::{Stop, Tx, patch, patch_required},
    },
    platform::presence::store::Stored,
    schema::presences,
};
use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

/// How often a member may change what they show, in a minute: each change is told to all who look.
const CHANGES: u32 = 60;
/// Characters of a text: it stands in one line beside a name.
const TEXT: usize = 100;

/// Changes to what you show: what is left out stays, null clears.
#[derive(Clone, Debug, InputObject)]
pub struct PresenceSetInput {
    /// What others see while you are connected: ONLINE, AWAY or DO_NOT_DISTURB; not null. To seem OFFLINE, hide instead.
    pub status: MaybeUndefined<PresenceStatus>,
    /// What to say of yourself, at most 100 characters on one line.
    pub text: MaybeUndefined<String>,
    /// When `status` goes back to ONLINE and `text` to null.
    pub expires_at: MaybeUndefined<DateTime>,
    /// Whether others see you OFFLINE, without a text and without a time; not null.
    pub hidden: MaybeUndefined<bool>,
}

/// What came of changing what one shows.
#[derive(SimpleObject, Default)]
pub struct PresencePayload {
    /// As you see it yourself; null: nothing was written.
    pub presence: Option<Presence>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct PresenceMutation;

#[Object]
impl PresenceMutation {
    /// Says what others see of you, until you change it or it ends; all your devices count as one.
    ///
    /// User errors: UNSUPPORTED for the status OFFLINE; OUT_OF_RANGE for an end that has passed. Errors: FORBIDDEN
    /// (PERSON_REQUIRED) for an API key; RATE_LIMITED for more than sixty changes in a minute.
    async fn presence_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: PresenceSetInput,
    ) -> Option<PresencePayload> {
        or_null(ctx, async { run(scope(ctx)?, input).await.map(Some) }).await
    }
}

async fn run(scope: &Scope, input: PresenceSetInput) -> Result<PresencePayload> {
    scope.actor.session()?;
    let (organization, member, presence) = (scope.actor.organization, scope.actor.member, &scope.app.presence);
    scope.app.throttle.take_here("presence", &member.to_string(), CHANGES, CHANGES)?;
    let mut tx = scope.begin().await?;
    let result = store(&mut tx, input).await;
    Ok(match tx.finish(result).await? {
        Ok(stored) => {
            presence.changed(organization, member);
            let here = presence.is_here(organization, member);
            PresencePayload { presence: Some(Presence::seen_by(scope, member, here, &stored)), ..Default::default() }
        }
        Err(rejection) => PresencePayload { user_errors: rejection.errors.into(), ..Default::default() },
    })
}

async fn store(tx: &mut Tx, input: PresenceSetInput) -> Result<Stored, Stop> {
    let (organization, member) = (tx.scope.actor.organization, tx.scope.actor.member);
    // Held until the end, whether it was there or not: another device may change something else at this moment.
    let old: Stored = diesel::insert_into(presences::table)
        .values((presences::organization_id.eq(organization), presences::member_id.eq(member)))
        .on_conflict((presences::organization_id, presences::member_id))
        .do_update()
        .set(presences::version.eq(presences::version))
        .returning(Stored::as_returning())
        .get_result(tx.conn())
        .await?;
    let new = changed(old.clone(), input, tx.now)?;
    if new == old {
        return Ok(new);
    }
    let new = Stored { version: old.version.saturating_add(1), ..new };
    diesel::update(presences::table.find((organization, member)))
        .set((
            presences::status.eq(&new.status),
            presences::text.eq(&new.text),
            presences::expires_at.eq(new.expires_at),
            presences::hidden.eq(new.hidden),
            presences::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    tx.record(Change {
        stream: stream_of_member(member),
        stream_kind: StreamKind::Member,
        kind: "presence_changed",
        entity: "Presence",
        entity_id: member,
        // What it is now is read where it is shown: what somebody hides is nowhere else.
        payload: json!({}).into(),
    });
    Ok(new)
}

/// What is to be stored.
fn changed(mut stored: Stored, input: PresenceSetInput, now: DateTime) -> Result<Stored, UserErrors> {
    if stored.expires_at.is_some_and(|at| at <= now.0) {
        let Stored { hidden, hidden_from, last_seen, version, .. } = stored;
        stored = Stored { hidden, hidden_from, last_seen, version, ..Stored::default() };
    }
    let mut errors = UserErrors::new();
    let mut status = PresenceStatus::of(&stored.status);
    patch_required(&mut status, input.status, "status", &mut errors);
    match status.word() {
        Some(word) => stored.status = word.to_owned(),
        None => {
            let message = "Nobody can say that they are not there: set `hidden` instead.";
            errors.add("status", Code::Unsupported, message);
        }
    }
    patch(&mut stored.text, input.text);
    stored.text.tidy("text", &Rule { max: TEXT, ..Rule::DEFAULT }, &mut errors);
    stored.text = stored.text.filter(|text| !text.is_empty());
    let mut expires_at = stored.expires_at.map(DateTime);
    patch(&mut expires_at, input.expires_at);
    if expires_at.is_some_and(|at| at <= now) {
        errors.add("expiresAt", Code::OutOfRange, "This has to lie in the future.");
    }
    stored.expires_at = expires_at.map(|at| at.0);
    patch_required(&mut stored.hidden, input.hidden, "hidden", &mut errors);
    if errors.is_empty() { Ok(stored) } else { Err(errors) }
}
