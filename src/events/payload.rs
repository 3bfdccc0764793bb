//! What an event says, as JSON text: as it was stored, and read anew by whoever wants to know. A tree of it takes some eight
//! times the memory, and the exchange keeps the newest events of every stream that somebody watches.

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sql_types::Jsonb,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use std::{collections::HashMap, io::Write};

/// What an event says: JSON, an object most often. Read back from the database its members come in another order. Text
/// with a NUL cannot be stored: refuse it before.
#[derive(Clone, Debug, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct Payload(Box<str>);

/// What `jsonb` is sent and received with before its text: the version of the format (PostgreSQL, `jsonb_send`).
const VERSION: u8 = 1;

impl Payload {
    /// All of it.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    /// Bytes of text.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// One member of the object; None: it has none of that name.
    pub fn member<T: DeserializeOwned>(&self, name: &str) -> serde_json::Result<Option<T>> {
        let mut members: HashMap<String, &RawValue> = serde_json::from_str(&self.0)?;
        members.remove(name).map(|value| serde_json::from_str(value.get())).transpose()
    }

    /// What is left when the message of which it tells says nothing any more, as `forget_bodies` leaves it in the log; None: nothing
    /// has to go.
    pub(super) fn silenced(&self) -> Option<Payload> {
        let mut told: Value = self.read().ok()?;
        let message = told.get_mut("message")?.as_object_mut()?;
        message.get("body").filter(|body| body.is_string())?;
        let said = message.iter_mut().filter(|(name, _)| matches!(name.as_str(), "body" | "system"));
        said.for_each(|(_, said)| *said = Value::Null);
        Some(told.into())
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Payload(value.to_string().into())
    }
}

/// Whatever the order of their members.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        match (self.read::<Value>(), other.read::<Value>()) {
            (Ok(one), Ok(other)) => one == other,
            _ => self.0 == other.0,
        }
    }
}

impl FromSql<Jsonb, Pg> for Payload {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes().split_first() {
            Some((&VERSION, text)) => Ok(Payload(std::str::from_utf8(text)?.into())),
            _ => Err("an unknown version of jsonb".into()),
        }
    }
}

impl ToSql<Jsonb, Pg> for Payload {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[VERSION])?;
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_is_read_alone() {
        let payload = Payload::from(json!({"message": {"body": "\"ä\\"}, "count": 2, "none": null}));
        assert_eq!(payload.member::<Value>("message").unwrap(), Some(json!({"body": "\"ä\\"})));
        assert_eq!(payload.member::<i64>("count").unwrap(), Some(2));
        assert_eq!(payload.member::<Option<i64>>("none").unwrap(), Some(None));
        assert_eq!(payload.member::<Value>("body").unwrap(), None);
        assert!(payload.member::<String>("count").is_err());
        assert!(Payload::from(json!([1])).member::<Value>("count").is_err());
    }

    #[test]
    fn what_a_message_said_is_left_out() {
        let said = json!({"message": {"id": 1, "body": "x", "system": {"title": "x"}}, "by": 2});
        let left = json!({"message": {"id": 1, "body": null, "system": null}, "by": 2});
        assert_eq!(Payload::from(said).silenced(), Some(left.clone().into()));
        for nothing in [left, json!({"message": null}), json!({"body": "x"}), json!("body")] {
            assert_eq!(Payload::from(nothing).silenced(), None);
        }
    }

    #[test]
    fn the_order_of_members_is_no_difference() {
        let (one, same) = (Payload(r#"{"a":1,"b":2}"#.into()), Payload(r#"{"b": 2, "a": 1}"#.into()));
        assert_eq!(one, same);
        assert_ne!(one, Payload(r#"{"a":1}"#.into()));
    }
}
