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

/// Where in a text another one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    Start,
    End,
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
    /// The text has this in the place named, whatever its case and accents.
    Text(&'static Column, Place, String),
    /// The array column holds all of these.
    HasAll(&'static Column, Vec<String>),
    /// The array column holds one of these.
    HasAny(&'static Column, Vec<String>),
    IsEmpty(&'static Column),
    /// The member of a JSON column at this key, as text, compares so. NULL: there is none.
    JsonText(&'static Column, String, Option<String>),
    /// What this pushes about the alias, in brackets: something between the row and who asks.
    Viewer(fn(&Actor, &mut Sql, &'static str)),
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
            // Not LIKE: folding can turn other letters into `%`, `_` and `\`, and so an escaped pattern into another.
            Predicate::Text(column, place, text) => {
                let text = || Bind::Text(Some(text.clone()));
                match place {
                    Place::Anywhere => sql.push("strpos(stoa_fold(").column(alias, column).push("), stoa_fold("),
                    Place::Start => sql.push("starts_with(stoa_fold(").column(alias, column).push("), stoa_fold("),
                    Place::End => {
                        sql.push("right(stoa_fold(").column(alias, column).push("), length(stoa_fold(");
                        sql.bind(text()).push("))) = (stoa_fold(")
                    }
                };
                sql.bind(text()).push(if *place == Place::Anywhere { ")) > 0" } else { "))" });
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
            Predicate::Viewer(condition) => {
                sql.push("(");
                condition(actor, sql, alias);
                sql.push(")");
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
            Predicate::Text(column, place, text) => match cell(column) {
                Bind::Text(Some(here)) => {
                    let (here, text) = (fold(&here), fold(text));
                    match place {
                        Place::Anywhere => here.contains(&text),
                        Place::Start => here.starts_with(&text),
                        Place::End => here.ends_with(&text),
                    }
                }
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
            Predicate::Viewer(_) | Predicate::Related { .. } => false,
        }
    }

    /// Refuses what `fits` cannot decide.
    pub fn decidable(&self) -> Result<()> {
        match self {
            Predicate::All(parts) | Predicate::Any(parts) => parts.iter().try_for_each(Predicate::decidable),
            Predicate::Not(part) => part.decidable(),
            Predicate::Viewer(_) | Predicate::Related { .. } => Err(Error::bad_input(
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
        // Whoever reaches all sees what all others who do see: answers may be shared between them.
        (Some(Reach::All), _) | (_, Wall::Shared) => {}
        (_, Wall::Custom(condition)) => condition(actor, sql, alias),
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

/// A JSON value as `->>` gives it; objects and lists, which nobody compares as text, without PostgreSQL's spaces.
fn json_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// As the SQL function `stoa_fold`: lower case, without accents. The rules of PostgreSQL's `unaccent` for the letters
/// and the punctuation of Europe's languages; signs and rarer scripts, which it spells out (`½` as ` 1/2`), stay.
pub fn fold(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let mut folded = String::with_capacity(text.len());
    for letter in text.nfc() {
        if letter.is_ascii() {
            folded.push(letter.to_ascii_lowercase());
        } else if let Some((_, plain)) = FOLDED.iter().find(|(letters, _)| letters.contains(letter)) {
            folded.push_str(plain);
        } else {
            // й is another letter than и, but é is an e.
            let base = std::iter::once(letter).nfd().next().unwrap_or(letter);
            let accented = base.is_ascii_alphabetic() || ('\u{370}'..='\u{3ff}').contains(&base);
            folded.extend(if accented { base } else { letter }.to_lowercase());
        }
    }
    folded
}

/// Letters that are no base letter with an accent, and what they fold to.
const FOLDED: [(&str, &str); 24] = [
    ("ßẞ", "ss"),
    ("æÆ", "ae"),
    ("œŒ", "oe"),
    ("øØ", "o"),
    ("łŁŀĿ", "l"),
    ("đĐðÐ", "d"),
    ("þÞ", "th"),
    ("ħĦ", "h"),
    ("ı", "i"),
    ("ĳĲ", "ij"),
    ("ŋŊ", "n"),
    ("ŧŦ", "t"),
    ("ſ", "s"),
    ("ĸ", "q"),
    ("ёЁ", "е"),
    ("‘’‚", "'"),
    ("“”„", "\""),
    ("‐‑‒–—", "-"),
    ("…", "..."),
    ("«", "<<"),
    ("»", ">>"),
    ("％", "%"),
    ("＿", "_"),
    ("＼", "\\"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_fold_to_their_plain_form() {
        for (text, folded) in [
            ("Zoë Ångström", "zoe angstrom"),
            ("STRAẞE Łódź Þór", "strasse lodz thor"),
            ("Ёлка Йод ΆΣ", "елка йод ας".replace('ς', "σ").as_str()),
            ("50％＿＼", "50%_\\"),
            ("e\u{301}", "e"),
        ] {
            assert_eq!(fold(text), folded);
        }
    }
}
