//! Plans: a query that asks only for columns and relations of entities is read straight from rows to JSON, one
//! statement a level, without the executor. Invariant: a plan answers exactly what the executor would, or does not
//! answer at all; whatever it does not know, and whatever fails, is left to the executor.

mod json;
mod run;

use super::{
    entity::List,
    table::{Column, Table, ToMany, ToOne},
};
use crate::error::Result;
use async_graphql::{Name, Variables, parser::types as ast};
use async_graphql_value::{ConstValue, Value};

/// A way to the table of an entity.
pub type TableOf = fn() -> &'static Table;
type Arguments = Vec<(Name, Value)>;

/// A query that can be read without the executor.
#[derive(Debug)]
pub struct Plan {
    roots: Vec<Root>,
}

/// `"key":`, as it stands in the answer.
#[derive(Clone, Debug)]
struct Key(Box<str>);

#[derive(Debug)]
enum Root {
    Typename(Key),
    One(Key, Arguments, Object),
    List(Key, Arguments, Page),
}

/// What is selected of a record.
#[derive(Debug)]
struct Object {
    table: &'static Table,
    /// What the statement fetches: the id, then what the fields need.
    columns: Vec<&'static Column>,
    fields: Vec<(Key, Field)>,
}

#[derive(Debug)]
enum Field {
    Typename,
    /// The column at this place of `Object::columns`.
    Column(usize),
    /// The record that the column at this place names.
    One(usize, Object),
    Many(&'static ToMany, Arguments, Page),
}

/// What is selected of a page.
#[derive(Debug)]
struct Page {
    table: &'static Table,
    /// What is selected of its records; none: only of the page itself.
    object: Object,
    fields: Vec<(Key, PageField)>,
}

#[derive(Debug)]
enum PageField {
    Typename,
    Nodes,
    Edges(Vec<(Key, EdgeField)>),
    PageInfo(Vec<(Key, InfoField)>),
    TotalCount,
}

#[derive(Clone, Copy, Debug)]
enum EdgeField {
    Typename,
    Cursor,
    Node,
}

#[derive(Clone, Copy, Debug)]
enum InfoField {
    Typename,
    HasNextPage,
    HasPreviousPage,
    StartCursor,
    EndCursor,
}

impl Plan {
    /// The plan of a query whose fragments have been spread and whose equal response keys have been merged; None when
    /// it asks for anything but columns and relations of these tables.
    pub fn compile(query: &ast::SelectionSet, tables: &[TableOf]) -> Option<Self> {
        let roots = fields(query)?.map(|field| root(field?, tables)).collect::<Option<Vec<_>>>()?;
        // The version alone, or what is computed: nothing to gain.
        roots.iter().any(|root| !matches!(root, Root::Typename(_))).then_some(Plan { roots })
    }
}

fn root(field: &ast::Field, tables: &[TableOf]) -> Option<Root> {
    let (key, name) = (key(field), field.name.node.as_str());
    if name == "__typename" {
        return Some(Root::Typename(key));
    }
    let selected = &field.selection_set.node;
    tables.iter().find_map(|table| {
        let table = table();
        if table.one == Some(name) {
            Some(Root::One(key.clone(), arguments(field), object(table, selected)?))
        } else if table.list == Some(name) {
            Some(Root::List(key.clone(), arguments(field), page(table, selected)?))
        } else {
            None
        }
    })
}

fn object(table: &'static Table, selected: &ast::SelectionSet) -> Option<Object> {
    let mut columns: Vec<&'static Column> = table.columns.first().copied().into_iter().collect();
    let mut place = |column: &'static Column| {
        columns.iter().position(|other| other.name == column.name).unwrap_or_else(|| {
            columns.push(column);
            columns.len() - 1
        })
    };
    let fields = fields(selected)?
        .map(|field| {
            let field = field?;
            let (name, below) = (field.name.node.as_str(), &field.selection_set.node);
            let planned = if name == "__typename" {
                Field::Typename
            } else if let Some(column) = table.columns.iter().find(|column| column.field == name) {
                // What Rust makes of it, or an object in a column, of which parts are selected.
                if column.computed || column.unshown || !below.items.is_empty() {
                    return None;
                }
                Field::Column(place(column))
            } else if let Some(ToOne { column, target, .. }) = table.ones.iter().find(|one| one.field == name) {
                Field::One(place(column), object(target(), below)?)
            } else {
                let many = table.manies.iter().find(|many| many.field == name)?;
                Field::Many(many, arguments(field), page((many.target)(), below)?)
            };
            Some((key(field), planned))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Object { table, columns, fields })
}

fn page(table: &'static Table, selected: &ast::SelectionSet) -> Option<Page> {
    let mut records: Option<&ast::SelectionSet> = None;
    let mut planned = Vec::new();
    for field in fields(selected)? {
        let field = field?;
        let below = &field.selection_set.node;
        let part = match field.name.node.as_str() {
            "__typename" => PageField::Typename,
            "totalCount" => PageField::TotalCount,
            "nodes" if records.is_none() => {
                records = Some(below);
                PageField::Nodes
            }
            "edges" => {
                let mut edge = Vec::new();
                for field in fields(below)? {
                    let field = field?;
                    let part = match field.name.node.as_str() {
                        "__typename" => EdgeField::Typename,
                        "cursor" => EdgeField::Cursor,
                        "node" if records.is_none() => {
                            records = Some(&field.selection_set.node);
                            EdgeField::Node
                        }
                        _ => return None,
                    };
                    edge.push((key(field), part));
                }
                PageField::Edges(edge)
            }
            "pageInfo" => {
                let info = fields(below)?.map(|field| {
                    let field = field?;
                    let part = match field.name.node.as_str() {
                        "__typename" => InfoField::Typename,
                        "hasNextPage" => InfoField::HasNextPage,
                        "hasPreviousPage" => InfoField::HasPreviousPage,
                        "startCursor" => InfoField::StartCursor,
                        "endCursor" => InfoField::EndCursor,
                        _ => return None,
                    };
                    Some((key(field), part))
                });
                PageField::PageInfo(info.collect::<Option<Vec<_>>>()?)
            }
            // A second selection of the records, under another key.
            _ => return None,
        };
        planned.push((key(field), part));
    }
    let object = match records {
        Some(records) => object(table, records)?,
        None => Object { table, columns: table.columns.first().copied().into_iter().collect(), fields: Vec::new() },
    };
    Some(Page { table, object, fields: planned })
}

/// The fields of a selection; None when a fragment is left in it.
fn fields(set: &ast::SelectionSet) -> Option<impl Iterator<Item = Option<&ast::Field>>> {
    Some(set.items.iter().map(|item| match &item.node {
        ast::Selection::Field(field) => Some(&field.node),
        _ => None,
    }))
}

fn key(field: &ast::Field) -> Key {
    // A name of GraphQL needs no escape.
    Key(format!("\"{}\":", field.response_key().node).into())
}

fn arguments(field: &ast::Field) -> Arguments {
    field.arguments.iter().map(|(name, value)| (name.node.clone(), value.node.clone())).collect()
}

/// Arguments with their variables; one whose variable was left out is left out.
fn given(arguments: &Arguments, variables: &Variables) -> Option<Vec<(Name, ConstValue)>> {
    let mut given = Vec::with_capacity(arguments.len());
    for (name, value) in arguments {
        if let Value::Variable(variable) = value
            && !variables.contains_key(variable)
        {
            continue;
        }
        let value = value.clone().into_const_with(|variable| variables.get(&variable).cloned().ok_or(())).ok()?;
        given.push((name.clone(), value));
    }
    Some(given)
}

/// The list that a page's arguments ask for.
fn list(table: &'static Table, arguments: &Arguments, variables: &Variables) -> Result<List> {
    let given = given(arguments, variables).ok_or_else(|| crate::Error::bad_input("a variable is missing"))?;
    (table.ask)(given)
}
