//! What two members are to each other: a row for each side, changed under the lock of both members, so that whatever both
//! do at once happens one after the other. Invariants: ACCEPTED is on both sides or on none, save where a block hides it;
//! a block changes nothing on the other side, and whatever the other side does meanwhile goes on beneath it, by the
//! same statements as ever, so that neither answers nor their time tell of it.

use super::{UserContactStatus, UserContactUpdateInput};
use crate::{
    error::Result,
    events::{Change, StreamKind, stream_of_member},
    identity::member::{Member, hold_members},
    kit::{
        entity::Entity,
        id::Id,
        rules::{Rule, Tidy},
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{self, Rejection, Stop, Tx, patch, patch_required},
    },
    messaging::block,
    platform::presence,
    schema::user_contacts,
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, prelude::*, sql_types};
use diesel_async::RunQueryDsl;
use serde_json::json;
use uuid::Uuid;

/// What the log calls a change of somebody's list; the audit trail leaves it out, or who blocks whom could be told from it.
pub const CHANGED: &str = "user_contact_changed";
/// Members in a list at most that are ACCEPTED or REQUESTED: more than anybody knows.
const MOST: i64 = 1_000;
/// Requests that nobody has answered, at most.
const MOST_OPEN: i64 = 200;
/// Requests in a day at most: who asks everybody is no longer asking.
const MOST_A_DAY: i64 = 50;
/// How long that day is, and how soon the same member is asked again.
const DAY: TimeDelta = TimeDelta::hours(24);
/// Characters of a nickname at most.
const NICKNAME: usize = 100;

const NONE: &str = "none";
const REQUESTED: &str = "requested";
const RECEIVED: &str = "received";
const ACCEPTED: &str = "accepted";

/// How one of the two has the other.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = user_contacts, primary_key(organization_id, id), treat_none_as_null = true)]
struct Side {
    organization_id: Uuid,
    id: Uuid,
    owner_id: Uuid,
    member_id: Uuid,
    relation: String,
    blocked_at: Option<DateTime<Utc>>,
    requested_at: Option<DateTime<Utc>>,
    nickname: Option<String>,
    favourite: bool,
    created_by: Option<Uuid>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i32,
}

impl Side {
    /// Nothing yet.
    fn new(tx: &Tx, owner: Uuid, member: Uuid) -> Self {
        Side {
            organization_id: tx.scope.actor.organization,
            id: Uuid::now_v7(),
            owner_id: owner,
            member_id: member,
            relation: NONE.to_owned(),
            blocked_at: None,
            requested_at: None,
            nickname: None,
            favourite: false,
            created_by: None,
            created_at: tx.now.0,
            updated_at: tx.now.0,
            version: 0,
        }
    }

    fn blocks(&self) -> bool {
        self.blocked_at.is_some()
    }

    fn status(&self) -> &str {
        if self.blocks() { UserContactStatus::Blocked.word() } else { &self.relation }
    }

    fn is_listed(&self) -> bool {
        self.status() != NONE
    }

    /// What its owner is shown of it.
    fn shown(&self) -> (&str, &Option<String>, bool) {
        (self.status(), &self.nickname, self.favourite)
    }
}

/// Both sides as they were found, held.
struct Pair {
    mine: Side,
    theirs: Side,
}

/// Both sides. NOT_FOUND for a member who is neither in the caller's list nor to be seen by them.
async fn hold(tx: &mut Tx, other: Id<Member>) -> Result<Pair, Stop> {
    let me = tx.scope.actor.member;
    if other.0 == me {
        return Err(Stop::at("memberId", UserErrorCode::Invalid, "This is yourself."));
    }
    hold_members(tx, [me, other.0]).await?;
    let both = [me, other.0];
    let sides = user_contacts::table
        .filter(user_contacts::organization_id.eq(tx.scope.actor.organization))
        .filter(user_contacts::owner_id.eq_any(both))
        .filter(user_contacts::member_id.eq_any(both));
    let sides: Vec<Side> = sides.select(Side::as_select()).load(tx.conn()).await?;
    let side = |owner, member| {
        let found = sides.iter().find(|side| side.owner_id == owner).cloned();
        found.unwrap_or_else(|| Side::new(tx, owner, member))
    };
    let pair = Pair { mine: side(me, other.0), theirs: side(other.0, me) };
    if !pair.mine.is_listed() && !write::exists(tx, Member::table(), other.0).await? {
        return Err(Stop::at("memberId", UserErrorCode::NotFound, "There is no such member."));
    }
    Ok(pair)
}

/// As `hold`; STATE_INVALID for whom the caller has blocked.
async fn hold_open(tx: &mut Tx, other: Id<Member>) -> Result<Pair, Stop> {
    let pair = hold(tx, other).await?;
    if pair.mine.blocks() { Err(block::own_block("memberId")) } else { Ok(pair) }
}

pub async fn request(tx: &mut Tx, other: Id<Member>) -> Result<Uuid, Stop> {
    let pair = hold_open(tx, other).await?;
    match (&*pair.mine.relation, &*pair.theirs.relation) {
        (REQUESTED | ACCEPTED, _) => Ok(pair.mine.id),
        // They have asked; what came of it they were not told.
        (RECEIVED, _) | (_, REQUESTED | ACCEPTED) => join(tx, pair).await,
        _ => {
            let (now, asked_at) = (tx.now.0, pair.mine.requested_at);
            if asked_at.is_some_and(|at| now.signed_duration_since(at) < DAY) {
                let message = "You have asked this member within the last 24 hours. Wait a day before you ask again.";
                return Err(Stop::at("memberId", UserErrorCode::LimitExceeded, message));
            }
            demand_room(tx, true).await?;
            let mine = Side { relation: REQUESTED.to_owned(), requested_at: Some(now), ..pair.mine.clone() };
            let theirs = Side { relation: RECEIVED.to_owned(), ..pair.theirs.clone() };
            store(tx, &pair, mine, theirs).await
        }
    }
}

pub async fn accept(tx: &mut Tx, other: Id<Member>) -> Result<Uuid, Stop> {
    let pair = hold_open(tx, other).await?;
    match &*pair.mine.relation {
        ACCEPTED => Ok(pair.mine.id),
        RECEIVED => join(tx, pair).await,
        _ => Err(no_request()),
    }
}

pub async fn decline(tx: &mut Tx, other: Id<Member>) -> Result<Uuid, Stop> {
    let pair = hold_open(tx, other).await?;
    if pair.mine.relation != RECEIVED {
        return Err(no_request());
    }
    let mine = out(&pair.mine);
    let theirs = pair.theirs.clone();
    store(tx, &pair, mine, theirs).await
}

pub async fn remove(tx: &mut Tx, other: Id<Member>) -> Result<Uuid, Stop> {
    let pair = hold_open(tx, other).await?;
    let theirs = match (&*pair.mine.relation, &*pair.theirs.relation) {
        (ACCEPTED, _) | (REQUESTED, RECEIVED) => NONE,
        // A request of theirs that was declined; one of mine that they have declined.
        (_, theirs) => theirs,
    };
    let theirs = Side { relation: theirs.to_owned(), ..pair.theirs.clone() };
    let mine = out(&pair.mine);
    store(tx, &pair, mine, theirs).await
}

/// Blocks or unblocks. What they are to each other beneath stays.
pub async fn block(tx: &mut Tx, other: Id<Member>, blocked: bool) -> Result<Uuid, Stop> {
    let pair = hold(tx, other).await?;
    if pair.mine.blocks() == blocked {
        return Ok(pair.mine.id);
    }
    let mine = Side { blocked_at: blocked.then_some(tx.now.0), ..pair.mine.clone() };
    let theirs = pair.theirs.clone();
    block::close(tx, other.0, blocked || theirs.blocks()).await?;
    store(tx, &pair, mine, theirs).await?;
    let actor = &tx.scope.actor;
    presence::store::hide_from_blocked(tx.reader(), actor.organization, actor.member).await?;
    Ok(pair.mine.id)
}

pub async fn update(tx: &mut Tx, input: UserContactUpdateInput) -> Result<Uuid, Stop> {
    let pair = hold(tx, input.member_id).await?;
    if !pair.mine.is_listed() {
        return Err(Stop::at("memberId", UserErrorCode::NotFound, "This member is not in your list."));
    }
    let (mut mine, mut errors) = (pair.mine.clone(), UserErrors::default());
    if input.expected_version.is_some_and(|expected| expected != mine.version) {
        errors.add("expectedVersion", UserErrorCode::Conflict, "The contact was changed in the meantime.");
        return Err(Stop::Rejected(Rejection { errors, current: Some(mine.id) }));
    }
    patch(&mut mine.nickname, input.nickname);
    mine.nickname.tidy("nickname", &Rule { max: NICKNAME, ..Rule::DEFAULT }, &mut errors);
    patch_required(&mut mine.favourite, input.favourite, "favourite", &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let theirs = pair.theirs.clone();
    store(tx, &pair, mine, theirs).await
}

/// Each is in the other's list.
async fn join(tx: &mut Tx, pair: Pair) -> Result<Uuid, Stop> {
    demand_room(tx, false).await?;
    let mine = Side { relation: ACCEPTED.to_owned(), ..pair.mine.clone() };
    let theirs = Side { relation: ACCEPTED.to_owned(), ..pair.theirs.clone() };
    store(tx, &pair, mine, theirs).await
}

/// Not in the list any more.
fn out(side: &Side) -> Side {
    Side { relation: NONE.to_owned(), nickname: None, favourite: false, ..side.clone() }
}

fn no_request() -> Stop {
    Stop::at("memberId", UserErrorCode::NotFound, "This member has not asked you, or has taken it back.")
}

#[derive(QueryableByName)]
struct Counts {
    #[diesel(sql_type = sql_types::BigInt)]
    contacts: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    open: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    today: i64,
}

/// LIMIT_EXCEEDED where the caller's list takes no more. Only of their own side is counted, beneath their own blocks as well:
/// nothing in it depends on what others have done without telling.
async fn demand_room(tx: &mut Tx, to_ask: bool) -> Result<(), Stop> {
    let mut sql = Sql::new(
        "SELECT count(*) FILTER (WHERE relation IN ('requested', 'accepted')) AS contacts,
           count(*) FILTER (WHERE relation = 'requested') AS open, count(*) FILTER (WHERE requested_at > ",
    );
    sql.bind(Bind::Time(Some(tx.now.0 - DAY))).push(") AS today FROM user_contacts WHERE organization_id = ");
    sql.bind(Bind::Uuid(Some(tx.scope.actor.organization))).push(" AND owner_id = ");
    sql.bind(Bind::Uuid(Some(tx.scope.actor.member)));
    let counts: Counts = sql.get_result(tx.conn()).await?;
    let message = if counts.contacts >= MOST {
        format!("A list has at most {MOST} contacts: remove some first.")
    } else if to_ask && counts.open >= MOST_OPEN {
        format!("At most {MOST_OPEN} requests wait for an answer: take some back first.")
    } else if to_ask && counts.today >= MOST_A_DAY {
        format!("At most {MOST_A_DAY} requests in 24 hours: ask tomorrow.")
    } else {
        return Ok(());
    };
    Err(Stop::at("memberId", UserErrorCode::LimitExceeded, message))
}

/// Stores both sides, and tells each owner whose list shows something else than before. Answers the caller's own.
async fn store(tx: &mut Tx, before: &Pair, mine: Side, theirs: Side) -> Result<Uuid, Stop> {
    for (old, mut new) in [(&before.mine, mine), (&before.theirs, theirs)] {
        if *old == new {
            continue;
        }
        if old.shown() != new.shown() {
            if !old.is_listed() {
                (new.created_at, new.created_by) = (tx.now.0, Some(tx.scope.actor.member));
            }
            new.updated_at = tx.now.0;
            tx.record(Change {
                stream: stream_of_member(new.owner_id),
                stream_kind: StreamKind::Member,
                kind: CHANGED,
                entity: "UserContact",
                entity_id: new.id,
                // How they stand now is read where it is shown.
                payload: json!({ "member_id": new.member_id }).into(),
            });
        }
        // A row of which nothing is shown has a version as well, that nobody sees.
        new.version = if old.shown() == new.shown() { old.version.max(1) } else { old.version.saturating_add(1) };
        diesel::insert_into(user_contacts::table)
            .values(&new)
            .on_conflict((user_contacts::organization_id, user_contacts::owner_id, user_contacts::member_id))
            .do_update()
            .set(&new)
            .execute(tx.conn())
            .await?;
    }
    Ok(before.mine.id)
}
