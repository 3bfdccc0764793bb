//! Following who is here: a snapshot, then what has changed, no cursor. Invariant: a subscriber is told what is so by
//! then, however much has happened meanwhile, and nothing waits for one who is slow.

use super::Presence;
use crate::{
    error::{Error, Result},
    identity::Member,
    kit::{
        entity::{self, Entity},
        feed::{Feed, feed, until_it_fails},
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Reach},
        resolve::scope,
        scope::Scope,
    },
    platform::presence::store,
};
use async_graphql::{Context, Subscription};
use chrono::Utc;
use futures_util::FutureExt;
use std::{collections::HashMap, future::pending, time::Duration};
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

/// Members that one subscription follows at most: whenever somebody comes or goes, all of them are looked at.
const MOST: usize = 500;
/// What comes within so long is told together: when everybody comes back at once, each feed looks four times a second.
const TOGETHER: Duration = Duration::from_millis(250);
/// A clock is asked again after so long at most: it may be set.
const LONGEST: Duration = Duration::from_secs(60);

/// Subscriptions.
#[derive(Default)]
pub struct PresenceSubscription;

#[Subscription]
impl PresenceSubscription {
    /// Which of these members are there: first all of them whom you may see, then each that has changed, as it is by then. It
    /// is told as it happens and not kept, so there is no cursor: after a cut subscribe again. It ends when you may see none
    /// of them any more.
    ///
    /// Errors: BAD_USER_INPUT for none or more than 500 ids; NOT_FOUND when you may see none of them.
    async fn presence(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which members, 1 to 500.")] member_ids: Vec<Id<Member>>,
    ) -> async_graphql::Result<Feed<Vec<Presence>>> {
        feed(ctx, async || {
            let scope = scope(ctx)?.clone();
            entity::may_list(Member::table(), &scope, DeletedRecords::Exclude)?;
            if !(1..=MOST).contains(&member_ids.len()) {
                return Err(Error::bad_input(format!("memberIds are 1 to {MOST} members.")));
            }
            let bell = scope.app.presence.follow(scope.actor.organization);
            let ids = member_ids.iter().map(|id| id.0).collect();
            let mut view = View { scope, ids, bell, shown: HashMap::new() };
            view.look().await?;
            if view.ids.is_empty() {
                return Err(Error::not_found("There are no such members."));
            }
            Ok(until_it_fails(view, |view| view.next().boxed()))
        })
        .await
    }
}

/// What one subscriber sees.
struct View {
    scope: Scope,
    ids: Vec<Uuid>,
    bell: watch::Receiver<()>,
    shown: HashMap<Uuid, Presence>,
}

impl View {
    /// Keeps those who may be seen, and reads what they show.
    async fn look(&mut self) -> Result<()> {
        let organization = self.scope.actor.organization;
        let conn = self.scope.reader().await?;
        let seen: Vec<Member> = entity::find_many(&self.scope, &conn, std::mem::take(&mut self.ids)).await?;
        self.ids = seen.into_iter().map(|member| member.id.0).collect();
        self.shown.retain(|id, _| self.ids.contains(id));
        let stored = store::read(&conn, organization, &self.ids).await?;
        self.scope.app.presence.learn(organization, &self.ids, stored);
        Ok(())
    }

    /// Who is to be told of now; None: nothing more comes.
    async fn next(&mut self) -> Option<Result<Vec<Presence>>> {
        loop {
            // First the bell, then the look: what changes in between rings again.
            self.bell.mark_unchanged();
            let mut changed = self.changed();
            // Who sees all members sees them as long as the socket is theirs; for others it is asked each time.
            let all = self.scope.actor.may(Member::table().resource, Action::Read) == Some(Reach::All);
            if !changed.is_empty() && !self.shown.is_empty() && !all {
                if let Err(fault) = self.look().await {
                    return Some(Err(fault));
                }
                if self.ids.is_empty() {
                    return None;
                }
                changed = self.changed();
            }
            if !changed.is_empty() {
                self.shown.extend(changed.iter().map(|presence| (presence.member_id.0, presence.clone())));
                return Some(Ok(changed));
            }
            let now = Utc::now();
            let ends = self.shown.values().filter_map(|presence| presence.expires_at).min();
            let ends = ends.map(|at| (at.0 - now).to_std().unwrap_or_default().min(LONGEST));
            tokio::select! {
                rung = self.bell.changed() => {
                    rung.ok()?;
                    sleep(TOGETHER).await;
                }
                () = async { match ends { Some(left) => sleep(left).await, None => pending().await } } => {}
            }
        }
    }

    /// Those who look otherwise than they were shown.
    fn changed(&self) -> Vec<Presence> {
        let known = self.scope.app.presence.known(self.scope.actor.organization, &self.ids);
        let seen = known.into_iter().map(|(id, known)| Presence::seen_by(&self.scope, id, known.here, &known.stored));
        seen.filter(|presence| self.shown.get(&presence.member_id.0) != Some(presence)).collect()
    }
}
