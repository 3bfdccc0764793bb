//! What an entity is to the database: its table, columns and relations as data. Derived from the entity's
//! struct; whatever reads or writes rows is driven by it. Invariant: names in here come from the program text.

use super::{entity::List, permission::Resource, scope::Actor, sql::Sql, value::Kind};
use crate::error::Result;
use async_graphql::Name;
use async_graphql_value::ConstValue;

/// A column of an entity's table.
#[derive(Debug)]
pub struct Column {
    /// In SQL.
    pub name: &'static str,
    /// In GraphQL.
    pub field: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    /// An enum: a word in lower case in SQL, in capitals in GraphQL.
    pub is_enum: bool,
    /// Computed in SQL when it is read; not in the table, and not shown as it came.
    pub computed: bool,
    /// In the table and in the log; what is shown under its name is computed for whoever asks.
    pub unshown: bool,
}

/// The record that a column names.
pub struct ToOne {
    /// In GraphQL.
    pub field: &'static str,
    pub column: &'static Column,
    pub target: fn() -> &'static Table,
}

/// The records of another entity that name this one.
pub struct ToMany {
    /// In GraphQL.
    pub field: &'static str,
    pub target: fn() -> &'static Table,
    /// The column that names this one.
    pub there: &'static Column,
}

impl std::fmt::Debug for ToMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.field)
    }
}

/// Which rows of its organization a member may see.
#[derive(Clone, Copy)]
pub enum Wall {
    /// Those of the owners that the member's permission reaches.
    Owned,
    /// All of them, with the permission to read.
    Shared,
    /// All of them for whoever reaches ALL; for others what this condition says, pushed behind `AND` about the alias.
    Custom(fn(&Actor, &mut Sql, &'static str)),
}

/// An entity's table.
pub struct Table {
    /// In SQL.
    pub name: &'static str,
    /// The GraphQL type.
    pub entity: &'static str,
    pub resource: Resource,
    pub wall: Wall,
    pub soft_delete: bool,
    /// Lists begin with its greatest values unless ordered otherwise.
    pub newest: &'static Column,
    /// `t0."id", t0."…", …`: all columns, in the order of the struct.
    pub select: &'static str,
    /// Its references to other entities.
    pub ones: &'static [ToOne],
    /// What refers to it.
    pub manies: &'static [ToMany],
    /// The root field of one record, and of the list, if it has any.
    pub one: Option<&'static str>,
    pub list: Option<&'static str>,
    /// Makes a list ready from the arguments of a field.
    pub ask: fn(Vec<(Name, ConstValue)>) -> Result<List>,
    /// In the order of the struct's fields; `id` is the first.
    pub columns: &'static [&'static Column],
}

impl Table {
    /// The column of that SQL name. Names come from the program text, so that a missing one is a mistake in it;
    /// the tests of the entity find it.
    pub fn column(&'static self, name: &str) -> Option<&'static Column> {
        self.columns.iter().copied().find(|column| column.name == name)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
