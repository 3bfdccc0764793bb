//! Pages of what is no entity but has a time: log entries, newest first, in Relay's form. Invariant: as `kit::page`, a
//! size that is not allowed is an error, and a place is named by time and id, so that what comes meanwhile shifts nothing.

use super::{
    page::{DEFAULT_SIZE, MOST_SIZE, PageInfo},
    scalars::in_range,
    scope::Scope,
    sql::Sql,
    value::Bind,
};
use crate::error::{Code, Error, Result};
use async_graphql::{Object, OutputType, TypeName};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use diesel::{
    deserialize::FromSqlRow,
    pg::Pg,
    sql_types::{BigInt, Untyped},
};
use diesel_async::RunQueryDsl;
use std::borrow::Cow;
use uuid::Uuid;

/// Where an entry stands among those of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub at: DateTime<Utc>,
    pub id: Uuid,
}

/// An entry of a listing.
pub trait Placed: OutputType {
    /// In GraphQL: `SignIn` makes `SignInConnection`.
    const NAME: &'static str;

    fn place(&self) -> Place;
}

impl Place {
    /// Opaque to clients; `list` keeps the cursors of one list out of another.
    pub fn cursor(self, list: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{list}/{}/{}", self.at.timestamp_micros(), self.id))
    }

    /// INVALID_CURSOR for any text that is not a cursor of this list.
    pub fn read(list: &str, cursor: &str) -> Result<Self> {
        let read = || -> Option<Place> {
            let bytes = URL_SAFE_NO_PAD.decode(Some(cursor).filter(|cursor| cursor.len() <= 256)?).ok()?;
            let mut parts = std::str::from_utf8(&bytes).ok()?.split('/');
            let (of, at, id) = (parts.next()?, parts.next()?, parts.next()?);
            let at = DateTime::from_timestamp_micros(at.parse().ok()?).filter(|at| in_range(at.date_naive()))?;
            let place = Place { at, id: Uuid::try_parse(id).ok()? };
            (of == list && parts.next().is_none()).then_some(place)
        };
        read().ok_or_else(|| {
            Error::yours(Code::InvalidCursor, "This cursor does not belong to this list. Start without it.")
        })
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    size: u32,
    /// From the oldest entry on.
    backward: bool,
    /// Behind this place, in the direction of reading.
    place: Option<Place>,
}

impl Slice {
    pub fn new<T: Placed>(
        first: Option<i32>,
        after: Option<&str>,
        last: Option<i32>,
        before: Option<&str>,
    ) -> Result<Self> {
        if (first.is_some() && last.is_some()) || (after.is_some() && before.is_some()) {
            return Err(Error::bad_input("Give first or last, and after or before, not both."));
        }
        let backward = last.is_some() || (before.is_some() && first.is_none());
        if (backward && after.is_some()) || (!backward && before.is_some()) {
            return Err(Error::bad_input("first goes with after, last goes with before."));
        }
        let asked = first.or(last).unwrap_or(DEFAULT_SIZE as i32);
        let size = u32::try_from(asked).ok().filter(|size| *size <= MOST_SIZE);
        let size = size
            .ok_or_else(|| Error::bad_input(format!("A page has 0 to {MOST_SIZE} entries; {asked} were asked for.")))?;
        let place = after.or(before).map(|cursor| Place::read(T::NAME, cursor)).transpose()?;
        Ok(Slice { size, backward, place })
    }

    /// As many as a page may have behind that place, newest first, for who reads all of them.
    pub fn behind(place: Option<Place>) -> Self {
        Slice { size: MOST_SIZE, backward: false, place }
    }

    /// Reads a page: `select` names the columns of `R`, `from` is ` FROM … t0 WHERE …` of a table with the columns `at`
    /// and `id`, by which an index orders it.
    pub async fn read<R, T>(
        &self,
        scope: &Scope,
        select: &'static str,
        from: Sql,
        entry: impl Fn(R) -> T,
    ) -> Result<Listing<T>>
    where
        R: FromSqlRow<Untyped, Pg> + Send + 'static,
    {
        let mut sql = Sql::new("SELECT ");
        sql.push(select).append(from.clone());
        if let Some(place) = self.place {
            sql.push(if self.backward { " AND (t0.at, t0.id) > (" } else { " AND (t0.at, t0.id) < (" });
            sql.bind(Bind::Time(Some(place.at))).push(", ").bind(Bind::Uuid(Some(place.id))).push(")");
        }
        sql.push(if self.backward {
            " ORDER BY t0.at, t0.id LIMIT "
        } else {
            " ORDER BY t0.at DESC, t0.id DESC LIMIT "
        });
        // One more than is shown tells whether there are more.
        sql.number(self.size + 1);
        let rows: Vec<R> = sql.load(&mut *scope.reader().await?).await?;
        let more = rows.len() > self.size as usize;
        let mut entries: Vec<T> = rows.into_iter().take(self.size as usize).map(entry).collect();
        if self.backward {
            entries.reverse();
        }
        let from_middle = self.place.is_some();
        let (has_next, has_previous) = if self.backward { (from_middle, more) } else { (more, from_middle) };
        Ok(Listing { entries, has_next, has_previous, scope: scope.clone(), from })
    }
}

/// A page of a list.
pub struct Listing<T> {
    pub entries: Vec<T>,
    pub has_next: bool,
    has_previous: bool,
    scope: Scope,
    from: Sql,
}

#[derive(diesel::QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl<T: Placed> TypeName for Listing<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", T::NAME).into()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<T: Placed> Listing<T> {
    /// The entries with the cursor of each.
    async fn edges(&self) -> Vec<ListingEdge<'_, T>> {
        self.entries.iter().map(|node| ListingEdge { node }).collect()
    }

    /// The entries.
    async fn nodes(&self) -> &[T] {
        &self.entries
    }

    /// Where this page lies.
    async fn page_info(&self) -> PageInfo {
        let cursor = |entry: &T| entry.place().cursor(T::NAME);
        PageInfo {
            has_next_page: self.has_next,
            has_previous_page: self.has_previous,
            start_cursor: self.entries.as_slice().first().map(cursor),
            end_cursor: self.entries.as_slice().last().map(cursor),
        }
    }

    /// How many entries the filter fits, on all pages. Counted only when selected.
    async fn total_count(&self) -> async_graphql::Result<i64> {
        let mut sql = Sql::new("SELECT count(*) AS count");
        sql.append(self.from.clone());
        let conn = self.scope.reader().await?;
        let counted: Counted = sql.get_result(&mut &*conn).await.map_err(Error::from)?;
        Ok(counted.count)
    }
}

/// An entry of a page with its cursor.
pub struct ListingEdge<'a, T> {
    node: &'a T,
}

impl<T: Placed> TypeName for ListingEdge<'_, T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::NAME).into()
    }
}

/// An entry of a page with its cursor.
#[Object(name_type)]
impl<T: Placed> ListingEdge<'_, T> {
    /// The entry.
    async fn node(&self) -> &T {
        self.node
    }

    /// The entry's place in this list; give it as `after` or `before`.
    async fn cursor(&self) -> String {
        self.node.place().cursor(T::NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_its_place_in_its_list_only() {
        let place =
            Place { at: DateTime::from_timestamp_micros(1_764_000_000_123_456).expect("a time"), id: Uuid::now_v7() };
        let cursor = place.cursor("SignIn");
        assert_eq!(Place::read("SignIn", &cursor).unwrap(), place);
        let long = "x".repeat(300);
        for (list, cursor) in [("AuditEvent", cursor.as_str()), ("SignIn", ""), ("SignIn", "AAAA"), ("SignIn", &long)] {
            assert_eq!(Place::read(list, cursor).unwrap_err().code(), Code::InvalidCursor, "{cursor}");
        }
    }
}
