//! Everything that happens in all of a member's conversations, on one subscription. Invariant: each conversation is told
//! as `conversationEvents` tells it, once and in order, from where the client was; one that is busy does not hold up the
//! others, and one that cannot be continued says so alone.

use super::{
    conversation::Conversation,
    feed::{ConversationEvent, show},
    own::{Standing, standing_of},
    participant::is_participant,
    scheduled::{self, ScheduledMessageChanged},
    settings::ConversationSettings,
    user_contact::{CHANGED, UserContactChanged},
};
use crate::{
    error::{Code, Error, Result},
    events::{Cursor, Delivery, Event, stream_of_member},
    kit::{
        entity,
        feed::{Feed, ResyncRequired, Shown, feed, until_it_fails},
        id::Id,
        permission::{Action, Resource},
        resolve::scope,
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{Context, InputObject, SimpleObject, Subscription, Union};
use diesel::{QueryableByName, sql_types};
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, AbortHandle, BoxStream, SelectAll},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

/// How far a client has come in a conversation.
#[derive(Clone, Debug, InputObject)]
pub struct InboxPosition {
    /// Which conversation.
    pub conversation_id: Id<Conversation>,
    /// The cursor of the last event that you have of it, or that of the conversation as you fetched it.
    pub after: String,
}

/// Something happened in one of your conversations.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConversationHappened {
    /// In which.
    pub conversation_id: Id<Conversation>,
    /// What. `ResyncRequired` concerns this conversation alone: fetch it afresh; what happens from its cursor on follows
    /// here. `ParticipantRemoved` of yourself is the last of this conversation.
    pub event: ConversationEvent,
}

/// You are in a conversation that you gave no position of: you were added, have opened or joined it.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConversationEntered {
    /// As it is now; what happens behind its cursor follows here.
    pub conversation: Arc<Conversation>,
}

/// You are not in a conversation that you gave a position of, or not any more.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConversationGone {
    /// Which.
    pub conversation_id: Id<Conversation>,
}

/// You have changed what you have set for a conversation, perhaps on another device.
#[derive(Clone, Debug, SimpleObject)]
pub struct ConversationSettingsChanged {
    /// For which.
    pub conversation_id: Id<Conversation>,
    /// As it is now.
    pub settings: ConversationSettings,
}

/// Something that a member's inbox is told.
#[derive(Clone, Debug, Union)]
pub enum InboxEvent {
    Happened(ConversationHappened),
    Entered(ConversationEntered),
    Gone(ConversationGone),
    Settings(ConversationSettingsChanged),
    Contact(UserContactChanged),
    Scheduled(ScheduledMessageChanged),
}

/// Subscriptions.
#[derive(Default)]
pub struct InboxSubscription;

#[Subscription]
impl InboxSubscription {
    /// What happens in all of your conversations, also those that you come into later: first what you have missed of
    /// each, then live, each without a gap and without a repeat. Keep a cursor for each conversation: when you come
    /// back, give them all.
    ///
    /// Errors: INVALID_CURSOR for a cursor of another conversation; SUBSCRIPTION_LIMIT for more positions or
    /// conversations than the server follows at once (2 500 unless it is set otherwise).
    async fn inbox_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How far you have come in each conversation that you know; of the others you are told.")]
        positions: Vec<InboxPosition>,
    ) -> async_graphql::Result<Feed<InboxEvent>> {
        feed(ctx, async || {
            let scope = scope(ctx)?.clone();
            scope.actor.demand(Resource::Conversation, Action::Read)?;
            scope.loads.share();
            let inbox = Inbox::open(scope, positions).await?;
            Ok(until_it_fails(inbox, |inbox| inbox.next().map(Some).boxed()))
        })
        .await
    }
}

/// Of which stream a delivery is: a conversation's, or (None) the member's own.
type Part = (Option<Uuid>, Delivery);

struct Inbox {
    scope: Scope,
    /// Polled in turn: whoever has delivered goes to the end.
    parts: SelectAll<BoxStream<'static, Part>>,
    /// The conversations among them, and what ends each.
    here: HashMap<Uuid, AbortHandle>,
    /// What is told before anything else.
    first: VecDeque<InboxEvent>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    conversation_id: Uuid,
}

impl Inbox {
    async fn open(scope: Scope, positions: Vec<InboxPosition>) -> Result<Self> {
        use diesel_async::RunQueryDsl;
        let most = scope.app.config.events.inbox;
        let mut known = HashMap::with_capacity(positions.len().min(most));
        for position in positions {
            let cursor = Cursor::decode(&position.after)?;
            cursor.expect(scope.stream(position.conversation_id.0))?;
            known.insert(position.conversation_id.0, cursor);
            within(known.len(), most)?;
        }
        // First the member's own stream, then where they are: what they come into in between is told there.
        let own = scope.follow(scope.stream(stream_of_member(scope.actor.member)), None).await?;
        let mut sql = Sql::new("SELECT conversation_id FROM participants WHERE left_at IS NULL AND organization_id = ");
        sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND member_id = ");
        sql.bind(Bind::Uuid(Some(scope.actor.member)));
        let found: Vec<Found> = sql.load(&mut &*scope.reader().await?).await?;
        within(found.len(), most)?;
        let mut inbox = Inbox { scope, parts: SelectAll::new(), here: HashMap::new(), first: VecDeque::new() };
        inbox.parts.push(own.map(|delivery| (None, delivery)).boxed());
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for Found { conversation_id } in found {
            match known.remove(&conversation_id) {
                Some(cursor) => old.push((conversation_id, cursor)),
                None => new.push(conversation_id),
            }
        }
        let gone = known.into_keys().map(|id| InboxEvent::Gone(ConversationGone { conversation_id: id.into() }));
        inbox.first.extend(gone);
        inbox.follow(old).await?;
        inbox.enter(new).await?;
        Ok(inbox)
    }

    async fn follow(&mut self, conversations: Vec<(Uuid, Cursor)>) -> Result<()> {
        let organization = self.scope.actor.organization;
        for (conversation, deliveries) in self.scope.app.hub.subscribe_all(organization, conversations).await? {
            let (deliveries, end) = stream::abortable(deliveries);
            self.parts.push(deliveries.map(move |delivery| (Some(conversation), delivery)).boxed());
            self.here.insert(conversation, end);
        }
        Ok(())
    }

    /// Tells of conversations that the client does not know, and follows them from there.
    async fn enter(&mut self, ids: Vec<Uuid>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        within(self.here.len().saturating_add(ids.len()), self.scope.app.config.events.inbox)?;
        let conn = self.scope.reader().await?;
        let entered: Vec<Conversation> = entity::find_many(&self.scope, &conn, ids).await?;
        drop(conn);
        let cursors = entered.iter().map(|entered| Ok((entered.id.0, Cursor::decode(&entered.cursor.0)?)));
        self.follow(cursors.collect::<Result<_>>()?).await?;
        let told = entered.into_iter().map(Arc::new);
        self.first.extend(told.map(|conversation| InboxEvent::Entered(ConversationEntered { conversation })));
        Ok(())
    }

    async fn next(&mut self) -> Result<InboxEvent> {
        loop {
            // The selections of this event read anew: what an earlier one fetched may be out of date.
            self.scope.loads.clear();
            if let Some(event) = self.first.pop_front() {
                return Ok(event);
            }
            match self.parts.next().await {
                Some((Some(conversation), delivery)) => self.hear(conversation, delivery).await?,
                Some((None, Delivery::Event(event))) => self.hear_own(&event).await?,
                Some((None, Delivery::Resync)) | None => {
                    return Err(Error::unavailable("the member's own stream cannot be continued"));
                }
            }
        }
    }

    /// Something of a conversation.
    async fn hear(&mut self, conversation: Uuid, delivery: Delivery) -> Result<()> {
        match delivery {
            Delivery::Event(event) => match show(&event, self.scope.actor.member)? {
                Shown::Nothing => {}
                Shown::Event(event) => self.first.push_back(tell(conversation, event)),
                Shown::Last(event) => {
                    self.first.push_back(tell(conversation, event));
                    self.leave(conversation);
                    // Perhaps they are back already: then as somebody new. Only who is in it finds it.
                    self.enter(vec![conversation]).await?;
                }
                Shown::Resync => self.resync(conversation).await?,
            },
            Delivery::Resync => self.resync(conversation).await?,
        }
        Ok(())
    }

    /// Goes on with a conversation from where it is now.
    async fn resync(&mut self, conversation: Uuid) -> Result<()> {
        self.leave(conversation);
        // First the stream, then the question: whoever is removed in between finds that in the stream.
        let stream = self.scope.stream(conversation);
        let cursor = self.scope.app.hub.cursor(stream).await?;
        self.follow(vec![(conversation, cursor)]).await?;
        if is_participant(&self.scope, &*self.scope.reader().await?, conversation).await? {
            let resync = ResyncRequired { cursor: cursor.encode(), occurred_at: DateTime::now() };
            let event = ConversationEvent::ResyncRequired(resync);
            self.first.push_back(tell(conversation, event));
        } else {
            self.leave(conversation);
            let gone = ConversationGone { conversation_id: conversation.into() };
            self.first.push_back(InboxEvent::Gone(gone));
        }
        Ok(())
    }

    /// Something of the member's own.
    async fn hear_own(&mut self, event: &Event) -> Result<()> {
        use diesel_async::RunQueryDsl;
        let conversation = event.entity_id;
        match event.kind.as_str() {
            "conversation_entered" if !self.here.contains_key(&conversation) => self.enter(vec![conversation]).await?,
            "settings_changed" => {
                let conn = self.scope.reader().await?;
                let own: Vec<Standing> =
                    standing_of(&self.scope, Bind::Uuids(vec![conversation])).load(&mut &*conn).await?;
                // None: they have left meanwhile.
                self.first.extend(own.into_iter().next().map(|own| {
                    let settings = own.settings();
                    InboxEvent::Settings(ConversationSettingsChanged { conversation_id: conversation.into(), settings })
                }));
            }
            CHANGED => {
                let member = event.payload.member("member_id")?;
                let member = member.ok_or_else(|| Error::ours("an event of a contact list without a member"))?;
                self.first.push_back(InboxEvent::Contact(UserContactChanged::of(&self.scope, member).await?));
            }
            scheduled::CHANGED => {
                let changed = ScheduledMessageChanged::of(&self.scope, event).await?;
                self.first.push_back(InboxEvent::Scheduled(changed));
            }
            _ => {}
        }
        Ok(())
    }

    /// Hears no more of a conversation.
    fn leave(&mut self, conversation: Uuid) {
        if let Some(end) = self.here.remove(&conversation) {
            end.abort();
        }
    }
}

fn tell(conversation: Uuid, event: ConversationEvent) -> InboxEvent {
    InboxEvent::Happened(ConversationHappened { conversation_id: conversation.into(), event })
}

fn within(count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Error::yours(
        Code::SubscriptionLimit,
        format!("This server follows at most {most} conversations on one subscription."),
    ))
}
