//! Connections: a page of a list in Relay's form, with `nodes` beside `edges`. Invariant: a size that is not
//! allowed is an error, never a smaller page.

use super::{
    entity::{self, Entity, List},
    order::Order,
    parts::Part,
    scope::Scope,
    value::Bind,
};
use crate::error::{Error, Result};
use async_graphql::{Object, SimpleObject, TypeName};
use std::{borrow::Cow, sync::Arc};

/// Records of a page when nothing is asked for.
pub const DEFAULT_SIZE: u32 = 25;
/// Records of a page at most.
pub const MOST_SIZE: u32 = 100;

/// Which part of a list.
#[derive(Clone, Debug)]
pub struct Window {
    pub size: u32,
    /// From the end of the list.
    pub backward: bool,
    /// Behind this place, in the direction of reading.
    pub place: Option<Vec<Bind>>,
}

impl Window {
    pub fn new(
        first: Option<i32>,
        after: Option<&str>,
        last: Option<i32>,
        before: Option<&str>,
        order: &Order,
    ) -> Result<Self> {
        if first.is_some() && last.is_some() {
            return Err(Error::bad_input("Give first or last, not both."));
        }
        if after.is_some() && before.is_some() {
            return Err(Error::bad_input("Give after or before, not both."));
        }
        let backward = last.is_some() || (before.is_some() && first.is_none());
        if (backward && after.is_some()) || (!backward && before.is_some()) {
            return Err(Error::bad_input("first goes with after, last goes with before."));
        }
        let asked = first.or(last).unwrap_or(DEFAULT_SIZE as i32);
        let size = u32::try_from(asked)
            .ok()
            .filter(|size| *size <= MOST_SIZE)
            .ok_or_else(|| Error::bad_input(format!("A page has 0 to {MOST_SIZE} records; {asked} were asked for.")))?;
        let place = after.or(before).map(|cursor| order.place(cursor)).transpose()?;
        Ok(Window { size, backward, place })
    }
}

/// Where a page lies in its list.
#[derive(Clone, Debug, SimpleObject)]
pub struct PageInfo {
    /// Whether there are records behind this page.
    pub has_next_page: bool,
    /// Whether there are records before this page.
    pub has_previous_page: bool,
    /// The cursor of the first record; null on an empty page.
    pub start_cursor: Option<String>,
    /// The cursor of the last record: give it as `after` to go on. Null on an empty page.
    pub end_cursor: Option<String>,
}

/// A page of a list, for whoever may see it: what is fetched ahead is kept without its scope, which keeps it.
pub struct Page<E> {
    list: Arc<List>,
    pub rows: Vec<Arc<E>>,
    has_next: bool,
    has_previous: bool,
    /// Where it was counted ahead.
    total: Option<i64>,
    /// Of a list in two parts (`kit::parts`): how many of the rows are of the first.
    first_part: Option<usize>,
}

impl<E: Entity> Page<E> {
    /// From the rows of the window, which may have one more than it shows.
    pub fn new(list: Arc<List>, mut rows: Vec<E>) -> Self {
        let window = &list.window;
        let more = rows.len() > window.size as usize;
        rows.truncate(window.size as usize);
        if window.backward {
            rows.reverse();
        }
        let from_middle = window.place.is_some();
        let (has_next, has_previous) = if window.backward { (from_middle, more) } else { (more, from_middle) };
        let rows = rows.into_iter().map(Arc::new).collect();
        Page { list, rows, has_next, has_previous, total: None, first_part: None }
    }

    /// Around a place in the middle of the list: what stands before it, the nearest first, and what stands from it on, each with
    /// how many of them are shown; one more tells that there are more.
    pub fn around(list: Arc<List>, (before, most_before): (Vec<E>, u32), (behind, most_behind): (Vec<E>, u32)) -> Self {
        let (has_previous, has_next) = (before.len() > most_before as usize, behind.len() > most_behind as usize);
        let before = before.into_iter().take(most_before as usize).rev();
        let rows = before.chain(behind.into_iter().take(most_behind as usize)).map(Arc::new).collect();
        Page { list, rows, has_next, has_previous, total: None, first_part: None }
    }

    /// The same page, knowing how many records there are on all.
    pub fn counted(self, total: Option<i64>) -> Self {
        Page { total, ..self }
    }

    /// The same page, of a list in two parts: so many of its rows are of the first.
    pub fn in_parts(self, first: usize) -> Self {
        Page { first_part: Some(first), ..self }
    }

    /// The cursor of the row at that place.
    fn cursor(&self, place: usize, row: &E) -> String {
        let cursor = self.list.order.cursor(row);
        match self.first_part {
            Some(first) => Part::of(place < first).mark(&cursor),
            None => cursor,
        }
    }
}

/// A page of a list.
pub struct Connection<E: Entity> {
    pub scope: Scope,
    pub page: Arc<Page<E>>,
}

impl<E: Entity> TypeName for Connection<E> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", E::table().entity).into()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<E: Entity> Connection<E> {
    /// The records with the cursor of each.
    async fn edges(&self) -> Vec<Edge<E>> {
        let edge = |(place, node): (usize, &Arc<E>)| Edge { page: self.page.clone(), place, node: node.clone() };
        self.page.rows.iter().enumerate().map(edge).collect()
    }

    /// The records.
    async fn nodes(&self) -> &[Arc<E>] {
        &self.page.rows
    }

    /// Where this page lies.
    async fn page_info(&self) -> PageInfo {
        let cursor = |place: usize| self.page.rows.get(place).map(|row| self.page.cursor(place, row));
        PageInfo {
            has_next_page: self.page.has_next,
            has_previous_page: self.page.has_previous,
            start_cursor: cursor(0),
            end_cursor: self.page.rows.len().checked_sub(1).and_then(cursor),
        }
    }

    /// How many records the filter fits, on all pages. Counted only when selected.
    async fn total_count(&self) -> async_graphql::Result<i64> {
        if let Some(total) = self.page.total {
            return Ok(total);
        }
        // In a box, as in `or_null`.
        let counted = Box::pin(async {
            let conn = self.scope.reader().await?;
            entity::count(&self.scope, &conn, &self.page.list).await
        });
        Ok(counted.await?)
    }
}

/// A record of a page with its cursor.
pub struct Edge<E: Entity> {
    page: Arc<Page<E>>,
    place: usize,
    node: Arc<E>,
}

impl<E: Entity> TypeName for Edge<E> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", E::table().entity).into()
    }
}

/// A record of a page with its cursor.
#[Object(name_type)]
impl<E: Entity> Edge<E> {
    /// The record.
    async fn node(&self) -> &Arc<E> {
        &self.node
    }

    /// The record's place in this list and order; give it as `after` or `before`.
    async fn cursor(&self) -> String {
        self.page.cursor(self.place, &self.node)
    }
}
