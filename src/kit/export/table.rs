//! What files are written as: a table for spreadsheets, or an object a line. Both follow from one list of columns.

use crate::{
    error::{Error, Result},
    kit::scalars::DateTime,
};
use async_graphql::{ScalarType, resolver_utils};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::borrow::Cow;

/// What a file is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    Csv,
    JsonLines,
}

/// What a file tells of each row: a column of the table, and a field of the object.
pub struct Column<R> {
    name: &'static str,
    value: fn(&R) -> Json,
    cell: Cell<R>,
}

/// What stands in the table.
enum Cell<R> {
    /// The value: nothing for null and an empty list, JSON for what is no text.
    Value,
    Text(fn(&R) -> String),
    /// There is no such column.
    None,
}

impl<R> Column<R> {
    pub const fn new(name: &'static str, value: fn(&R) -> Json) -> Self {
        Column { name, value, cell: Cell::Value }
    }

    /// As `new`, of what a table says in words of its own.
    pub const fn in_words(name: &'static str, value: fn(&R) -> Json, words: fn(&R) -> String) -> Self {
        Column { name, value, cell: Cell::Text(words) }
    }

    /// As `new`, of what no table has.
    pub const fn in_lines_only(name: &'static str, value: fn(&R) -> Json) -> Self {
        Column { name, value, cell: Cell::None }
    }

    /// Its cell of a row; None: the table has no such column.
    fn cell(&self, row: &R) -> Option<String> {
        match self.cell {
            Cell::None => None,
            Cell::Text(words) => Some(words(row)),
            Cell::Value => Some(match (self.value)(row) {
                Json::Null => String::new(),
                Json::String(text) => text,
                Json::Array(entries) if entries.is_empty() => String::new(),
                other => other.to_string(),
            }),
        }
    }
}

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::JsonLines => "application/jsonl; charset=utf-8",
        }
    }

    /// How the file's name ends.
    pub fn end(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::JsonLines => "jsonl",
        }
    }

    /// A part of a file, or its beginning, where a table names its columns.
    pub fn write<R>(self, columns: &[Column<R>], rows: &[R], begins: bool) -> Result<Vec<u8>> {
        match self {
            Format::Csv => csv(columns, rows, begins),
            Format::JsonLines => json_lines(columns, rows),
        }
    }
}

fn json_lines<R>(columns: &[Column<R>], rows: &[R]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows {
        let fields = columns.iter().map(|column| (column.name.to_owned(), (column.value)(row)));
        serde_json::to_writer(&mut lines, &fields.collect::<serde_json::Map<String, Json>>())?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// By RFC 4180, each cell in quotes: programs that take semicolons and tabs for separators as well, as LibreOffice does unless
/// told otherwise, must not find the beginning of another cell within one.
fn csv<R>(columns: &[Column<R>], rows: &[R], begins: bool) -> Result<Vec<u8>> {
    let mut table = csv::WriterBuilder::new();
    table.terminator(csv::Terminator::CRLF).quote_style(csv::QuoteStyle::Always);
    let mut table = table.from_writer(Vec::new());
    if begins {
        let names = columns.iter().filter(|column| !matches!(column.cell, Cell::None)).map(|column| column.name);
        table.write_record(names).map_err(Error::ours)?;
    }
    for row in rows {
        for cell in columns.iter().filter_map(|column| column.cell(row)) {
            table.write_field(&*harmless(&cell)).map_err(Error::ours)?;
        }
        table.write_record(None::<&[u8]>).map_err(Error::ours)?;
    }
    table.into_inner().map_err(|fault| Error::ours(fault.to_string()))
}

/// With `'` before what a spreadsheet would compute (OWASP, CSV injection), in letters of full width too.
fn harmless(text: &str) -> Cow<'_, str> {
    const BEGINS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if text.starts_with(BEGINS) { format!("'{text}").into() } else { text.into() }
}

/// A time as the schema writes it.
pub fn time(at: Option<DateTime>) -> Json {
    at.and_then(|at| at.to_value().into_json().ok()).unwrap_or_default()
}

/// A word of an enum as the schema spells it.
pub fn spelled<E: resolver_utils::EnumType>(word: E) -> Json {
    resolver_utils::enum_value(word).into_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Row(&'static str);

    const COLUMNS: &[Column<Row>] = &[
        Column::new("said", |row| json!(row.0)),
        Column::in_words("list", |row| json!([row.0, 1]), |row| format!("{}!", row.0)),
        Column::in_lines_only("more", |row| json!({ "of": row.0 })),
        Column::new("nothing", |_| json!([])),
        Column::new("number", |_| json!(-1)),
    ];

    fn written(format: Format, rows: &[Row], begins: bool) -> String {
        String::from_utf8(format.write(COLUMNS, rows, begins).unwrap()).unwrap()
    }

    #[test]
    fn a_cell_is_a_text_whatever_it_says() {
        for (content, expected) in [
            ("plain", "plain"),
            ("a,b", "a,b"),
            ("say \"hi\"", "say \"\"hi\"\""),
            ("two\r\nlines", "two\r\nlines"),
            ("=HYPERLINK(\"http://evil\")", "'=HYPERLINK(\"\"http://evil\"\")"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("\n=1", "'\n=1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("x\",\"=1+1", "x\"\",\"\"=1+1"),
            ("x;=1+1", "x;=1+1"),
            ("x\t=1+1", "x\t=1+1"),
        ] {
            let table = written(Format::Csv, &[Row(content)], false);
            assert_eq!(table, format!("\"{expected}\",\"{expected}!\",\"\",\"'-1\"\r\n"));
            // And back.
            let mut read = csv::ReaderBuilder::new().has_headers(false).from_reader(table.as_bytes());
            let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
            assert_eq!((rows.len(), rows[0].len(), &rows[0][0]), (1, 4, &*harmless(content)));
        }
    }

    #[test]
    fn a_table_begins_with_the_names_of_its_columns() {
        let head = "\"said\",\"list\",\"nothing\",\"number\"\r\n";
        assert_eq!(written(Format::Csv, &[], true), head);
        assert_eq!(written(Format::Csv, &[Row("a")], true), format!("{head}\"a\",\"a!\",\"\",\"'-1\"\r\n"));
        assert_eq!(written(Format::Csv, &[], false), "");
    }

    #[test]
    fn a_line_is_an_object() {
        let lines = written(Format::JsonLines, &[Row("a"), Row("=b\nc")], true);
        let lines: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |said| json!({ "said": said, "list": [said, 1], "more": { "of": said }, "nothing": [], "number": -1 });
        assert_eq!(lines, [of("a"), of("=b\nc")]);
    }
}
