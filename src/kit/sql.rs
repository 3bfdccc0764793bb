//! A statement in the making: program text, identifiers and values, kept apart. Invariant: program text is
//! `'static` and everything else is a bind, so that no input can become SQL.

use super::{table::Column, value::Bind};
use diesel::{
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::Untyped,
};
use parking_lot::RwLock;
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

/// Names of tables within a statement, by depth.
pub const ALIASES: [&str; 8] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"];

#[derive(Clone, Debug)]
enum Piece {
    Text(&'static str),
    Name(&'static str),
    Number(u32),
    Bind(Bind),
}

/// A statement.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    pieces: Vec<Piece>,
}

impl Sql {
    pub fn new(text: &'static str) -> Self {
        let mut sql = Sql { pieces: Vec::with_capacity(24) };
        sql.push(text);
        sql
    }

    /// Program text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.pieces.push(Piece::Text(text));
        self
    }

    /// An identifier, quoted.
    pub fn name(&mut self, name: &'static str) -> &mut Self {
        self.pieces.push(Piece::Name(name));
        self
    }

    /// `alias."column"`.
    pub fn column(&mut self, alias: &'static str, column: &Column) -> &mut Self {
        self.push(alias).push(".").name(column.name)
    }

    /// A number as a literal: `LIMIT` as a bind would cost PostgreSQL its estimate of rows.
    pub fn number(&mut self, number: u32) -> &mut Self {
        self.pieces.push(Piece::Number(number));
        self
    }

    /// A value.
    pub fn bind(&mut self, value: Bind) -> &mut Self {
        self.pieces.push(Piece::Bind(value));
        self
    }

    /// Another statement's text and values.
    pub fn append(&mut self, other: Sql) -> &mut Self {
        self.pieces.extend(other.pieces);
        self
    }
}

impl Sql {
    /// The text, with `$1`, `$2` … for the values, and these.
    pub fn written(&self) -> (String, Vec<&Bind>) {
        let (mut text, mut values) = (String::with_capacity(512), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                // None has a quote in it: they are those of `schema.rs`.
                Piece::Name(name) => text.extend(["\"", name, "\""]),
                Piece::Number(number) => text.push_str(&number.to_string()),
                Piece::Bind(value) => {
                    values.push(value);
                    text.push('$');
                    text.push_str(&values.len().to_string());
                }
            }
        }
        (text, values)
    }
}

impl QueryFragment<Pg> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !Shapes::known(self) {
            out.unsafe_to_cache_prepared();
        }
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_sql(text),
                Piece::Name(name) => out.push_identifier(name)?,
                Piece::Number(number) => out.push_sql(&number.to_string()),
                Piece::Bind(value) => value.walk(out.reborrow())?,
            }
        }
        Ok(())
    }
}

impl QueryId for Sql {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sql {
    type SqlType = Untyped;
}

impl<Conn> diesel::query_dsl::RunQueryDsl<Conn> for Sql {}

/// The statements that are worth preparing. Clients choose filters and orders, so that their number has no end,
/// but each prepared statement costs memory on every connection: the first thousand shapes are kept, later ones
/// are planned anew each time.
struct Shapes;

static SHAPES: LazyLock<RwLock<HashSet<u64>>> = LazyLock::new(Default::default);
const MOST_SHAPES: usize = 1000;

impl Shapes {
    fn known(sql: &Sql) -> bool {
        let mut hasher = DefaultHasher::new();
        for piece in &sql.pieces {
            match piece {
                Piece::Text(text) | Piece::Name(text) => text.hash(&mut hasher),
                Piece::Number(number) => number.hash(&mut hasher),
                Piece::Bind(bind) => std::mem::discriminant(bind).hash(&mut hasher),
            }
        }
        let shape = hasher.finish();
        if SHAPES.read().contains(&shape) {
            return true;
        }
        let mut shapes = SHAPES.write();
        shapes.len() < MOST_SHAPES && shapes.insert(shape)
    }
}
