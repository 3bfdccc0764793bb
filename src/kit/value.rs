//! What a column can hold, seen from Rust, from SQL and from the log. Invariant: a value keeps its SQL type on
//! the way to the database, so that a NULL is as well typed as any other value.

use super::{
    id::Id,
    scalars::{Address, Date, DateTime, Decimal, EmailAddress, JsonObject, Url},
};
use bytes::BytesMut;
use chrono::{NaiveDate, Utc};
use diesel::{
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    query_builder::AstPass,
    result::QueryResult,
    sql_types::{self, Nullable},
};
use serde_json::Value as Json;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

/// The SQL type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int,
    BigInt,
    Decimal,
    Text,
    Uuid,
    Time,
    Date,
    Json,
    Texts,
}

/// A value on its way into a statement; `None` is NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind {
    Bool(Option<bool>),
    Int(Option<i32>),
    BigInt(Option<i64>),
    Decimal(Option<rust_decimal::Decimal>),
    Text(Option<String>),
    Uuid(Option<Uuid>),
    Time(Option<chrono::DateTime<Utc>>),
    Date(Option<NaiveDate>),
    Json(Option<Json>),
    Texts(Option<Vec<String>>),
    Ints(Vec<i32>),
    Decimals(Vec<rust_decimal::Decimal>),
    Uuids(Vec<Uuid>),
    Times(Vec<chrono::DateTime<Utc>>),
    Dates(Vec<NaiveDate>),
}

impl Bind {
    pub fn is_null(&self) -> bool {
        match self {
            Bind::Bool(v) => v.is_none(),
            Bind::Int(v) => v.is_none(),
            Bind::BigInt(v) => v.is_none(),
            Bind::Decimal(v) => v.is_none(),
            Bind::Text(v) => v.is_none(),
            Bind::Uuid(v) => v.is_none(),
            Bind::Time(v) => v.is_none(),
            Bind::Date(v) => v.is_none(),
            Bind::Json(v) => v.is_none(),
            Bind::Texts(v) => v.is_none(),
            Bind::Ints(_) | Bind::Decimals(_) | Bind::Uuids(_) | Bind::Times(_) | Bind::Dates(_) => false,
        }
    }

    /// The id it holds, if it holds one.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Bind::Uuid(id) => *id,
            _ => None,
        }
    }

    pub(super) fn walk<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Bind::Bool(v) => out.push_bind_param::<Nullable<sql_types::Bool>, _>(v),
            Bind::Int(v) => out.push_bind_param::<Nullable<sql_types::Integer>, _>(v),
            Bind::BigInt(v) => out.push_bind_param::<Nullable<sql_types::BigInt>, _>(v),
            Bind::Decimal(v) => out.push_bind_param::<Nullable<sql_types::Numeric>, _>(v),
            Bind::Text(v) => out.push_bind_param::<Nullable<sql_types::Text>, _>(v),
            Bind::Uuid(v) => out.push_bind_param::<Nullable<sql_types::Uuid>, _>(v),
            Bind::Time(v) => out.push_bind_param::<Nullable<sql_types::Timestamptz>, _>(v),
            Bind::Date(v) => out.push_bind_param::<Nullable<sql_types::Date>, _>(v),
            Bind::Json(v) => out.push_bind_param::<Nullable<sql_types::Jsonb>, _>(v),
            Bind::Texts(v) => out.push_bind_param::<Nullable<sql_types::Array<sql_types::Text>>, _>(v),
            Bind::Ints(v) => out.push_bind_param::<sql_types::Array<sql_types::Integer>, _>(v),
            Bind::Decimals(v) => out.push_bind_param::<sql_types::Array<sql_types::Numeric>, _>(v),
            Bind::Uuids(v) => out.push_bind_param::<sql_types::Array<sql_types::Uuid>, _>(v),
            Bind::Times(v) => out.push_bind_param::<sql_types::Array<sql_types::Timestamptz>, _>(v),
            Bind::Dates(v) => out.push_bind_param::<sql_types::Array<sql_types::Date>, _>(v),
        }
    }
}

impl ToSql for Bind {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Bind::Bool(v) => v.to_sql_checked(ty, out),
            Bind::Int(v) => v.to_sql_checked(ty, out),
            Bind::BigInt(v) => v.to_sql_checked(ty, out),
            Bind::Decimal(v) => v.to_sql_checked(ty, out),
            Bind::Text(v) => v.to_sql_checked(ty, out),
            Bind::Uuid(v) => v.to_sql_checked(ty, out),
            Bind::Time(v) => v.to_sql_checked(ty, out),
            Bind::Date(v) => v.to_sql_checked(ty, out),
            Bind::Json(v) => v.to_sql_checked(ty, out),
            Bind::Texts(v) => v.to_sql_checked(ty, out),
            Bind::Ints(v) => v.to_sql_checked(ty, out),
            Bind::Decimals(v) => v.to_sql_checked(ty, out),
            Bind::Uuids(v) => v.to_sql_checked(ty, out),
            Bind::Times(v) => v.to_sql_checked(ty, out),
            Bind::Dates(v) => v.to_sql_checked(ty, out),
        }
    }

    /// Each value sees for itself.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A Rust type that a column can hold.
pub trait Value: Sized + Clone {
    const KIND: Kind;
    const NULLABLE: bool = false;
    /// Stored as a word in lower case, shown in capitals.
    const ENUM: bool = false;
    /// Computed in SQL when it is read; not in the table, and not shown as it came.
    const COMPUTED: bool = false;
    /// From a column of a row.
    fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self>;
    fn bind(&self) -> Bind;
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
    const ENUM: bool = T::ENUM;
    const COMPUTED: bool = T::COMPUTED;

    fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        raw.map(|raw| T::read(Some(raw))).transpose()
    }

    fn bind(&self) -> Bind {
        match self {
            Some(value) => value.bind(),
            None => match T::KIND {
                Kind::Bool => Bind::Bool(None),
                Kind::Int => Bind::Int(None),
                Kind::BigInt => Bind::BigInt(None),
                Kind::Decimal => Bind::Decimal(None),
                Kind::Text => Bind::Text(None),
                Kind::Uuid => Bind::Uuid(None),
                Kind::Time => Bind::Time(None),
                Kind::Date => Bind::Date(None),
                Kind::Json => Bind::Json(None),
                Kind::Texts => Bind::Texts(None),
            },
        }
    }
}

macro_rules! value {
    ($($(for $g:ident,)? type $rust:ty, $kind:ident, $sql:ty, $raw:ty, |$in:ident| $from:expr, |$self:ident| $bind:expr;)*) => {$(
        impl$(<$g: 'static>)? Value for $rust {
            const KIND: Kind = Kind::$kind;
            fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self> {
                let $in = <$raw as FromSql<$sql, Pg>>::from_nullable_sql(raw)?;
                Ok($from)
            }
            fn bind(&self) -> Bind {
                let $self = self;
                Bind::$kind(Some($bind))
            }
        }
    )*};
}
value! {
    type bool, Bool, sql_types::Bool, bool, |v| v, |s| *s;
    type i32, Int, sql_types::Integer, i32, |v| v, |s| *s;
    type i64, BigInt, sql_types::BigInt, i64, |v| v, |s| *s;
    type String, Text, sql_types::Text, String, |v| v, |s| s.clone();
    type Vec<String>, Texts, sql_types::Array<sql_types::Text>, Vec<String>, |v| v, |s| s.clone();
    for T, type Id<T>, Uuid, sql_types::Uuid, Uuid, |v| v.into(), |s| s.0;
    type DateTime, Time, sql_types::Timestamptz, chrono::DateTime<Utc>, |v| DateTime(v), |s| s.0;
    type Date, Date, sql_types::Date, NaiveDate, |v| Date(v), |s| s.0;
    type Decimal, Decimal, sql_types::Numeric, rust_decimal::Decimal, |v| Decimal(v), |s| s.0;
    type EmailAddress, Text, sql_types::Text, String, |v| EmailAddress(v), |s| s.0.clone();
    type Url, Text, sql_types::Text, String, |v| Url(v), |s| s.0.clone();
    type super::scalars::CurrencyCode, Text, sql_types::Text, String, |v| super::scalars::CurrencyCode(v), |s| s.0.clone();
    type JsonObject, Json, sql_types::Jsonb, Json, |v| JsonObject::stored(v), |s| Json::Object(s.0.clone());
    type Address, Json, sql_types::Jsonb, Json, |v| serde_json::from_value(v)?, |s| s.to_json();
}
