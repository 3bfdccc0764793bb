//! What holds across entities: any record by its id alone, and what all events of feeds have in common.

use crate::{
    crm::{account::Account, contact::Contact, feed::RecordChanged, lead::Lead},
    error::{Error, Result},
    files::file::File,
    identity::{
        Member, api_key::ApiKey, custom_role::CustomRole, invitation::Invitation, team::Team, team_member::TeamMember,
    },
    kit::{
        entity::{self, Entity},
        feed::ResyncRequired,
        id::Id,
        relation::or_null,
        resolve::{scope, selections},
        scalars::DateTime,
        scope::Scope,
    },
    messaging::{
        attachment::MessageAttachment,
        conversation::Conversation,
        feed::{
            ConversationCreated, ConversationUpdated, MessageDeleted, MessageEdited, MessagePinned, MessageSent,
            MessageUnpinned, ParticipantAdded, ParticipantRemoved, ParticipantUpdated, ReactionAdded, ReactionRemoved,
            ThreadFollowed, ThreadUnfollowed,
        },
        mention::Mention,
        message::Message,
        notification::{
            Notification,
            feed::{NotificationCreated, NotificationsRead},
        },
        participant::Participant,
        receipt::ReceiptsMoved,
        user_contact::UserContact,
    },
    operations::job::Job,
};
use async_graphql::{Context, ID, Interface, Object, SelectionField};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Any record (Relay's global object identification).
#[derive(Clone, Debug, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Globally unique."))]
pub enum Node {
    Member(Arc<Member>),
    Account(Arc<Account>),
    Contact(Arc<Contact>),
    Lead(Arc<Lead>),
    Conversation(Arc<Conversation>),
    Participant(Arc<Participant>),
    Message(Arc<Message>),
    Mention(Arc<Mention>),
    MessageAttachment(Arc<MessageAttachment>),
    Job(Arc<Job>),
    Invitation(Arc<Invitation>),
    ApiKey(Arc<ApiKey>),
    CustomRole(Arc<CustomRole>),
    Team(Arc<Team>),
    TeamMember(Arc<TeamMember>),
    File(Arc<File>),
    UserContact(Arc<UserContact>),
    Notification(Arc<Notification>),
}

/// An event of a feed.
#[derive(Clone, Debug, Interface)]
#[graphql(
    field(name = "cursor", ty = "&String", desc = "The place of this event: give it as `after` to go on behind it."),
    field(name = "occurred_at", ty = "&DateTime", desc = "When it happened.")
)]
pub enum FeedEvent {
    RecordChanged(RecordChanged),
    ConversationCreated(ConversationCreated),
    ConversationUpdated(ConversationUpdated),
    ParticipantAdded(ParticipantAdded),
    ParticipantUpdated(ParticipantUpdated),
    ParticipantRemoved(ParticipantRemoved),
    MessageSent(MessageSent),
    MessageEdited(MessageEdited),
    MessageDeleted(MessageDeleted),
    MessagePinned(MessagePinned),
    MessageUnpinned(MessageUnpinned),
    ReactionAdded(ReactionAdded),
    ReactionRemoved(ReactionRemoved),
    ThreadFollowed(ThreadFollowed),
    ThreadUnfollowed(ThreadUnfollowed),
    ReceiptsMoved(ReceiptsMoved),
    NotificationCreated(NotificationCreated),
    NotificationsRead(NotificationsRead),
    ResyncRequired(ResyncRequired),
}

/// Ids in one `nodes` at most.
const MOST: usize = 100;

/// Queries.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Any record by its id; null when there is none that you may see.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Which record.")] id: Id<Node>) -> Option<Node> {
        or_null(ctx, async { Ok(find(scope(ctx)?, vec![id.0], &selections(ctx)).await?.remove(&id.0)) }).await
    }

    /// Any records by their ids, in their order; null for each that there is none of that you may see. At most 100.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which records.")] ids: Vec<Id<Node>>,
    ) -> Option<Vec<Option<Node>>> {
        or_null(ctx, async {
            if ids.len() > MOST {
                return Err(Error::bad_input(format!("nodes takes at most {MOST} ids.")));
            }
            let found = find(scope(ctx)?, ids.iter().map(|id| id.0).collect(), &selections(ctx)).await?;
            Ok(Some(ids.iter().map(|id| found.get(&id.0).cloned()).collect()))
        })
        .await
    }
}

async fn find(scope: &Scope, ids: Vec<Uuid>, selections: &[SelectionField<'_>]) -> Result<HashMap<Uuid, Node>> {
    let conn = scope.reader().await?;
    let mut found = HashMap::new();
    macro_rules! among {
        ($($entity:ident),*) => {$(
            let rows: Vec<Arc<$entity>> =
                entity::find_many::<$entity>(scope, &conn, ids.clone()).await?.into_iter().map(Arc::new).collect();
            $entity::preload(scope, &conn, &rows, selections).await?;
            found.extend(rows.into_iter().map(|row| (row.id.0, Node::$entity(row))));
        )*};
    }
    among!(
        Member,
        Account,
        Contact,
        Lead,
        Conversation,
        Participant,
        Message,
        Mention,
        MessageAttachment,
        Job,
        Invitation,
        ApiKey,
        CustomRole,
        Team,
        TeamMember,
        File,
        UserContact,
        Notification
    );
    Ok(found)
}
