//! What administrators learn of the ways in of their people: sign-ins and refused ones, changed passwords, ended
//! sessions. Invariant: it is told in the transaction in which it happens, in each organization that it concerns, on a
//! stream of its own beside the records'; never with a secret in it.

use super::member::MemberStatus;
use crate::{
    error::{Error, Result},
    events::{Change, Hub, Origin, StreamKind, stream_of_records},
    kit::{
        entity::{self, Entity},
        scope::RequestInfo,
        value::Bind,
    },
    platform::database::Transaction,
    schema::memberships,
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// The entity of these events; their `entity_id` is the member whom they are about.
pub const SECURITY: &str = "Security";
/// Organizations of one person that are told, at most.
const MOST: i64 = 1000;

/// Something about somebody's way in.
pub struct Note<'a> {
    user: Uuid,
    kind: &'static str,
    request: Option<&'a RequestInfo>,
    /// Whether the person did it, and not somebody who is not known.
    oneself: bool,
    within: Option<Uuid>,
    changes: Map<String, Json>,
}

impl<'a> Note<'a> {
    /// What a person did: signed in, or with what only they have. `kind` is a word as `password_changed`.
    pub fn own(user: Uuid, request: &'a RequestInfo, kind: &'static str) -> Self {
        Note { user, kind, request: Some(request), oneself: true, within: None, changes: Map::new() }
    }

    /// What somebody did who has not shown who they are.
    pub fn stranger(user: Uuid, request: &'a RequestInfo, kind: &'static str) -> Self {
        Note { oneself: false, ..Note::own(user, request, kind) }
    }

    /// What the system did, or whoever runs it.
    pub fn system(user: Uuid, kind: &'static str) -> Self {
        Note { user, kind, request: None, oneself: false, within: None, changes: Map::new() }
    }

    /// Concerns this organization only, for which the transaction speaks.
    pub fn within(self, organization: Uuid) -> Self {
        Note { within: Some(organization), ..self }
    }

    /// What a field, by its name in GraphQL, was and is. Never a secret.
    pub fn with(mut self, field: &str, old: impl Into<Json>, new: impl Into<Json>) -> Self {
        self.changes.insert(field.to_owned(), json!({ "old": old.into(), "new": new.into() }));
        self
    }

    /// For a transaction that tells of other changes in the same organization: to be stored with these, at once. `member`
    /// is whom it is about.
    pub fn change(self, member: Uuid) -> Change {
        Change {
            stream: stream_of_records(SECURITY),
            stream_kind: StreamKind::Security,
            kind: self.kind,
            entity: SECURITY,
            entity_id: member,
            payload: json!({ "changes": self.changes }).into(),
        }
    }
}

/// Tells the organizations of the person, or the one that is concerned. Call it last in the transaction, and not in one
/// that stores other events (`Note::change` is for these): whoever locks streams does so in one order.
pub async fn note(tx: &mut Transaction, note: Note<'_>) -> Result<()> {
    if note.within.is_none() {
        tx.be_user(note.user).await?;
    }
    let mut concerned = memberships::table
        .filter(memberships::user_id.eq(note.user).and(memberships::status.ne(MemberStatus::Removed.word())))
        .into_boxed();
    if let Some(organization) = note.within {
        concerned = concerned.filter(memberships::organization_id.eq(organization));
    }
    let concerned = concerned
        .order(memberships::organization_id)
        .limit(MOST)
        .select((memberships::organization_id, memberships::id));
    let concerned: Vec<(Uuid, Uuid)> = concerned.load(&mut **tx).await?;
    let everywhere = note.within.is_none();
    let (request, oneself) = (note.request, note.oneself);
    let change = note.change(Uuid::nil());
    for (organization, member) in concerned {
        if everywhere {
            tx.be_organization(organization).await?;
        }
        let origin = request.map_or_else(Origin::default, |request| request.origin(oneself.then_some(member)));
        // Nobody follows this stream live: nothing is published.
        Hub::append(tx, organization, &origin, vec![Change { entity_id: member, ..change.clone() }]).await?;
    }
    if everywhere {
        tx.be_oneself().await?;
    }
    Ok(())
}

/// A row as the log tells it.
pub(super) async fn row<E: Entity>(tx: &mut Transaction, organization: Uuid, id: Uuid) -> Result<E> {
    let mut sql = entity::select(E::table());
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(organization)));
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id)));
    sql.get_result(&mut **tx).await.map_err(Error::from)
}
