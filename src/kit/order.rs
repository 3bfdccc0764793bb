//! Orders and cursors: lists are paged by the values of the last row, never by counting rows, so that the
//! thousandth page costs what the first one does. Invariant: a cursor only works with the order it came from.

use super::{
    entity::Entity,
    scalars::in_range,
    sql::Sql,
    table::{Column, Table},
    value::{Bind, Kind},
};
use crate::error::{Code, Error, Result};
use async_graphql::Enum;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum OrderDirection {
    /// Small to great, old to new, A to Z.
    Asc,
    /// Great to small, new to old, Z to A.
    Desc,
}

/// Where records without a value stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum NullsOrder {
    /// Before all others.
    First,
    /// Behind all others.
    Last,
}

/// One key of an order.
#[derive(Clone, Copy, Debug)]
pub struct OrderKey {
    pub column: &'static Column,
    pub descending: bool,
    pub nulls_first: bool,
}

impl OrderKey {
    pub fn new(column: &'static Column, direction: OrderDirection, nulls: Option<NullsOrder>) -> Self {
        let descending = direction == OrderDirection::Desc;
        // What PostgreSQL's indexes do: NULL is greater than every value.
        let nulls_first = nulls.map_or(descending, |nulls| nulls == NullsOrder::First);
        OrderKey { column, descending, nulls_first }
    }

    fn reversed(self) -> Self {
        OrderKey { descending: !self.descending, nulls_first: !self.nulls_first, ..self }
    }
}

/// The order input of an entity.
pub trait OrderInput: async_graphql::InputType {
    fn key(self) -> OrderKey;
}

/// A complete order: at most three keys, then the id, so that no two rows are equal.
#[derive(Clone, Debug)]
pub struct Order {
    table: &'static Table,
    keys: Vec<OrderKey>,
}

const MOST_KEYS: usize = 3;

impl Order {
    /// What the client asked for, or the newest first.
    pub fn new(table: &'static Table, keys: Vec<OrderKey>) -> Result<Self> {
        if keys.len() > MOST_KEYS {
            return Err(Error::bad_input(format!("orderBy has at most {MOST_KEYS} keys.")));
        }
        let mut keys = keys;
        if keys.is_empty() {
            keys.push(OrderKey::new(table.newest, OrderDirection::Desc, None));
        }
        let id = *table.columns.first().ok_or_else(|| Error::ours("a table without columns"))?;
        let descending = keys.last().is_some_and(|key| key.descending);
        keys.retain(|key| key.column.name != id.name);
        keys.push(OrderKey { column: id, descending, nulls_first: false });
        Ok(Order { table, keys })
    }

    /// The same list from its other end.
    pub fn reversed(&self) -> Self {
        Order { keys: self.keys.iter().map(|key| key.reversed()).collect(), ..*self }
    }

    /// Pushes `ORDER BY …`.
    pub fn push(&self, alias: &'static str, sql: &mut Sql) {
        for (index, key) in self.keys.iter().enumerate() {
            sql.push(if index == 0 { " ORDER BY " } else { ", " }).column(alias, key.column);
            sql.push(if key.descending { " DESC" } else { " ASC" });
            // The default is left unsaid, so that it matches the indexes.
            if key.column.nullable && key.nulls_first != key.descending {
                sql.push(if key.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
            }
        }
    }

    /// Pushes the condition that a row stands behind `place`.
    pub fn push_after(&self, alias: &'static str, place: &[Bind], sql: &mut Sql) {
        let keys: Vec<(&OrderKey, &Bind)> = self.keys.iter().zip(place).collect();
        let same_way = self.keys.windows(2).all(|pair| matches!(pair, [a, b] if a.descending == b.descending));
        if same_way && keys.iter().all(|(key, _)| !key.column.nullable) {
            // A row comparison, which PostgreSQL finds in an index.
            for (index, (key, _)) in keys.iter().enumerate() {
                sql.push(if index == 0 { "(" } else { ", " }).column(alias, key.column);
            }
            let descending = keys.first().is_some_and(|(key, _)| key.descending);
            sql.push(if descending { ") < (" } else { ") > (" });
            for (index, (_, value)) in keys.iter().enumerate() {
                if index > 0 {
                    sql.push(", ");
                }
                sql.bind((*value).clone());
            }
            sql.push(")");
            return;
        }
        // What an index can begin at, where the rows without a value do not stand at the far end.
        if let Some((key, value)) = keys.first()
            && !value.is_null()
            && (!key.column.nullable || key.nulls_first)
        {
            sql.column(alias, key.column).push(if key.descending { " <= " } else { " >= " });
            sql.bind((*value).clone()).push(" AND ");
        }
        for (index, (key, value)) in keys.iter().enumerate() {
            sql.push(if index == 0 { "((" } else { " OR (" });
            for (before, value) in keys.iter().take(index) {
                sql.column(alias, before.column);
                if value.is_null() {
                    sql.push(" IS NULL AND ");
                } else {
                    sql.push(" = ").bind((*value).clone()).push(" AND ");
                }
            }
            self::push_behind(alias, key, value, sql);
            sql.push(")");
        }
        sql.push(")");
    }

    /// The columns of its keys, the id last.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> {
        self.keys.iter().map(|key| key.column)
    }

    /// The place of a row in this order, opaque to clients.
    pub fn cursor<E: Entity>(&self, row: &E) -> String {
        self.cursor_at(&self.columns().map(|column| row.cell(column)).collect::<Vec<_>>())
    }

    /// As `cursor`, from the values of `columns`.
    pub fn cursor_at(&self, place: &[Bind]) -> String {
        let place: Vec<Json> = place.iter().map(to_json).collect();
        let bytes = Json::Array(vec![Json::from(self.fingerprint()), Json::Array(place)]).to_string();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a cursor of this order names. INVALID_CURSOR for any other text.
    pub fn place(&self, cursor: &str) -> Result<Vec<Bind>> {
        let read = || -> Option<Vec<Bind>> {
            if cursor.len() > 8192 {
                return None;
            }
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (fingerprint, place): (u32, Vec<Json>) = serde_json::from_slice(&bytes).ok()?;
            if fingerprint != self.fingerprint() || place.len() != self.keys.len() {
                return None;
            }
            self.keys.iter().zip(place).map(|(key, value)| from_json(key.column, value)).collect()
        };
        read().ok_or_else(|| {
            Error::yours(Code::InvalidCursor, "This cursor does not belong to this list and order. Start without it.")
        })
    }

    /// Tells lists and orders apart, not secrets.
    fn fingerprint(&self) -> u32 {
        let mut hash = Sha256::new();
        hash.update(self.table.name);
        hash.update([0]);
        for key in &self.keys {
            hash.update(key.column.field);
            hash.update([u8::from(key.descending), u8::from(key.nulls_first), 0]);
        }
        hash.finalize().iter().take(4).fold(0, |all, byte| all << 8 | u32::from(*byte))
    }
}

/// Pushes that one key stands behind a value.
fn push_behind(alias: &'static str, key: &OrderKey, value: &Bind, sql: &mut Sql) {
    match (value.is_null(), key.nulls_first) {
        (true, true) => {
            sql.column(alias, key.column).push(" IS NOT NULL");
        }
        (true, false) => {
            sql.push("FALSE");
        }
        (false, nulls_first) => {
            sql.push("(").column(alias, key.column).push(if key.descending { " < " } else { " > " });
            sql.bind(value.clone());
            if key.column.nullable && !nulls_first {
                sql.push(" OR ").column(alias, key.column).push(" IS NULL");
            }
            sql.push(")");
        }
    }
}

fn to_json(value: &Bind) -> Json {
    match value {
        Bind::Bool(v) => Json::from(*v),
        Bind::Int(v) => Json::from(*v),
        Bind::BigInt(v) => Json::from(*v),
        Bind::Decimal(v) => Json::from(v.map(|v| v.to_string())),
        Bind::Text(v) => Json::from(v.clone()),
        Bind::Uuid(v) => Json::from(v.map(|v| v.to_string())),
        Bind::Time(v) => Json::from(v.map(|v| v.timestamp_micros())),
        Bind::Date(v) => Json::from(v.map(|v| v.to_string())),
        _ => Json::Null,
    }
}

fn from_json(column: &Column, value: Json) -> Option<Bind> {
    if value.is_null() {
        return column.nullable.then_some(match column.kind {
            Kind::Bool => Bind::Bool(None),
            Kind::Int => Bind::Int(None),
            Kind::BigInt => Bind::BigInt(None),
            Kind::Decimal => Bind::Decimal(None),
            Kind::Text => Bind::Text(None),
            Kind::Uuid => Bind::Uuid(None),
            Kind::Time => Bind::Time(None),
            Kind::Date => Bind::Date(None),
            Kind::Json | Kind::Texts => return None,
        });
    }
    Some(match column.kind {
        Kind::Bool => Bind::Bool(Some(value.as_bool()?)),
        Kind::Int => Bind::Int(Some(i32::try_from(value.as_i64()?).ok()?)),
        Kind::BigInt => Bind::BigInt(Some(value.as_i64()?)),
        Kind::Decimal => Bind::Decimal(Some(rust_decimal::Decimal::from_str(value.as_str()?).ok()?)),
        Kind::Text => Bind::Text(Some(value.as_str().filter(|text| !text.contains('\0'))?.to_owned())),
        Kind::Uuid => Bind::Uuid(Some(uuid::Uuid::try_parse(value.as_str()?).ok()?)),
        Kind::Time => {
            let time = chrono::DateTime::from_timestamp_micros(value.as_i64()?);
            Bind::Time(Some(time.filter(|time| in_range(time.date_naive()))?))
        }
        Kind::Date => {
            Bind::Date(Some(chrono::NaiveDate::from_str(value.as_str()?).ok().filter(|date| in_range(*date))?))
        }
        Kind::Json | Kind::Texts => return None,
    })
}
