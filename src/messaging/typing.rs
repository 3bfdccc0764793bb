//! Who types in a conversation. Invariant: who may not read a conversation neither says that they type there nor hears
//! who does; it is never stored, ends by itself, and nobody who sends or reads a message waits for it.

use super::{
    block,
    conversation::{Conversation, not_found},
    participant::{is_participant, may_talk},
};
use crate::{
    error::{Error, Result},
    events::{Deliveries, Delivery, Event},
    identity::Member,
    kit::{
        feed::{Feed, feed, until_it_fails},
        id::Id,
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        scope::Scope,
        user_error::UserError,
        write::Stop,
    },
};
use async_graphql::{Context, InputObject, Object, SimpleObject, Subscription};
use chrono::{TimeDelta, Utc};
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use std::future::pending;
use tokio::{sync::watch, time::sleep_until};
use uuid::Uuid;

/// How often a member may say so in a minute, all conversations and both ways together: clients say it every three
/// seconds.
const SAYS: u32 = 120;

/// How old a message may be to end what its sender types.
const NEWS: TimeDelta = TimeDelta::seconds(3);

/// Whether you type in a conversation.
#[derive(Clone, Debug, InputObject)]
pub struct TypingSetInput {
    /// In which conversation; you have to be in it.
    pub conversation_id: Id<Conversation>,
    /// True: for six seconds from now on, unless the server is set otherwise; false: no more.
    #[graphql(default = true)]
    pub typing: bool,
}

/// What came of saying that one types.
#[derive(SimpleObject, Default)]
pub struct TypingPayload {
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct TypingMutation;

#[Object]
impl TypingMutation {
    /// Says that you type in a conversation, to those who are in it. It ends by itself after six seconds, or when your
    /// message is sent: say it again every three seconds while somebody types (sooner changes nothing), and false when
    /// they have taken back what they wrote. Who hides their presence is shown typing all the same, as their message will
    /// be: whoever does not want that does not say it.
    ///
    /// User errors: NOT_FOUND where you are not in it; STATE_INVALID where nothing can be said: it is archived,
    /// or a direct one with a member who cannot be written to at present. Errors: FORBIDDEN for an API
    /// key without the permission UPDATE on CONVERSATION; RATE_LIMITED for more than 120 times in a minute.
    async fn typing_set(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where, and whether.")] input: TypingSetInput,
    ) -> Option<TypingPayload> {
        or_null(ctx, async { run(scope(ctx)?, &input).await.map(Some) }).await
    }
}

async fn run(scope: &Scope, input: &TypingSetInput) -> Result<TypingPayload> {
    scope.actor.demand_verified()?;
    may_talk(scope)?;
    scope.app.throttle.take_here("typing", &scope.actor.member.to_string(), SAYS, SAYS)?;
    match say(scope, input).await {
        Ok(()) => Ok(TypingPayload::default()),
        Err(Stop::Rejected(rejection)) => {
            Ok(TypingPayload { user_errors: rejection.errors.into(), ..Default::default() })
        }
        Err(Stop::Failed(fault)) => Err(fault),
    }
}

async fn say(scope: &Scope, input: &TypingSetInput) -> Result<(), Stop> {
    let (presence, conversation) = (&scope.app.presence, input.conversation_id.0);
    let (organization, me) = (scope.actor.organization, scope.actor.member);
    if input.typing && presence.has_just_said(organization, conversation, me) {
        return Ok(());
    }
    let conn = scope.reader().await?;
    if !is_participant(scope, &conn, conversation).await? {
        return Err(not_found("conversationId"));
    }
    if let Some(closed) = block::closed(scope, &conn, conversation, "conversationId").await? {
        return Err(closed);
    }
    drop(conn);
    if input.typing {
        presence.types(organization, conversation, me);
    } else {
        presence.stops(organization, conversation, me);
    }
    Ok(())
}

/// Who types in a conversation.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConversationTyping {
    /// In which conversation.
    pub conversation_id: Id<Conversation>,
    /// The ids of all who type there now, yourself left out: those first who began first, 20 at most. Empty: nobody does.
    pub member_ids: Vec<Id<Member>>,
}

/// Subscriptions.
#[derive(Default)]
pub struct TypingSubscription;

#[Subscription]
impl TypingSubscription {
    /// Who types in a conversation: first who does now, then all of them again whenever that changes. It is told as it
    /// happens and not kept, so there is no cursor: after a cut subscribe again. It ends when you leave or are removed.
    ///
    /// Errors: NOT_FOUND where you are not in it.
    async fn typing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In which conversation; you have to be in it.")] conversation_id: Id<Conversation>,
    ) -> async_graphql::Result<Feed<ConversationTyping>> {
        feed(ctx, async || {
            let scope = scope(ctx)?.clone();
            scope.actor.demand(Resource::Conversation, Action::Read)?;
            // First the log, then the question: whoever is removed in between finds that in the log.
            let log = scope.follow(scope.stream(conversation_id.0), None).await?;
            if !is_participant(&scope, &*scope.reader().await?, conversation_id.0).await? {
                return Err(Error::not_found("There is no such conversation."));
            }
            let bell = scope.app.presence.overhear(scope.actor.organization, conversation_id.0);
            let view = View { scope, conversation: conversation_id, log, bell, shown: None };
            Ok(until_it_fails(view, |view| view.next().boxed()))
        })
        .await
    }
}

/// Who sent a message, as the event of it says.
#[derive(Deserialize)]
struct Sent {
    sender_id: Option<Uuid>,
}

/// Who is in a conversation no more, as the event of it says.
#[derive(Deserialize)]
struct Removed {
    member_id: Uuid,
}

/// What one subscriber sees.
struct View {
    scope: Scope,
    conversation: Id<Conversation>,
    /// What happens there: who sends or leaves types no more.
    log: Deliveries,
    bell: watch::Receiver<()>,
    shown: Option<Vec<Id<Member>>>,
}

impl View {
    /// Who types, when it is not who did; None: nothing more comes.
    async fn next(&mut self) -> Option<Result<ConversationTyping>> {
        loop {
            // First the bell, then the look: what changes in between rings again.
            self.bell.mark_unchanged();
            let (organization, me) = (self.scope.actor.organization, self.scope.actor.member);
            let mut typing = self.scope.app.presence.typing(organization, self.conversation.0);
            typing.retain(|(member, _)| *member != me);
            let mut member_ids: Vec<Id<Member>> = Vec::with_capacity(typing.len());
            for (member, _) in &typing {
                // While nobody can say, nobody is shown.
                if !block::hides(&self.scope, *member).await.unwrap_or(true) {
                    member_ids.push((*member).into());
                }
            }
            if self.shown.as_ref() != Some(&member_ids) {
                self.shown = Some(member_ids.clone());
                return Some(Ok(ConversationTyping { conversation_id: self.conversation, member_ids }));
            }
            let until = typing.iter().map(|(_, typing)| typing.until).min();
            tokio::select! {
                rung = self.bell.changed() => rung.ok()?,
                () = async { match until { Some(until) => sleep_until(until).await, None => pending().await } } => {}
                happened = self.log.next() => match happened? {
                    Delivery::Event(event) => self.hear(&event)?,
                    // Whether they are still in it has to be asked anew: they subscribe again.
                    Delivery::Resync => return None,
                },
            }
        }
    }

    /// None: the subscriber is in the conversation no more.
    fn hear(&self, event: &Event) -> Option<()> {
        let member = match event.kind.as_str() {
            "message_sent" => event.payload.member("message").ok()?.and_then(|Sent { sender_id }| sender_id),
            "participant_removed" => event.payload.member("participant").ok()?.map(|Removed { member_id }| member_id),
            _ => return Some(()),
        };
        if event.kind == "participant_removed" && member == Some(self.scope.actor.member) {
            return None;
        }
        // Whoever hears of it late must not end what has begun since.
        if let Some(member) = member.filter(|_| Utc::now() - event.at < NEWS) {
            // Each node sees this for itself, and the first of its subscribers does it for all.
            self.scope.app.presence.hush(self.scope.actor.organization, self.conversation.0, member);
        }
        Some(())
    }
}
