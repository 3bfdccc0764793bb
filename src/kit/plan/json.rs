//! From what PostgreSQL sends (its binary format) to what a client reads. Invariant: byte for byte what the scalars of
//! the schema would have written, save for white space within JSON values.

use crate::kit::{
    table::Column,
    value::{Bind, Kind},
};
use chrono::{Datelike, NaiveDate, Timelike};
use diesel::{
    deserialize::{self, QueryableByName},
    pg::Pg,
    row::{Field, NamedRow, Row},
};
use std::{fmt::Write, str::FromStr};
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

/// A row as it came.
pub struct Cells {
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`; None: NULL.
    ends: Vec<Option<u32>>,
}

impl QueryableByName<Pg> for Cells {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        let count = row.field_count();
        let mut cells = Cells { bytes: Vec::with_capacity(count * 16), ends: Vec::with_capacity(count) };
        for index in 0..count {
            let field = Row::get(row, index).ok_or("a column is missing")?;
            cells.push(field.value().as_ref().map(|value| value.as_bytes())).ok_or("a row is too long")?;
        }
        Ok(cells)
    }
}

/// A value in PostgreSQL's binary format, as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Cells {
    /// From a row of a connection that diesel does not know.
    pub fn of(row: &tokio_postgres::Row) -> Option<Self> {
        let mut cells = Cells { bytes: Vec::with_capacity(row.len() * 16), ends: Vec::with_capacity(row.len()) };
        for index in 0..row.len() {
            cells.push(row.try_get::<_, Option<Raw<'_>>>(index).ok()?.map(|raw| raw.0))?;
        }
        Some(cells)
    }

    fn push(&mut self, value: Option<&[u8]>) -> Option<()> {
        let end = match value {
            Some(value) => {
                self.bytes.extend_from_slice(value);
                Some(u32::try_from(self.bytes.len()).ok()?)
            }
            None => None,
        };
        self.ends.push(end);
        Some(())
    }

    /// The value at a place; None: NULL.
    fn get(&self, place: usize) -> Option<&[u8]> {
        let end = (*self.ends.get(place)?)?;
        let start = self.ends.get(..place)?.iter().rev().find_map(|end| *end).unwrap_or(0);
        self.bytes.get(start as usize..end as usize)
    }

    pub fn uuid(&self, place: usize) -> Option<Uuid> {
        Uuid::from_slice(self.get(place)?).ok()
    }

    /// The value as it stands in a cursor.
    pub fn bind(&self, place: usize, column: &Column) -> Option<Bind> {
        let Some(raw) = self.get(place) else { return Some(null(column.kind)) };
        Some(match column.kind {
            Kind::Bool => Bind::Bool(Some(raw != [0])),
            Kind::Int => Bind::Int(Some(int(raw)?)),
            Kind::BigInt => Bind::BigInt(Some(long(raw)?)),
            Kind::Decimal => {
                let mut text = String::new();
                numeric(raw, &mut text)?;
                Bind::Decimal(Some(rust_decimal::Decimal::from_str(&text).ok()?))
            }
            Kind::Text => Bind::Text(Some(std::str::from_utf8(raw).ok()?.to_owned())),
            Kind::Uuid => Bind::Uuid(Some(Uuid::from_slice(raw).ok()?)),
            Kind::Time => Bind::Time(Some(chrono::DateTime::from_timestamp_micros(micros(raw)?)?)),
            Kind::Date => Bind::Date(Some(day(raw)?)),
            Kind::Json | Kind::Texts => return None,
        })
    }

    /// Writes the value at a place as JSON; None when it cannot be read.
    pub fn write(&self, place: usize, column: &Column, out: &mut String) -> Option<()> {
        let Some(raw) = self.get(place) else {
            out.push_str("null");
            return Some(());
        };
        match column.kind {
            Kind::Bool => out.push_str(if raw == [0] { "false" } else { "true" }),
            Kind::Int => write!(out, "{}", int(raw)?).ok()?,
            Kind::BigInt => write!(out, "{}", long(raw)?).ok()?,
            Kind::Decimal => {
                out.push('"');
                numeric(raw, out)?;
                out.push('"');
            }
            Kind::Text if column.is_enum => {
                out.push('"');
                out.extend(std::str::from_utf8(raw).ok()?.chars().map(|letter| letter.to_ascii_uppercase()));
                out.push('"');
            }
            Kind::Text => text(std::str::from_utf8(raw).ok()?, out),
            Kind::Uuid => write!(out, "\"{}\"", Uuid::from_slice(raw).ok()?).ok()?,
            Kind::Time => {
                let time = chrono::DateTime::from_timestamp_micros(micros(raw)?)?;
                write!(
                    out,
                    "\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z\"",
                    time.year(),
                    time.month(),
                    time.day(),
                    time.hour(),
                    time.minute(),
                    time.second(),
                    time.timestamp_subsec_millis()
                )
                .ok()?;
            }
            Kind::Date => {
                let day = day(raw)?;
                write!(out, "\"{:04}-{:02}-{:02}\"", day.year(), day.month(), day.day()).ok()?;
            }
            // The first byte of jsonb is its version.
            Kind::Json => out.push_str(std::str::from_utf8(raw.strip_prefix(&[1])?).ok()?),
            Kind::Texts => texts(raw, out)?,
        }
        Some(())
    }
}

fn null(kind: Kind) -> Bind {
    match kind {
        Kind::Bool => Bind::Bool(None),
        Kind::Int => Bind::Int(None),
        Kind::BigInt => Bind::BigInt(None),
        Kind::Decimal => Bind::Decimal(None),
        Kind::Text => Bind::Text(None),
        Kind::Uuid => Bind::Uuid(None),
        Kind::Time => Bind::Time(None),
        Kind::Date => Bind::Date(None),
        Kind::Json => Bind::Json(None),
        Kind::Texts => Bind::Texts(None),
    }
}

fn int(raw: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(raw.try_into().ok()?))
}

fn long(raw: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(raw.try_into().ok()?))
}

/// Microseconds since 1970; PostgreSQL counts from 2000.
fn micros(raw: &[u8]) -> Option<i64> {
    long(raw)?.checked_add(946_684_800_000_000)
}

fn day(raw: &[u8]) -> Option<NaiveDate> {
    let days = i64::from(int(raw)?);
    NaiveDate::from_ymd_opt(2000, 1, 1)?.checked_add_signed(chrono::TimeDelta::try_days(days)?)
}

/// A text in quotes.
pub fn text(value: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (place, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(value.get(plain..place).unwrap_or_default());
        plain = place + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
    }
    out.push_str(value.get(plain..).unwrap_or_default());
    out.push('"');
}

/// numeric: how many groups of four digits, the weight of the first, the sign, the places shown, then the groups.
fn numeric(raw: &[u8], out: &mut String) -> Option<()> {
    let short = |place: usize| Some(i16::from_be_bytes(raw.get(place * 2..place * 2 + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (short(0)?, short(1)?, short(2)?, short(3)?);
    if sign == 0x4000 {
        out.push('-');
    } else if sign != 0 {
        return None; // NaN and the infinities, which no column holds.
    }
    let group =
        |index: i16| if (0..count).contains(&index) { short(4 + usize::try_from(index).ok()?) } else { Some(0) };
    if weight < 0 {
        out.push('0');
    }
    for index in 0..=weight {
        let digits = group(index)?;
        if index == 0 { write!(out, "{digits}") } else { write!(out, "{digits:04}") }.ok()?;
    }
    if scale > 0 {
        out.push('.');
        let mut places = usize::try_from(scale).ok()?;
        let mut index = weight + 1;
        while places > 0 {
            let digits = format!("{:04}", if index < 0 { 0 } else { group(index)? });
            let shown = places.min(4);
            out.push_str(digits.get(..shown)?);
            places -= shown;
            index += 1;
        }
    }
    Some(())
}

/// text[]: dimensions, whether NULLs are in it, the element's type; for one dimension its length and first index; then
/// each element with its length.
fn texts(raw: &[u8], out: &mut String) -> Option<()> {
    let mut rest = raw;
    let mut next = || -> Option<i32> {
        let (head, tail) = rest.split_at_checked(4)?;
        rest = tail;
        int(head)
    };
    let dimensions = next()?;
    next()?;
    next()?;
    out.push('[');
    if dimensions == 1 {
        let count = next()?;
        next()?;
        let mut rest = raw.get(20..)?;
        for index in 0..count {
            let (head, tail) = rest.split_at_checked(4)?;
            let (element, tail) = tail.split_at_checked(usize::try_from(int(head)?).ok()?)?;
            rest = tail;
            if index > 0 {
                out.push(',');
            }
            text(std::str::from_utf8(element).ok()?, out);
        }
    } else if dimensions != 0 {
        return None;
    }
    out.push(']');
    Some(())
}
