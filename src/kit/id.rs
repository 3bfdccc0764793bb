//! The id of a record: a UUIDv7 made by the server or, for optimistic interfaces, by the client.
//! Invariant: the id of one entity cannot be used where the id of another is wanted.

use async_graphql::{
    ContextSelectionSet, ID, InputType, InputValueResult, OutputType, Positioned, ServerResult, Value,
    parser::types::Field, registry::Registry,
};
use diesel::{
    deserialize::{FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{Output, ToSql},
    sql_types,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};
use uuid::Uuid;

/// The id of a `T`: a UUID that cannot be mixed up with the id of anything else.
#[derive(AsExpression, FromSqlRow, Serialize, Deserialize)]
#[diesel(sql_type = sql_types::Uuid)]
#[serde(transparent)]
pub struct Id<T: 'static>(pub Uuid, #[serde(skip)] PhantomData<fn() -> T>);
impl<T> Id<T> {
    /// A new id, greater than those made before (UUIDv7, RFC 9562).
    pub fn fresh() -> Self {
        Uuid::now_v7().into()
    }
}
impl<T> From<Uuid> for Id<T> {
    fn from(u: Uuid) -> Self {
        Id(u, PhantomData)
    }
}
/// For the interface `Node`, whose `id` is the id of anything.
impl<T> From<&Id<T>> for ID {
    fn from(id: &Id<T>) -> ID {
        id.0.into()
    }
}
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, o: &Self) -> bool {
        self.0 == o.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, h: &mut H) {
        self.0.hash(h)
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<T> ToSql<sql_types::Uuid, Pg> for Id<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> diesel::serialize::Result {
        <Uuid as ToSql<sql_types::Uuid, Pg>>::to_sql(&self.0, out)
    }
}
impl<T> FromSql<sql_types::Uuid, Pg> for Id<T> {
    fn from_sql(v: PgValue<'_>) -> diesel::deserialize::Result<Self> {
        <Uuid as FromSql<sql_types::Uuid, Pg>>::from_sql(v).map(Into::into)
    }
}
impl<T> InputType for Id<T> {
    type RawValueType = Self;
    fn type_name() -> Cow<'static, str> {
        <ID as InputType>::type_name()
    }
    fn create_type_info(r: &mut Registry) -> String {
        <ID as InputType>::create_type_info(r)
    }
    fn parse(v: Option<Value>) -> InputValueResult<Self> {
        let Some(Value::String(text)) = v else {
            return Err(async_graphql::InputValueError::custom("An id is a string that holds a UUID."));
        };
        Uuid::try_parse(&text)
            .map(Into::into)
            .map_err(|_| async_graphql::InputValueError::custom("An id is a string that holds a UUID."))
    }
    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
}
impl<T> OutputType for Id<T> {
    fn type_name() -> Cow<'static, str> {
        <ID as OutputType>::type_name()
    }
    fn create_type_info(r: &mut Registry) -> String {
        <ID as OutputType>::create_type_info(r)
    }
    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        Ok(Value::String(self.0.to_string()))
    }
}
