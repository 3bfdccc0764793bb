//! A condition on rows, between the filter a client wrote and the SQL it becomes; a feed decides with the same
//! condition on a record in memory. Invariant: a condition is true or false for every row, never unknown, so
//! that `not` means what it says.

use super::{
    scope::Actor,
    sql::{ALIASES, Sql},
    table::{Column, Table, Wall},
    value::Bind,
};
use crate::error::{Error, Result};

/// How a column compares with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
}

/// A condition on a row.
#[derive(Clone, Debug)]
pub enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    Compare(&'static Column, Compare, Bind),
    /// The column is one of a list; the bind is an array.
    In(&'static Column, Bind),
    IsNull(&'static Column),
    /// LIKE without regard to case and accents; the pattern is escaped.
    Like(&'static Column, String),
    /// The array column holds all of these.
    HasAll(&'static Column, Vec<String>),
    /// The array column holds one of these.
    HasAny(&'static Column, Vec<String>),
    IsEmpty(&'static Column),
    /// The member of a JSON column at this key, as text, compares so. NULL: there is none.
    JsonText(&'static Column, String, Option<String>),
    /// There is a visible row of another table with `there = here` that fits.
    Related {
        table: &'static Table,
        here: &'static Column,
        there: &'static str,
        fits: Box<Predicate>,
    },
}

impl Predicate {
    pub fn always() -> Self {
        Predicate::All(Vec::new())
    }

    pub fn is_always(&self) -> bool {
        matches!(self, Predicate::All(all) if all.is_empty())
    }

    /// Pushes the condition about `ALIASES[depth]`.
    pub fn push(&self, actor: &Actor, depth: usize, sql: &mut Sql) -> Result<()> {
        let alias = *ALIASES.get(depth).ok_or_else(too_deep)?;
        match self {
            Predicate::All(all) => self::join(all, " AND ", "TRUE", actor, depth, sql)?,
            Predicate::Any(any) => self::join(any, " OR ", "FALSE", actor, depth, sql)?,
            Predicate::Not(not) => {
                sql.push("(");
                not.push(actor, depth, sql)?;
                sql.push(") IS NOT TRUE");
            }
            Predicate::Compare(column, compare, value) => {
                let operator = match compare {
                    Compare::Eq => " = ",
                    Compare::Ne => " IS DISTINCT FROM ",
                    Compare::Gt => " > ",
                    Compare::Gte => " >= ",
                    Compare::Lt => " < ",
                    Compare::Lte => " <= ",
                };
                sql.column(alias, column).push(operator).bind(value.clone());
            }
            Predicate::In(column, values) => {
                sql.column(alias, column).push(" = ANY(").bind(values.clone()).push(")");
            }
            Predicate::IsNull(column) => {
                sql.column(alias, column).push(" IS NULL");
            }
            Predicate::Like(column, pattern) => {
                sql.push("stoa_fold(").column(alias, column).push(") LIKE stoa_fold(");
                sql.bind(Bind::Text(Some(pattern.clone()))).push(")");
            }
            Predicate::HasAll(column, values) => {
                sql.column(alias, column).push(" @> ").bind(Bind::Texts(Some(values.clone())));
            }
            Predicate::HasAny(column, values) => {
                sql.column(alias, column).push(" && ").bind(Bind::Texts(Some(values.clone())));
            }
            Predicate::IsEmpty(column) => {
                sql.push("cardinality(").column(alias, column).push(") = 0");
            }
            Predicate::JsonText(column, key, value) => {
                sql.push("(").column(alias, column).push(" ->> ").bind(Bind::Text(Some(key.clone())));
                match value {
                    Some(value) => sql.push(") = ").bind(Bind::Text(Some(value.clone()))),
                    None => sql.push(") IS NULL"),
                };
            }
            Predicate::Related { table, here, there, fits } => {
                let inner = *ALIASES.get(depth + 1).ok_or_else(too_deep)?;
                sql.push("EXISTS (SELECT 1 FROM ").name(table.name).push(" ").push(inner).push(" WHERE ");
                sql.push(inner).push(".organization_id = ").push(alias).push(".organization_id AND ");
                sql.push(inner).push(".").name(there).push(" = ").column(alias, here);
                if table.soft_delete {
                    sql.push(" AND ").push(inner).push(".deleted_at IS NULL");
                }
                push_wall(table, actor, inner, sql);
                sql.push(" AND ");
                fits.push(actor, depth + 1, sql)?;
                sql.push(")");
            }
        }
        Ok(())
    }

    /// Whether a record in memory fits; `cell` gives its columns. Conditions on other records cannot be decided
    /// here: BAD_USER_INPUT from `decidable` when the feed begins.
    pub fn fits(&self, cell: &impl Fn(&Column) -> Bind) -> bool {
        use std::cmp::Ordering::{Greater, Less};
        match self {
            Predicate::All(all) => all.iter().all(|part| part.fits(cell)),
            Predicate::Any(any) => any.iter().any(|part| part.fits(cell)),
            Predicate::Not(not) => !not.fits(cell),
            Predicate::Compare(column, compare, value) => {
                let here = cell(column);
                let order = order(&here, value);
                match compare {
                    Compare::Eq => !here.is_null() && here == *value,
                    Compare::Ne => here != *value,
                    Compare::Gt => order == Some(Greater),
                    Compare::Gte => matches!(order, Some(order) if order != Less),
                    Compare::Lt => order == Some(Less),
                    Compare::Lte => matches!(order, Some(order) if order != Greater),
                }
            }
            Predicate::In(column, values) => match (cell(column), values) {
                (Bind::Text(Some(here)), Bind::Texts(Some(values))) => values.contains(&here),
                (Bind::Uuid(Some(here)), Bind::Uuids(values)) => values.contains(&here),
                (Bind::Int(Some(here)), Bind::Ints(values)) => values.contains(&here),
                (Bind::Decimal(Some(here)), Bind::Decimals(values)) => values.contains(&here),
                (Bind::Time(Some(here)), Bind::Times(values)) => values.contains(&here),
                (Bind::Date(Some(here)), Bind::Dates(values)) => values.contains(&here),
                _ => false,
            },
            Predicate::IsNull(column) => cell(column).is_null(),
            Predicate::Like(column, pattern) => match cell(column) {
                Bind::Text(Some(here)) => like(&fold(&here), &fold(pattern)),
                _ => false,
            },
            Predicate::HasAll(column, values) => match cell(column) {
                Bind::Texts(Some(here)) => values.iter().all(|value| here.contains(value)),
                _ => false,
            },
            Predicate::HasAny(column, values) => match cell(column) {
                Bind::Texts(Some(here)) => values.iter().any(|value| here.contains(value)),
                _ => false,
            },
            Predicate::IsEmpty(column) => matches!(cell(column), Bind::Texts(Some(here)) if here.is_empty()),
            Predicate::JsonText(column, key, value) => {
                let here = match cell(column) {
                    Bind::Json(Some(json)) => json.get(key).and_then(json_text),
                    _ => None,
                };
                here == *value
            }
            Predicate::Related { .. } => false,
        }
    }

    /// Refuses what `fits` cannot decide.
    pub fn decidable(&self) -> Result<()> {
        match self {
            Predicate::All(parts) | Predicate::Any(parts) => parts.iter().try_for_each(Predicate::decidable),
            Predicate::Not(part) => part.decidable(),
            Predicate::Related { .. } => Err(Error::bad_input(
                "A feed can be filtered by a record's own fields, not by those of related records.",
            )),
            _ => Ok(()),
        }
    }
}

fn join(
    parts: &[Predicate],
    with: &'static str,
    none: &'static str,
    actor: &Actor,
    depth: usize,
    sql: &mut Sql,
) -> Result<()> {
    if parts.is_empty() {
        sql.push(none);
        return Ok(());
    }
    for (index, part) in parts.iter().enumerate() {
        sql.push(if index == 0 { "(" } else { with });
        part.push(actor, depth, sql)?;
    }
    sql.push(")");
    Ok(())
}

/// Pushes ` AND …`: which rows of the organization the actor may see at all.
pub fn push_wall(table: &Table, actor: &Actor, alias: &'static str, sql: &mut Sql) {
    use super::permission::{Action, Reach};
    match (actor.permissions.reach(table.resource, Action::Read), table.wall) {
        (None, _) => {
            sql.push(" AND FALSE");
        }
        (_, Wall::Custom(condition)) => condition(actor, sql, alias),
        (_, Wall::Shared) | (Some(Reach::All), Wall::Owned) => {}
        (Some(Reach::Team), Wall::Owned) => {
            sql.push(" AND ").push(alias).push(".owner_id = ANY(").bind(Bind::Uuids(actor.team.to_vec())).push(")");
        }
        (Some(Reach::Own), Wall::Owned) => {
            sql.push(" AND ").push(alias).push(".owner_id = ").bind(Bind::Uuid(Some(actor.member)));
        }
    }
}

fn too_deep() -> Error {
    Error::bad_input("The filter reaches through too many relations: five at most.")
}

/// How two values of one kind stand to each other; None when one is NULL or the kinds differ.
fn order(a: &Bind, b: &Bind) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Bind::Int(Some(a)), Bind::Int(Some(b))) => Some(a.cmp(b)),
        (Bind::BigInt(Some(a)), Bind::BigInt(Some(b))) => Some(a.cmp(b)),
        (Bind::Decimal(Some(a)), Bind::Decimal(Some(b))) => Some(a.cmp(b)),
        (Bind::Time(Some(a)), Bind::Time(Some(b))) => Some(a.cmp(b)),
        (Bind::Date(Some(a)), Bind::Date(Some(b))) => Some(a.cmp(b)),
        _ => None,
    }
}

/// A JSON value as `->>` gives it.
fn json_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// As the SQL function stoa_fold: lower case, without accents.
fn fold(text: &str) -> String {
    use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
    text.nfd().filter(|letter| !is_combining_mark(*letter)).collect::<String>().to_lowercase()
}

/// SQL's LIKE with `\` as escape; time grows with the product of the lengths at most.
fn like(text: &str, pattern: &str) -> bool {
    enum Part {
        One(char),
        Any,
        Many,
    }
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '\\' => Part::One(letters.next().unwrap_or('\\')),
            '%' => Part::Many,
            '_' => Part::Any,
            other => Part::One(other),
        });
    }
    // fits[i]: the parts so far match the first i letters.
    let text: Vec<char> = text.chars().collect();
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for part in &parts {
        let mut next = vec![false; text.len() + 1];
        match part {
            Part::Many => {
                let mut seen = false;
                for (place, fit) in fits.iter().enumerate() {
                    seen |= fit;
                    next[place] = seen;
                }
            }
            Part::Any | Part::One(_) => {
                for (place, letter) in text.iter().enumerate() {
                    next[place + 1] = fits[place] && !matches!(part, Part::One(want) if want != letter);
                }
            }
        }
        fits = next;
    }
    fits.last().copied().unwrap_or(false)
}

/// `%`, `_` and `\` stand for themselves.
pub fn escape_like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_that_of_sql() {
        assert!(like("zoe", &escape_like("zoe")));
        assert!(like("a zoe b", &format!("%{}%", "zoe")));
        assert!(!like("zo", "zoe"));
        assert!(like("100%", &format!("{}%", escape_like("100%"))));
        assert!(!like("1000", &format!("%{}", escape_like("0%"))));
        assert!(like("", "%") && !like("", "_"));
        assert_eq!(fold("Zoë Ångström"), "zoe angstrom");
    }
}
