//! What an entity is to the database: its table, columns and relations as data. Derived from the entity's
//! struct; whatever reads or writes rows is driven by it. Invariant: names in here come from the program text.

use super::{permission::Resource, scope::Actor, sql::Sql, value::Kind};

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
}

/// Which rows of its organization a member may see.
#[derive(Clone, Copy)]
pub enum Wall {
    /// Those of the owners that the member's permission reaches.
    Owned,
    /// All of them, with the permission to read.
    Shared,
    /// What this condition says; it is pushed behind `AND`, about the given alias.
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
