//! Organizations: the tenants. Every record belongs to one, and nothing of one is seen from another.

use super::message_retention::MessageRetention;
use crate::kit::scalars::{DateTime, JsonObject};
use async_graphql::{ID, SimpleObject};
use diesel::prelude::*;
use uuid::Uuid;

/// A company, or whoever else keeps its customers and conversations here.
#[derive(Queryable, Selectable, SimpleObject, Clone, Debug)]
#[diesel(table_name = crate::schema::organizations, check_for_backend(diesel::pg::Pg))]
pub struct Organization {
    /// Never changes.
    #[diesel(deserialize_as = Key)]
    pub id: ID,
    /// As people write it.
    pub name: String,
    /// The short name, unique among all organizations: what `login` takes as `organization`.
    pub slug: String,
    /// Where its days begin and end: a name of the IANA database such as `Europe/Berlin`.
    pub time_zone: String,
    /// The currency of amounts that name none: a code of ISO 4217.
    pub currency: String,
    /// Days in which deleted records can be restored, and for which unused files of removed members are kept.
    pub retention_days: i32,
    /// How long messages are kept, by the kind of their conversation.
    #[diesel(embed)]
    pub message_retention: MessageRetention,
    /// Whether members may write only once they have shown that their e-mail address is theirs.
    pub require_verified_email: bool,
    /// What a front end keeps for all members.
    #[diesel(deserialize_as = Settings)]
    pub settings: JsonObject,
    /// When it was made.
    pub created_at: DateTime,
    /// When it was last changed.
    pub updated_at: DateTime,
    /// Grows by one with every change; give it as `expectedVersion` to change only what you have seen.
    pub version: i32,
}

/// A UUID on its way from a row to an `ID`.
pub struct Key(ID);

impl From<Key> for ID {
    fn from(key: Key) -> ID {
        key.0
    }
}

impl Queryable<diesel::sql_types::Uuid, diesel::pg::Pg> for Key {
    type Row = Uuid;

    fn build(id: Uuid) -> diesel::deserialize::Result<Self> {
        Ok(Key(id.into()))
    }
}

/// A JSON object on its way from a row.
pub struct Settings(JsonObject);

impl From<Settings> for JsonObject {
    fn from(settings: Settings) -> JsonObject {
        settings.0
    }
}

impl Queryable<diesel::sql_types::Jsonb, diesel::pg::Pg> for Settings {
    type Row = serde_json::Value;

    fn build(value: serde_json::Value) -> diesel::deserialize::Result<Self> {
        Ok(Settings(JsonObject::stored(value)))
    }
}
