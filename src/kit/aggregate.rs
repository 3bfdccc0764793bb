//! Aggregates: counts, sums, averages and groups over what a list would show. Invariant: an aggregate counts
//! only records that the caller could read one by one, and answers at most 200 groups.

use super::{
    entity::{self, Entity},
    filter::{Budget, Filter},
    scalars::Decimal,
    scope::Scope,
    sql::Sql,
    table::Column,
    value::{Bind, Kind, Value},
};
use crate::error::{Error, Result};
use async_graphql::{Enum, InputObject, SimpleObject};
use diesel::{deserialize, pg::Pg, row::NamedRow, sql_types};
use diesel_async::RunQueryDsl;

/// What a time is cut to before it is grouped by, in the organization's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum DatePart {
    /// The day.
    Day,
    /// The week; weeks begin on Monday (ISO 8601).
    Week,
    /// The month.
    Month,
    /// The quarter.
    Quarter,
    /// The year.
    Year,
}

/// A key of the groups.
#[derive(Clone, Copy, Debug)]
pub struct GroupBy {
    pub column: &'static Column,
    pub part: Option<DatePart>,
}

/// What a group has in common in one field.
#[derive(Clone, Debug, SimpleObject)]
pub struct GroupKey {
    /// The field, as in `groupBy`.
    pub field: String,
    /// Its value as text: an enum value, an id, a text, or the first day of the period. Null: the records have no
    /// value.
    pub value: Option<String>,
}

/// Conditions on a group.
#[derive(Clone, Debug, Default, InputObject)]
pub struct Having {
    /// On the number of records.
    pub count: Option<CountFilter>,
}

/// Conditions on a count.
#[derive(Clone, Debug, Default, InputObject)]
pub struct CountFilter {
    /// Is exactly this.
    pub eq: Option<i32>,
    /// Is greater.
    pub gt: Option<i32>,
    /// Is this or greater.
    pub gte: Option<i32>,
    /// Is less.
    pub lt: Option<i32>,
    /// Is this or less.
    pub lte: Option<i32>,
}

/// The figures of one group, or of all.
#[derive(Debug, Default)]
pub struct Row {
    pub keys: Vec<GroupKey>,
    pub count: i64,
    pub sum: Vec<Option<Decimal>>,
    pub avg: Vec<Option<Decimal>>,
    pub min: Vec<Option<Decimal>>,
    pub max: Vec<Option<Decimal>>,
}

/// The GraphQL aggregate of an entity, written by `#[entity]`.
pub trait Aggregate<E>: Sized {
    /// The columns that are summed.
    fn numbers() -> &'static [&'static Column];
    fn build(all: Row, groups: Vec<Row>) -> Self;
}

const MOST_GROUPS: u32 = 200;
const MOST_KEYS: usize = 3;

/// All figures, and those of each group.
pub async fn aggregate<E: Entity, A: Aggregate<E>>(
    scope: &Scope,
    filter: Option<E::Filter>,
    groups: Vec<GroupBy>,
    having: Option<Having>,
    first: Option<i32>,
) -> Result<A> {
    if groups.len() > MOST_KEYS {
        return Err(Error::bad_input(format!("groupBy has at most {MOST_KEYS} fields.")));
    }
    let limit = match first {
        None => MOST_GROUPS,
        Some(first) => u32::try_from(first)
            .ok()
            .filter(|first| (1..=MOST_GROUPS).contains(first))
            .ok_or_else(|| Error::bad_input(format!("first is 1 to {MOST_GROUPS} groups.")))?,
    };
    for group in &groups {
        if group.part.is_some() && !matches!(group.column.kind, Kind::Time | Kind::Date) {
            return Err(Error::bad_input(format!("`by` goes with a date or time; {} is none.", group.column.field)));
        }
    }
    let filter = filter.unwrap_or_default();
    let deleted = E::deleted_in(&filter).unwrap_or_default();
    entity::may_list(E::table(), scope, deleted)?;
    let fits = filter.predicate(&mut Budget::default())?;
    let statement = |keys: &[GroupBy]| -> Result<Sql> {
        let mut sql = Sql::new("SELECT ");
        push_keys(keys, scope, &mut sql);
        sql.push(" AS keys, count(*) AS count");
        for (function, after) in [("sum(", ")"), ("round(avg(", "), 6)"), ("min(", ")"), ("max(", ")")] {
            push_numbers(A::numbers(), function, after, &mut sql);
        }
        sql.push(" FROM ").name(E::table().name).push(" t0");
        entity::push_visible(E::table(), scope, deleted, &mut sql);
        sql.push(" AND ");
        fits.push(&scope.actor, 0, &mut sql)?;
        Ok(sql)
    };
    let conn = scope.reader().await?;
    let mut all: Vec<Row> = statement(&[])?.load(&mut &*conn).await?;
    let mut by_group: Vec<Row> = Vec::new();
    if !groups.is_empty() {
        let mut sql = statement(&groups)?;
        sql.push(" GROUP BY 1");
        push_having(having.and_then(|having| having.count).unwrap_or_default(), &mut sql);
        sql.push(" ORDER BY count(*) DESC, 1 LIMIT ").number(limit);
        by_group = sql.load(&mut &*conn).await?;
    }
    for row in &mut by_group {
        for (key, group) in row.keys.iter_mut().zip(&groups) {
            key.field = group.column.field.to_owned();
            // An enum is stored in lower case and shown in capitals.
            if group.column.is_enum {
                key.value = key.value.take().map(|word| word.to_uppercase());
            }
        }
    }
    Ok(A::build(all.pop().unwrap_or_default(), by_group))
}

fn push_keys(keys: &[GroupBy], scope: &Scope, sql: &mut Sql) {
    sql.push("ARRAY[");
    for (index, key) in keys.iter().enumerate() {
        sql.push(if index == 0 { "" } else { ", " });
        let unit = match key.part.unwrap_or(DatePart::Day) {
            DatePart::Day => "date_trunc('day', ",
            DatePart::Week => "date_trunc('week', ",
            DatePart::Month => "date_trunc('month', ",
            DatePart::Quarter => "date_trunc('quarter', ",
            DatePart::Year => "date_trunc('year', ",
        };
        match key.column.kind {
            Kind::Time => {
                sql.push("to_char(").push(unit).column("t0", key.column).push(" AT TIME ZONE ");
                sql.bind(Bind::Text(Some(scope.actor.time_zone.name().to_owned()))).push("), 'YYYY-MM-DD')");
            }
            Kind::Date => {
                sql.push("to_char(").push(unit).column("t0", key.column).push("), 'YYYY-MM-DD')");
            }
            _ => {
                sql.column("t0", key.column).push("::text");
            }
        }
    }
    sql.push("]::text[]");
}

fn push_numbers(columns: &[&'static Column], function: &'static str, after: &'static str, sql: &mut Sql) {
    sql.push(", ARRAY[");
    for (index, column) in columns.iter().enumerate() {
        sql.push(if index == 0 { "" } else { ", " }).push(function).column("t0", column).push(after).push("::numeric");
    }
    sql.push("]::numeric[]");
}

fn push_having(count: CountFilter, sql: &mut Sql) {
    let conditions =
        [(" = ", count.eq), (" > ", count.gt), (" >= ", count.gte), (" < ", count.lt), (" <= ", count.lte)];
    let given = conditions.into_iter().filter_map(|(operator, value)| value.map(|value| (operator, value)));
    for (index, (operator, value)) in given.enumerate() {
        sql.push(if index == 0 { " HAVING " } else { " AND " }).push("count(*)").push(operator);
        sql.bind(Bind::Int(Some(value)));
    }
}

impl diesel::deserialize::QueryableByName<Pg> for Row {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        use diesel::{deserialize::FromSql, row::Field};
        let field = |index: usize| diesel::row::Row::get(row, index).ok_or("a column is missing");
        let keys = <Vec<Option<String>> as FromSql<sql_types::Array<sql_types::Nullable<sql_types::Text>>, Pg>>::from_nullable_sql(field(0)?.value())?;
        let numbers = |index: usize| -> deserialize::Result<Vec<Option<Decimal>>> {
            let values = <Vec<Option<rust_decimal::Decimal>> as FromSql<
                sql_types::Array<sql_types::Nullable<sql_types::Numeric>>,
                Pg,
            >>::from_nullable_sql(field(index)?.value())?;
            Ok(values.into_iter().map(|value| value.map(Decimal)).collect())
        };
        Ok(Row {
            keys: keys.into_iter().map(|value| GroupKey { field: String::new(), value }).collect(),
            count: i64::read(field(1)?.value())?,
            sum: numbers(2)?,
            avg: numbers(3)?,
            min: numbers(4)?,
            max: numbers(5)?,
        })
    }
}
