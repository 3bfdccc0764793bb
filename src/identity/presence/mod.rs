//! Presence: who is here, and what they show of themselves. Invariant: of a member who hides it, or has blocked them, others
//! see nothing but OFFLINE, and of one whom they may not see nothing at all; whatever a page of members, what is stored costs
//! one query.

mod feed;
mod set;

pub use feed::PresenceSubscription;
pub use set::{PresenceMutation, PresencePayload, PresenceSetInput};

use super::Member;
use crate::{
    error::{Error, Result},
    kit::{
        id::Id,
        relation::{ListKey, or_null},
        resolve::scope,
        scalars::DateTime,
        scope::Scope,
    },
    platform::presence::{
        Here,
        store::{self, Stored},
    },
};
use async_graphql::{ComplexObject, Context, Enum, SelectionField, SimpleObject, dataloader::Loader};
use chrono::Utc;
use diesel_async::AsyncPgConnection;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum PresenceStatus {
    /// Has an open connection, on whatever device.
    Online,
    /// Has an open connection, and is away for a while.
    Away,
    /// Has an open connection, and wants no sound and no notification.
    DoNotDisturb,
    /// Has no open connection, or hides it.
    Offline,
}

impl PresenceStatus {
    /// From what is stored; a word that this version does not know says only that they are there.
    fn of(word: &str) -> Self {
        let known = [PresenceStatus::Away, PresenceStatus::DoNotDisturb];
        known.into_iter().find(|status| status.word() == Some(word)).unwrap_or(PresenceStatus::Online)
    }

    /// As it is stored; None: it cannot be chosen.
    fn word(self) -> Option<&'static str> {
        match self {
            PresenceStatus::Online => Some("online"),
            PresenceStatus::Away => Some("away"),
            PresenceStatus::DoNotDisturb => Some("do_not_disturb"),
            PresenceStatus::Offline => None,
        }
    }
}

/// Whether a member is there, and what they show of themselves.
#[derive(Clone, Debug, PartialEq, SimpleObject)]
pub struct Presence {
    /// The id of the member.
    pub member_id: Id<Member>,
    /// Whether they are there. All their devices count as one: WebSockets and event streams. It becomes OFFLINE within 30
    /// seconds after the last of them has ended or stopped answering. (API keys are nobody's presence.)
    pub status: PresenceStatus,
    /// What they say of themselves, as plain text, also while they are OFFLINE; null: nothing, or they hide it.
    pub text: Option<String>,
    /// When `text` goes back to null, and `status`, while they are there, to ONLINE; null: when they change it, or they hide
    /// it.
    pub expires_at: Option<DateTime>,
    /// When they were last there; null: they are there now, never were, or hide it.
    pub last_seen_at: Option<DateTime>,
    /// Of yourself: whether you hide all of this, so that others see you OFFLINE and nothing else. Null of others.
    pub hidden: Option<bool>,
}

impl Presence {
    /// As the viewer sees it.
    fn seen_by(viewer: &Scope, member: Uuid, here: bool, stored: &Stored) -> Self {
        let me = viewer.actor.member;
        let own = member == me;
        if !own && (stored.hidden || stored.hidden_from.contains(&Some(me))) {
            return Presence {
                member_id: member.into(),
                status: PresenceStatus::Offline,
                text: None,
                expires_at: None,
                last_seen_at: None,
                hidden: None,
            };
        }
        let stands = stored.expires_at.is_none_or(|at| at > Utc::now());
        let status = if stands { PresenceStatus::of(&stored.status) } else { PresenceStatus::Online };
        Presence {
            member_id: member.into(),
            status: if here { status } else { PresenceStatus::Offline },
            text: stored.text.clone().filter(|_| stands),
            expires_at: stored.expires_at.filter(|_| stands).map(DateTime),
            last_seen_at: stored.last_seen.filter(|_| !here).map(DateTime),
            hidden: own.then_some(stored.hidden),
        }
    }
}

/// A connection of who has signed in; None for a program, which is nobody's presence.
pub fn arrive(scope: &Scope) -> Option<Here> {
    let actor = &scope.actor;
    actor.session().ok().map(|_| scope.app.presence.connect(actor.organization, actor.member))
}

/// What a member shows of themselves.
pub struct Shows<'a, E>(pub &'a E);

#[ComplexObject]
impl Shows<'_, Member> {
    /// Whether they are there, and what they show of themselves; never null unless it could not be read. `presence` among the
    /// subscriptions tells when it changes.
    async fn presence(&self, ctx: &Context<'_>) -> Option<Presence> {
        or_null(ctx, async {
            let (scope, member) = (scope(ctx)?, self.0.id.0);
            let stored = match scope.loads.list::<Stored>(&key(member)) {
                Some(ahead) => ahead,
                None => {
                    let loader = scope.gather(|scope| Stores { scope });
                    let loader = loader.ok_or_else(|| Error::ours("a loader of another type"))?;
                    Arc::new(loader.load_one(member).await?.unwrap_or_default())
                }
            };
            let here = scope.app.presence.is_here(scope.actor.organization, member);
            Ok(Some(Presence::seen_by(scope, member, here, &stored)))
        })
        .await
    }
}

impl Shows<'_, Member> {
    /// Fetches ahead what is stored of a page of members.
    pub async fn ahead(
        scope: &Scope,
        conn: &AsyncPgConnection,
        rows: &[Arc<Member>],
        selections: &[SelectionField<'_>],
    ) -> Result<()> {
        if !selections.iter().any(|field| field.name() == "presence") {
            return Ok(());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
        let mut found = store::read(conn, scope.actor.organization, &ids).await?;
        for id in ids {
            scope.loads.put_list(key(id), Arc::new(found.remove(&id).unwrap_or_default()));
        }
        Ok(())
    }
}

/// Where what was fetched ahead is kept.
fn key(member: Uuid) -> ListKey {
    (member, "presences", "own", String::new())
}

/// What is stored of members one by one, where nothing was fetched ahead.
struct Stores {
    scope: Scope,
}

impl Loader<Uuid> for Stores {
    type Value = Stored;
    type Error = Error;

    async fn load(&self, members: &[Uuid]) -> Result<HashMap<Uuid, Stored>> {
        store::read(&*self.scope.reader().await?, self.scope.actor.organization, members).await
    }
}
