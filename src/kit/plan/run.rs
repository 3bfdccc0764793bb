//! A plan at work: fetch level by level, each relation one statement for all records of its level, then write.

use super::{
    EdgeField, Field, InfoField, Key, Object, Page, PageField, Plan, Root, given,
    json::{Cells, text},
    list,
};
use crate::{
    error::{Error, Result},
    kit::{
        entity::{List, may_list, push_visible},
        filter::DeletedRecords,
        scope::Scope,
        sql::Sql,
        table::Column,
        value::Bind,
    },
    platform::database::Connection,
};
use async_graphql::Variables;
use async_graphql_value::ConstValue;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::{BoxFuture, try_join_all};
use std::collections::HashMap;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// What the plan cannot do after all; the executor does it, and words what is wrong.
fn leave() -> Error {
    Error::ours("left to the executor")
}

/// Records with what was fetched for their relations, by the field's place in `Object::fields`.
struct Fetched {
    rows: Vec<Cells>,
    relations: Vec<Relation>,
}

enum Relation {
    None,
    One(Fetched, HashMap<Uuid, usize>),
    /// The last one is that of a parent without any.
    Many(Fetched, HashMap<Uuid, Slice>, Slice),
}

/// Which of the fetched records are on a page, and where the page lies.
#[derive(Clone, Default)]
struct Slice {
    from: usize,
    to: usize,
    has_next: bool,
    has_previous: bool,
    total: Option<i64>,
    cursors: Vec<String>,
}

/// Where a plan reads. Records by their keys: on the line that all requests share, which such statements hold up for
/// microseconds; once something else is asked for, all on a connection of its own.
struct Reader<'a> {
    scope: &'a Scope,
    own: OnceCell<Connection>,
}

impl Reader<'_> {
    async fn own(&self) -> Result<&Connection> {
        self.own.get_or_try_init(|| self.scope.reader()).await
    }

    async fn by_key(&self, sql: Sql) -> Result<Vec<Cells>> {
        if !self.own.initialized() {
            let (text, values) = sql.written();
            let organization = self.scope.actor.organization;
            if let Some(rows) = self.scope.app.database.look_up(organization, &text, &values).await {
                return rows.iter().map(|row| Cells::of(row).ok_or_else(leave)).collect();
            }
        }
        Box::pin(self.load(sql)).await
    }

    async fn load(&self, sql: Sql) -> Result<Vec<Cells>> {
        let mut conn: &AsyncPgConnection = self.own().await?;
        Ok(sql.load(&mut conn).await?)
    }
}

impl Plan {
    /// The members of `data`, braces included. Any error but *too slow* means: let the executor answer.
    pub async fn run(&self, scope: &Scope, variables: &Variables) -> Result<String> {
        let reader = Reader { scope, own: OnceCell::new() };
        let mut out = String::with_capacity(1024);
        out.push('{');
        for (index, root) in self.roots.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            match root {
                Root::Typename(key) => {
                    out.push_str(&key.0);
                    out.push_str("\"Query\"");
                }
                Root::One(key, arguments, object) => {
                    out.push_str(&key.0);
                    let given = given(arguments, variables).ok_or_else(leave)?;
                    let [(_, ConstValue::String(id))] = given.as_slice() else { return Err(leave()) };
                    let id = Uuid::try_parse(id).map_err(|_| leave())?;
                    let rows = by_id(&reader, object, vec![id]).await?;
                    let fetched = relations(&reader, variables, object, rows).await?;
                    match fetched.rows.is_empty() {
                        true => out.push_str("null"),
                        false => record(object, &fetched, 0, &mut out).ok_or_else(leave)?,
                    }
                }
                Root::List(key, arguments, page) => {
                    out.push_str(&key.0);
                    let list = list(page.table, arguments, variables)?;
                    may_list(list.table, scope, list.deleted)?;
                    let (fetched, slice) = Box::pin(fetch_list(&reader, variables, page, &list)).await?;
                    write_page(page, &fetched, &slice, &mut out).ok_or_else(leave)?;
                }
            }
        }
        out.push('}');
        Ok(out)
    }
}

/// `SELECT t0."id", …`, with what the order needs for cursors behind what the object needs.
fn select(object: &Object, list: Option<&List>) -> (Sql, Vec<usize>) {
    let mut columns: Vec<&'static Column> = object.columns.clone();
    let mut keys = Vec::new();
    for key in list.map(|list| list.order.columns()).into_iter().flatten() {
        let place = columns.iter().position(|column| column.name == key.name).unwrap_or_else(|| {
            columns.push(key);
            columns.len() - 1
        });
        keys.push(place);
    }
    let mut sql = Sql::new("");
    for (index, column) in columns.into_iter().enumerate() {
        sql.push(if index == 0 { "" } else { ", " }).column("t0", column);
    }
    (sql, keys)
}

async fn by_id(reader: &Reader<'_>, object: &Object, ids: Vec<Uuid>) -> Result<Vec<Cells>> {
    let mut sql = Sql::new("SELECT ");
    sql.append(select(object, None).0).push(" FROM ").name(object.table.name).push(" t0");
    push_visible(object.table, reader.scope, DeletedRecords::Exclude, &mut sql);
    match ids.as_slice() {
        [id] => sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(*id))),
        _ => sql.push(" AND t0.id = ANY(").bind(Bind::Uuids(ids)).push(")"),
    };
    reader.by_key(sql).await
}

async fn fetch_list(reader: &Reader<'_>, variables: &Variables, page: &Page, list: &List) -> Result<(Fetched, Slice)> {
    let (columns, keys) = select(&page.object, Some(list));
    let mut sql = Sql::new("SELECT ");
    sql.append(columns).push(" FROM ").name(list.table.name).push(" t0");
    list.push_where(reader.scope, &mut sql)?;
    list.push_window(&mut sql);
    let total = async {
        match page.fields.iter().any(|(_, field)| matches!(field, PageField::TotalCount)) {
            true => crate::kit::entity::count(reader.scope, reader.own().await?, list).await.map(Some),
            false => Ok(None),
        }
    };
    let (mut rows, total) = futures_util::try_join!(reader.load(sql), total)?;
    let mut slice = slice(page, list, &mut rows, &keys)?;
    slice.total = total;
    Ok((relations(reader, variables, &page.object, rows).await?, slice))
}

/// Cuts the rows of a window, which may have one more than it shows, to the page.
fn slice(page: &Page, list: &List, rows: &mut Vec<Cells>, keys: &[usize]) -> Result<Slice> {
    let size = list.window.size as usize;
    let more = rows.len() > size;
    rows.truncate(size);
    if list.window.backward {
        rows.reverse();
    }
    let from_middle = list.window.place.is_some();
    let (has_next, has_previous) = if list.window.backward { (from_middle, more) } else { (more, from_middle) };
    let mut slice = Slice { from: 0, to: rows.len(), has_next, has_previous, ..Slice::default() };
    if page.needs_cursors() {
        for row in rows.iter() {
            let place: Option<Vec<Bind>> =
                list.order.columns().zip(keys).map(|(column, place)| row.bind(*place, column)).collect();
            slice.cursors.push(list.order.cursor_at(&place.ok_or_else(leave)?));
        }
    }
    Ok(slice)
}

impl Page {
    fn needs_cursors(&self) -> bool {
        self.fields.iter().any(|(_, field)| match field {
            PageField::Edges(edge) => edge.iter().any(|(_, part)| matches!(part, EdgeField::Cursor)),
            PageField::PageInfo(info) => {
                info.iter().any(|(_, part)| matches!(part, InfoField::StartCursor | InfoField::EndCursor))
            }
            _ => false,
        })
    }
}

/// Fetches what the records' relations name, all relations of the level in one flight.
fn relations<'a>(
    reader: &'a Reader<'_>,
    variables: &'a Variables,
    object: &'a Object,
    rows: Vec<Cells>,
) -> BoxFuture<'a, Result<Fetched>> {
    Box::pin(async move {
        let fetched = try_join_all(object.fields.iter().map(|(_, field)| {
            let rows = &rows;
            async move {
                Ok::<_, Error>(match field {
                    Field::One(place, target) => {
                        let mut ids: Vec<Uuid> = rows.iter().filter_map(|row| row.uuid(*place)).collect();
                        ids.sort_unstable();
                        ids.dedup();
                        let found = if ids.is_empty() { Vec::new() } else { by_id(reader, target, ids).await? };
                        let places =
                            found.iter().enumerate().filter_map(|(at, row)| Some((row.uuid(0)?, at))).collect();
                        Relation::One(relations(reader, variables, target, found).await?, places)
                    }
                    Field::Many(many, arguments, page) => {
                        let list = list(page.table, arguments, variables)?;
                        may_list(list.table, reader.scope, list.deleted)?;
                        // Counted per parent: left to the executor.
                        if page.fields.iter().any(|(_, field)| matches!(field, PageField::TotalCount)) {
                            return Err(leave());
                        }
                        let parents: Vec<Uuid> = rows.iter().filter_map(|row| row.uuid(0)).collect();
                        let (found, slices) = children(reader, page, &list, many.there, parents).await?;
                        let empty = slice(page, &list, &mut Vec::new(), &[])?;
                        Relation::Many(relations(reader, variables, &page.object, found).await?, slices, empty)
                    }
                    Field::Typename | Field::Column(_) => Relation::None,
                })
            }
        }))
        .await?;
        Ok(Fetched { rows, relations: fetched })
    })
}

/// The pages of records whose `there` names one of the parents.
async fn children(
    reader: &Reader<'_>,
    page: &Page,
    list: &List,
    there: &'static Column,
    parents: Vec<Uuid>,
) -> Result<(Vec<Cells>, HashMap<Uuid, Slice>)> {
    if parents.is_empty() {
        return Ok((Vec::new(), HashMap::new()));
    }
    let (mut columns, keys) = select(&page.object, Some(list));
    let parent_place = page.object.columns.len() + keys.iter().filter(|key| **key >= page.object.columns.len()).count();
    columns.push(", p.id");
    let mut sql = Sql::new("SELECT t.* FROM unnest(");
    sql.bind(Bind::Uuids(parents)).push(") AS p(id) CROSS JOIN LATERAL (SELECT ").append(columns);
    sql.push(" FROM ").name(list.table.name).push(" t0");
    list.push_where(reader.scope, &mut sql)?;
    sql.push(" AND ").column("t0", there).push(" = p.id");
    list.push_window(&mut sql);
    sql.push(") t");
    let rows = reader.load(sql).await?;
    let mut groups: Vec<(Uuid, Vec<Cells>)> = Vec::new();
    for row in rows {
        let parent = row.uuid(parent_place).ok_or_else(leave)?;
        match groups.last_mut() {
            Some((last, group)) if *last == parent => group.push(row),
            _ => groups.push((parent, vec![row])),
        }
    }
    let (mut all, mut slices) = (Vec::new(), HashMap::new());
    for (parent, mut group) in groups {
        let mut slice = slice(page, list, &mut group, &keys)?;
        (slice.from, slice.to) = (all.len(), all.len() + group.len());
        all.extend(group);
        slices.insert(parent, slice);
    }
    Ok((all, slices))
}

fn begin(key: &Key, first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
    out.push_str(&key.0);
}

fn record(object: &Object, fetched: &Fetched, at: usize, out: &mut String) -> Option<()> {
    let row = fetched.rows.get(at)?;
    let mut first = true;
    out.push('{');
    for ((key, field), relation) in object.fields.iter().zip(&fetched.relations) {
        begin(key, &mut first, out);
        match (field, relation) {
            (Field::Typename, _) => text(object.table.entity, out),
            (Field::Column(place), _) => row.write(*place, object.columns.get(*place)?, out)?,
            (Field::One(place, target), Relation::One(found, places)) => {
                match row.uuid(*place).and_then(|id| places.get(&id)) {
                    Some(at) => record(target, found, *at, out)?,
                    None => out.push_str("null"),
                }
            }
            (Field::Many(_, _, page), Relation::Many(found, slices, empty)) => {
                write_page(page, found, slices.get(&row.uuid(0)?).unwrap_or(empty), out)?;
            }
            _ => return None,
        }
    }
    out.push('}');
    Some(())
}

fn write_page(page: &Page, fetched: &Fetched, slice: &Slice, out: &mut String) -> Option<()> {
    let entity = page.table.entity;
    let mut first = true;
    out.push('{');
    for (key, field) in &page.fields {
        begin(key, &mut first, out);
        match field {
            PageField::Typename => text(&format!("{entity}Connection"), out),
            PageField::TotalCount => out.push_str(&slice.total?.to_string()),
            PageField::Nodes => items(slice, out, |at, out| record(&page.object, fetched, at, out))?,
            PageField::Edges(edge) => items(slice, out, |at, out| {
                let mut first = true;
                out.push('{');
                for (key, part) in edge {
                    begin(key, &mut first, out);
                    match part {
                        EdgeField::Typename => text(&format!("{entity}Edge"), out),
                        EdgeField::Cursor => text(slice.cursors.get(at - slice.from)?, out),
                        EdgeField::Node => record(&page.object, fetched, at, out)?,
                    }
                }
                out.push('}');
                Some(())
            })?,
            PageField::PageInfo(info) => {
                let mut first = true;
                let cursor = |cursor: Option<&String>, out: &mut String| match cursor {
                    Some(cursor) => text(cursor, out),
                    None => out.push_str("null"),
                };
                out.push('{');
                for (key, part) in info {
                    begin(key, &mut first, out);
                    match part {
                        InfoField::Typename => out.push_str("\"PageInfo\""),
                        InfoField::HasNextPage => out.push_str(if slice.has_next { "true" } else { "false" }),
                        InfoField::HasPreviousPage => out.push_str(if slice.has_previous { "true" } else { "false" }),
                        InfoField::StartCursor => cursor(slice.cursors.as_slice().first(), out),
                        InfoField::EndCursor => cursor(slice.cursors.as_slice().last(), out),
                    }
                }
                out.push('}');
            }
        }
    }
    out.push('}');
    Some(())
}

fn items(slice: &Slice, out: &mut String, mut item: impl FnMut(usize, &mut String) -> Option<()>) -> Option<()> {
    out.push('[');
    for at in slice.from..slice.to {
        if at > slice.from {
            out.push(',');
        }
        item(at, out)?;
    }
    out.push(']');
    Some(())
}
