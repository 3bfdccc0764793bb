//! The audit trail: the log as administrators read it, of all records and of the ways in of their people. Invariant:
//! there is no second copy of what happened, and what is said in conversations is not told: messages that were sent are
//! not among it, and of conversations only that they changed.

pub mod export;

use crate::{
    error::Result,
    graphql::TABLES,
    identity::Member,
    kit::{
        entity::page_selections,
        filter::{Budget, DateTimeFilter, IdFilter, Operators, TextFilter},
        history::{FieldChange, changes_of},
        id::Id,
        listing::{Listing, Place, Placed, Slice},
        permission::{Action, Reach, Resource},
        predicate::Predicate,
        relation::{or_null, preload_one, to_one},
        resolve::{scope, selections},
        scalars::{AnyJson, DateTime},
        scope::{Actor, Scope},
        sql::Sql,
        table::Column,
        value::{Bind, Kind},
    },
    schema::events,
};
use async_graphql::{ComplexObject, Context, Enum, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::{
    QueryableByName,
    sql_types::{Jsonb, Nullable},
};
use serde_json::Value as Json;
use std::sync::Arc;
use uuid::Uuid;

/// What kind of actor it was.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditActorKind {
    /// A member, signed in.
    Member,
    /// A program with the API key of a member.
    ApiKey,
    /// Somebody who was not signed in, such as whoever gave a wrong password.
    Stranger,
    /// The server itself, or whoever runs it.
    System,
}

/// Something that happened in the organization.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(complex)]
pub struct AuditEvent {
    /// Of the event.
    pub id: Id<AuditEvent>,
    /// When.
    pub at: DateTime,
    /// What was done: `created`, `updated`, `deleted`, `restored`, `purged`, or a word of its own such as `role_changed` or
    /// `sign_in_refused`.
    pub action: String,
    /// The type of the record that it was done to, such as `Lead`; `Security`: it is about the way in of the member that
    /// `entityId` names.
    pub entity: String,
    /// The id of the record that it was done to. It may be gone.
    pub entity_id: Id<AuditEvent>,
    /// The fields that became different. Empty for what was created or deleted, for conversations, and for records of a
    /// type of which you may not read all. Old and new values are null where they are secret or only the person's own.
    pub changes: Vec<FieldChange>,
    /// What kind of actor it was.
    pub actor_kind: AuditActorKind,
    /// The id of the member who did it, or whose API key was used; null: STRANGER or SYSTEM.
    pub actor_id: Option<Id<Member>>,
    /// The id of the API key that was used; null unless `actorKind` is API_KEY.
    pub api_key_id: Option<Id<AuditEvent>>,
    /// The id of the request that did it, as in its answer's `x-request-id`; null: the server did.
    pub request_id: Option<String>,
    /// The network address that the request came from; null: not known.
    pub address: Option<String>,
    /// What the program called itself that sent the request, at most 256 characters; null: it said nothing.
    pub user_agent: Option<String>,
}

#[ComplexObject]
impl AuditEvent {
    /// The member who did it, or whose API key was used; null: STRANGER or SYSTEM.
    async fn actor(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, self.actor_id.map(|id| id.0)).await
    }
}

impl Placed for AuditEvent {
    const NAME: &'static str = "AuditEvent";

    fn place(&self) -> Place {
        Place { at: self.at.0, id: self.id.0 }
    }
}

/// Which events. All that is given must hold.
#[derive(InputObject, Clone, Debug, Default)]
pub struct AuditEventFilter {
    /// When it happened.
    at: Option<DateTimeFilter>,
    /// Which member did it, or whose API key was used.
    actor_id: Option<IdFilter>,
    /// What was done, such as `deleted`.
    action: Option<TextFilter>,
    /// The type of the record that it was done to, such as `Lead`, or `Security`.
    entity: Option<TextFilter>,
    /// Which record it was done to.
    entity_id: Option<IdFilter>,
    /// The network address that it came from.
    address: Option<TextFilter>,
    /// The id of the request that did it.
    request_id: Option<TextFilter>,
}

const fn column(name: &'static str, field: &'static str, kind: Kind, nullable: bool) -> Column {
    Column { name, field, kind, nullable, is_enum: false, computed: false, unshown: false }
}

const AT: &Column = &column("at", "at", Kind::Time, false);
const ACTOR_ID: &Column = &column("actor_id", "actorId", Kind::Uuid, true);
const ACTION: &Column = &column("kind", "action", Kind::Text, false);
const ENTITY: &Column = &column("entity", "entity", Kind::Text, false);
const ENTITY_ID: &Column = &column("entity_id", "entityId", Kind::Uuid, false);
const ADDRESS: &Column = &column("address", "address", Kind::Text, true);
const REQUEST_ID: &Column = &column("request_id", "requestId", Kind::Text, true);

impl AuditEventFilter {
    fn predicate(self) -> Result<Predicate> {
        let (mut all, mut budget) = (Vec::new(), Budget::default());
        self.at.unwrap_or_default().conditions(AT, &mut all, &mut budget)?;
        self.actor_id.unwrap_or_default().conditions(ACTOR_ID, &mut all, &mut budget)?;
        self.action.unwrap_or_default().conditions(ACTION, &mut all, &mut budget)?;
        self.entity.unwrap_or_default().conditions(ENTITY, &mut all, &mut budget)?;
        self.entity_id.unwrap_or_default().conditions(ENTITY_ID, &mut all, &mut budget)?;
        self.address.unwrap_or_default().conditions(ADDRESS, &mut all, &mut budget)?;
        self.request_id.unwrap_or_default().conditions(REQUEST_ID, &mut all, &mut budget)?;
        Ok(Predicate::All(all))
    }
}

#[derive(Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// What happened in the organization, newest first: every change of a record, and sign-ins, refused ones and other
    /// changes of the ways in of its people. Messages that were sent, who has read them, and what members set for
    /// themselves, their contact lists and scheduled messages included, are not listed.
    ///
    /// Errors: FORBIDDEN without the permission READ on AUDIT; INVALID_CURSOR.
    #[allow(clippy::too_many_arguments, reason = "those of a connection")]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning: 0 to 100, 25 unless said otherwise.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to go on.")] after: Option<String>,
        #[graphql(desc = "How many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which to go on.")] before: Option<String>,
        #[graphql(desc = "Which events; all unless given.")] filter: Option<AuditEventFilter>,
    ) -> Option<Listing<AuditEvent>> {
        let asked = async {
            let scope = scope(ctx)?;
            let slice = Slice::new::<AuditEvent>(first, after.as_deref(), last, before.as_deref())?;
            let listing = list(scope, slice, filter.unwrap_or_default()).await?;
            let actors = listing.entries.iter().filter_map(|event| event.actor_id.map(|id| id.0));
            let below = page_selections(&selections(ctx));
            preload_one::<Member>(scope, &*scope.reader().await?, &below, "actor", actors).await?;
            Ok(Some(listing))
        };
        or_null(ctx, asked).await
    }
}

async fn list(scope: &Scope, slice: Slice, filter: AuditEventFilter) -> Result<Listing<AuditEvent>> {
    scope.actor.demand(Resource::Audit, Action::Read)?;
    let from = matching(&scope.actor, filter)?;
    slice.read(scope, COLUMNS, from, |row: Row| row.event(&scope.actor)).await
}

/// What is read of an event.
const COLUMNS: &str = "t0.id, t0.at, t0.kind, t0.entity, t0.entity_id, t0.actor_id, t0.api_key_id, t0.request_id,
    t0.address, t0.user_agent, t0.payload->'changes' AS changes";

/// What is not told, beside messages that were sent. None of it is kept longer than the log is:
/// `functions/400_forget_events.sql` has to name the same.
const UNTOLD: [&str; 9] = [
    "messages_expired",
    "receipts_moved",
    "settings_changed",
    "presence_changed",
    "conversation_entered",
    "user_contact_changed",
    "notification_created",
    "notifications_read",
    "scheduled_message_changed",
];

/// ` FROM … t0 WHERE …`: what of the log of the reader's organization is told, and the filter fits.
fn matching(reader: &Actor, filter: AuditEventFilter) -> Result<Sql> {
    // The condition on the kind is that of the indexes, which have no messages in them, word for word.
    let mut from = Sql::new(" FROM events t0 WHERE t0.kind <> 'message_sent' AND t0.organization_id = ");
    let untold = UNTOLD.iter().map(|&kind| kind.into()).collect();
    from.bind(Bind::Uuid(Some(reader.organization)))
        .push(" AND t0.kind <> ALL(")
        .bind(Bind::Texts(Some(untold)))
        .push(")");
    let fits = filter.predicate()?;
    if !fits.is_always() {
        from.push(" AND ");
        fits.push(reader, 0, &mut from)?;
    }
    Ok(from)
}

#[derive(QueryableByName)]
#[diesel(table_name = events)]
struct Row {
    id: Uuid,
    at: chrono::DateTime<Utc>,
    kind: String,
    entity: String,
    entity_id: Uuid,
    actor_id: Option<Uuid>,
    api_key_id: Option<Uuid>,
    request_id: Option<String>,
    address: Option<String>,
    user_agent: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    changes: Option<Json>,
}

impl Row {
    fn event(self, reader: &Actor) -> AuditEvent {
        let actor_kind = match (self.api_key_id, self.actor_id, &self.request_id) {
            (Some(_), ..) => AuditActorKind::ApiKey,
            (None, Some(_), _) => AuditActorKind::Member,
            (None, None, Some(_)) => AuditActorKind::Stranger,
            (None, None, None) => AuditActorKind::System,
        };
        AuditEvent {
            changes: self.changes.map(|changes| shown(reader, &self.entity, &changes)).unwrap_or_default(),
            id: self.id.into(),
            at: DateTime(self.at),
            action: self.kind,
            entity: self.entity,
            entity_id: self.entity_id.into(),
            actor_kind,
            actor_id: self.actor_id.map(Into::into),
            api_key_id: self.api_key_id.map(Into::into),
            request_id: self.request_id,
            address: self.address,
            user_agent: self.user_agent,
        }
    }
}

/// What of the changes the reader may see: those of records of which they may read all.
fn shown(reader: &Actor, entity: &str, changes: &Json) -> Vec<FieldChange> {
    if let Some(table) = TABLES.iter().map(|table| table()).find(|table| table.entity == entity) {
        let all = reader.may(table.resource, Action::Read) == Some(Reach::All);
        return if all { changes_of(table, changes) } else { Vec::new() };
    }
    // Parts of conversations are read by who takes part.
    let (Json::Object(changes), false) = (changes, matches!(entity, "Message" | "Participant")) else {
        return Vec::new();
    };
    let value = |change: &Json, name| change.get(name).filter(|value| !value.is_null()).cloned().map(AnyJson);
    let shown = changes.iter().map(|(field, change)| FieldChange {
        field: field.clone(),
        old: value(change, "old"),
        new: value(change, "new"),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_leaves_the_log_with_age_is_what_is_not_told() {
        let function = include_str!("../functions/400_forget_events.sql");
        let (_, rest) = function.split_once("kind IN (").expect("kinds");
        let (kinds, _) = rest.split_once(')').expect("an end");
        let going: BTreeSet<&str> = kinds.split(',').map(|kind| kind.trim().trim_matches('\'')).collect();
        assert_eq!(going, UNTOLD.into_iter().chain(["message_sent"]).collect());
    }
}
