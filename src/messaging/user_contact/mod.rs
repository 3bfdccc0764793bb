//! Contact lists: whom a member knows, has asked, has been asked by, and has blocked. Invariant: a list is its owner's alone;
//! of what somebody else does in theirs it shows that they asked, accepted or removed, and never that they declined or
//! blocked.

mod pair;

use super::participant::may_talk;
use crate::{
    db_enum,
    error::Result,
    identity::Member,
    kit::{
        entity::{self, Entity},
        filter::{self, Budget, DeletedRecords, Filter},
        id::Id,
        predicate::Predicate,
        resolve::{self, scope},
        rules::Rules,
        scalars::DateTime,
        scope::{Actor, Scope},
        sql::Sql,
        user_error::UserError,
        value::Bind,
        write::{Outcome, Stop, Tx},
    },
};
use async_graphql::{Context, InputObject, MaybeUndefined, NewType, Object, SimpleObject};
use diesel_async::RunQueryDsl;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

pub use pair::CHANGED;

db_enum! {
    /// How a member stands in your contact list.
    pub enum UserContactStatus, filter UserContactStatusFilter {
        /// You have asked them, and they have not accepted. If they decline, you are not told.
        Requested = "requested",
        /// They have asked you: accept or decline.
        Received = "received",
        /// You are in each other's lists.
        Accepted = "accepted",
        /// You have blocked them. They are not told.
        Blocked = "blocked",
    }
}

/// A member in your contact list. Nobody else sees it.
#[entity(resource = Conversation, plural = user_contacts, visible_by = own, read_only,
    filters(search: UserContactSearch = "Has each of these words in `nickname`, or in `name` or `email` of the member as far as \
        you may see them, whatever case and accents. At most 8 words."))]
pub struct UserContact {
    pub id: Id<UserContact>,
    /// The id of the member. They stay in the list when they are suspended or removed: `member { status }` says so.
    #[entity(filter, belongs_to = crate::identity::Member as member)]
    pub member_id: Id<Member>,
    /// How they stand.
    #[entity(filter, group)]
    pub status: UserContactStatus,
    /// When you blocked them; null: you have not.
    #[entity(filter)]
    pub blocked_at: Option<DateTime>,
    /// What you call them; null: by their name. They do not see it.
    #[entity(filter, order, unindexed)]
    pub nickname: Option<String>,
    /// Whether they stand above the others. They do not see it.
    #[entity(filter, order, unindexed)]
    pub favourite: bool,
}

impl Rules for UserContact {}

/// The wall: one's own list. What is not in it any more is only remembered.
fn own(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    sql.push(" AND ").push(alias).push(".owner_id = ").bind(Bind::Uuid(Some(actor.member)));
    sql.push(" AND ").push(alias).push(".status <> 'none'");
}

/// Words to find a contact by.
#[derive(Clone, Debug, Default, NewType)]
pub struct UserContactSearch(String);

impl Filter for UserContactSearch {
    fn predicate(self, budget: &mut Budget) -> Result<Predicate> {
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        filter::search(&self.0, &[UserContact::NICKNAME], &mut own, budget)?;
        filter::search(&self.0, &[Member::NAME, Member::EMAIL], &mut theirs, budget)?;
        // A word stands at the same place in both.
        let word = |(own, theirs)| {
            let member = Predicate::Related {
                table: Member::table(),
                here: UserContact::MEMBER_ID,
                there: "id",
                fits: Box::new(theirs),
            };
            Predicate::Any(vec![own, member])
        };
        Ok(Predicate::All(own.into_iter().zip(theirs).map(word).collect()))
    }
}

/// A member whom something is done about in your contact list.
#[derive(Clone, Debug, InputObject)]
pub struct UserContactInput {
    /// Which member; not yourself.
    pub member_id: Id<Member>,
}

/// Changes to what you have set for a contact: what is left out stays, null clears.
#[derive(Clone, Debug, InputObject)]
pub struct UserContactUpdateInput {
    /// Which member of your list.
    pub member_id: Id<Member>,
    /// The version that the change is based on; with another by now nothing is written (user error CONFLICT).
    pub expected_version: Option<i32>,
    /// What you call them, at most 100 characters.
    pub nickname: MaybeUndefined<String>,
    /// Whether they stand above the others; not null.
    pub favourite: MaybeUndefined<bool>,
}

/// What came of a change of your contact list.
#[derive(SimpleObject)]
pub struct UserContactPayload {
    /// The contact as it is now; for a CONFLICT as it stands. Null: they are not in your list, or nothing was written.
    pub user_contact: Option<Arc<UserContact>>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct UserContactMutation;

#[Object]
impl UserContactMutation {
    /// Asks a member to be a contact of yours. Who has asked you already is accepted thereby; who stands in your list as
    /// REQUESTED or ACCEPTED stays so. They hear of it, unless they have blocked you, which you are not told.
    ///
    /// User errors: NOT_FOUND for a member whom you may not see; STATE_INVALID while you block them; LIMIT_EXCEEDED beyond
    /// 1 000 contacts (ACCEPTED or REQUESTED), 200 REQUESTED, 50 requests in 24 hours, or one to the same member.
    async fn user_contact_request(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to ask.")] input: UserContactInput,
    ) -> Option<UserContactPayload> {
        change(ctx, async move |tx| pair::request(tx, input.member_id).await).await
    }

    /// Accepts somebody's request: you are in each other's lists from then on. Again changes nothing.
    ///
    /// User errors: NOT_FOUND when they have not asked, or have taken it back; STATE_INVALID while you block them;
    /// LIMIT_EXCEEDED beyond 1 000 contacts.
    async fn user_contact_accept(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose request.")] input: UserContactInput,
    ) -> Option<UserContactPayload> {
        change(ctx, async move |tx| pair::accept(tx, input.member_id).await).await
    }

    /// Declines somebody's request: they leave your list. They are not told, and see their request as before; should you
    /// ask them later, you are contacts.
    ///
    /// User errors: NOT_FOUND when they have not asked, or have taken it back; STATE_INVALID while you block them.
    async fn user_contact_decline(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose request.")] input: UserContactInput,
    ) -> Option<UserContactPayload> {
        change(ctx, async move |tx| pair::decline(tx, input.member_id).await).await
    }

    /// Takes a member out of your list, and yourself out of theirs; a request of yours is taken back, one of theirs is
    /// declined. What you have set for them goes. Who is not in the list stays out of it.
    ///
    /// User errors: NOT_FOUND for a member whom you may not see; STATE_INVALID while you block them.
    async fn user_contact_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to take out.")] input: UserContactInput,
    ) -> Option<UserContactPayload> {
        change(ctx, async move |tx| pair::remove(tx, input.member_id).await).await
    }

    /// Blocks a member, in your list or not. They cannot open a direct conversation with you any more, nor say anything in the
    /// one that you have, and neither can you until you unblock them. Whether you are there, and what you read from now on,
    /// is not told to them; in groups and channels you meet as before. They are not told of the block: their list stays as it
    /// is, and a request of theirs looks as if it was sent. Again changes nothing.
    ///
    /// User errors: NOT_FOUND for a member whom you may not see.
    async fn user_contact_block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to block.")] input: UserContactInput,
    ) -> Option<UserContactPayload> {
        block(ctx, input.member_id, true).await
    }

    /// Takes a block back: the member stands in your list as if there had been none, also as to what they have done
    /// meanwhile, such as to ask. Who was not blocked stays as they are.
    ///
    /// User errors: NOT_FOUND for a member whom you may not see.
    async fn user_contact_unblock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to unblock.")] input: UserContactInput,
    ) -> Option<UserContactPayload> {
        block(ctx, input.member_id, false).await
    }

    /// Changes what you have set for a contact. Your other devices hear of it, and nobody else.
    ///
    /// User errors: NOT_FOUND when they are not in your list; CONFLICT.
    async fn user_contact_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which contact, and what changes.")] input: UserContactUpdateInput,
    ) -> Option<UserContactPayload> {
        change(ctx, async move |tx| pair::update(tx, input).await).await
    }
}

async fn change(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Uuid, Stop>,
) -> Option<UserContactPayload> {
    resolve::change::<UserContact, _>(ctx, async move |tx| {
        may_talk(&tx.scope)?;
        write(tx).await
    })
    .await
}

impl From<Outcome<UserContact>> for UserContactPayload {
    fn from(Outcome { record, errors }: Outcome<UserContact>) -> Self {
        UserContactPayload { user_contact: record, user_errors: errors, query: Default::default() }
    }
}

async fn block(ctx: &Context<'_>, member: Id<Member>, blocked: bool) -> Option<UserContactPayload> {
    let payload = change(ctx, async move |tx| pair::block(tx, member, blocked).await).await?;
    if let Some(Scope { app, actor, .. }) = scope(ctx).ok().filter(|_| payload.user_errors.is_empty()) {
        app.presence.changed(actor.organization, actor.member);
    }
    Some(payload)
}

/// You have changed your contact list, perhaps on another device, or a member has asked you, accepted or removed you. What
/// happened while nobody listened is not told: subscribe, then fetch the list.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserContactChanged {
    /// Whom it is about.
    pub member_id: Id<Member>,
    /// The contact as it is now; null: they are not in your list.
    pub user_contact: Option<Arc<UserContact>>,
}

impl UserContactChanged {
    /// What the event of the member's own stream says, as it is by now.
    pub async fn of(scope: &Scope, member: Uuid) -> Result<Self> {
        let mut sql = entity::select(UserContact::table());
        entity::push_visible(UserContact::table(), scope, DeletedRecords::Exclude, &mut sql);
        sql.push(" AND t0.member_id = ").bind(Bind::Uuid(Some(member)));
        let found: Vec<UserContact> = sql.load(&mut *scope.reader().await?).await?;
        Ok(UserContactChanged { member_id: member.into(), user_contact: found.into_iter().next().map(Arc::new) })
    }
}
