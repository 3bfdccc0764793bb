//! Lists in two parts: the records that fit a condition stand before the others, each part in the list's own order. Invariant: as
//! `kit::page`, paged by the values of the last row and its part, whatever the size of either: two statements a page at most.

use super::{
    entity::{self, Entity, List, ListArgs, page_selections},
    page::{Connection, Page},
    predicate::Predicate,
    scope::Scope,
};
use crate::error::{Code, Error, Result};
use async_graphql::SelectionField;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::sync::Arc;

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    First,
    Second,
}

impl Part {
    pub fn of(first: bool) -> Self {
        if first { Part::First } else { Part::Second }
    }

    /// What cursors of the part begin with: no letter of those of lists.
    fn sign(self) -> char {
        match self {
            Part::First => '.',
            Part::Second => '~',
        }
    }

    /// A cursor of this part.
    pub fn mark(self, cursor: &str) -> String {
        format!("{}{cursor}", self.sign())
    }

    /// Takes the mark off a cursor. INVALID_CURSOR for one without.
    fn taken_off(cursor: &mut Option<String>) -> Result<Option<Self>> {
        let Some(marked) = cursor else { return Ok(None) };
        let parts = [Part::First, Part::Second];
        let found = parts.into_iter().find_map(|part| Some((part, marked.strip_prefix(part.sign())?.to_owned())));
        let message = "This cursor does not belong to this list and order. Start without it.";
        let (part, plain) = found.ok_or_else(|| Error::yours(Code::InvalidCursor, message))?;
        *cursor = Some(plain);
        Ok(Some(part))
    }
}

/// A page of a list: first the records that `first` fits, then those that `second` does, which are all others.
pub async fn list<E: Entity>(
    scope: &Scope,
    mut args: ListArgs<E>,
    selections: &[SelectionField<'_>],
    [first, second]: [Predicate; 2],
) -> Result<Connection<E>> {
    let from = Part::taken_off(&mut args.after)?.or(Part::taken_off(&mut args.before)?);
    let list = List::new(args)?;
    entity::may_list(list.table, scope, list.deleted)?;
    let conn = scope.reader().await?;
    let (near, far) = if list.window.backward { (Part::Second, Part::First) } else { (Part::First, Part::Second) };
    let wanted = list.window.size as usize + 1;
    let (mut rows, mut firsts) = (Vec::with_capacity(wanted), 0);
    for part in [near, far] {
        // What lies before the place that the reader comes from was read.
        if rows.len() == wanted || (part == near && from == Some(far)) {
            continue;
        }
        let fits = if part == Part::First { &first } else { &second };
        let part_of_list = part_of(&list, fits, from == Some(part), wanted - rows.len());
        let more: Vec<E> = read(scope, &conn, &part_of_list).await?;
        if part == Part::First {
            firsts = more.len();
        }
        rows.extend(more);
    }
    // The row beyond the page is of the part that was read last.
    if rows.len() == wanted && (list.window.backward || firsts == wanted) {
        firsts = firsts.saturating_sub(1);
    }
    let page = Arc::new(Page::new(Arc::new(list), rows).in_parts(firsts));
    E::preload(scope, &conn, &page.rows, &page_selections(selections)).await?;
    Ok(Connection { scope: scope.clone(), page })
}

/// A part of a list as a list: from its place on, or from its beginning, and so many rows.
fn part_of(list: &List, fits: &Predicate, from_place: bool, rows: usize) -> List {
    let mut part = list.clone();
    part.fits = Predicate::All(vec![fits.clone(), part.fits]);
    part.window.place = part.window.place.filter(|_| from_place);
    // One more is read than a window shows.
    part.window.size = u32::try_from(rows.saturating_sub(1)).unwrap_or(u32::MAX);
    part
}

async fn read<E: Entity>(scope: &Scope, mut conn: &AsyncPgConnection, list: &List) -> Result<Vec<E>> {
    let mut sql = entity::select(list.table);
    list.push_where(scope, &mut sql)?;
    list.push_window(&mut sql);
    Ok(sql.load(&mut conn).await?)
}
