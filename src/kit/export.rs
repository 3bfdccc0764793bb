//! Files that are written page by page, for whoever has the URL. Invariants: a URL is good for five minutes and grants what it was
//! sealed for; who reads by it is who asked for it, looked at anew for every page; nothing in a cell of a table can pass for
//! another one, another line, or for something that a spreadsheet computes.

use super::{
    scalars::DateTime,
    scope::{RequestInfo, Scope},
};
use crate::{
    app::App,
    error::{Error, Result},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use std::{borrow::Cow, future::Future, sync::Arc, time::Duration};
use uuid::Uuid;

/// How long a URL is good, in seconds: to begin with. Whoever has begun goes on.
const GOOD: i64 = 300;
/// Bytes of what a URL grants, at most: proxies take lines of 8 KiB, and it becomes longer by a third.
const MOST: usize = 4096;
/// How long a file may take: its place is wanted by others. A million lines are some minutes of a slow connection.
pub const LASTS: Duration = Duration::from_secs(3600);

/// A file that is being written.
pub trait Pages: Sized + Send + 'static {
    /// Where it is fetched, and what its URLs are sealed for.
    const PURPOSE: Purpose;

    /// What a URL of ours grants. NOT_FOUND when nobody can know any more; FORBIDDEN, UNAUTHENTICATED and
    /// ORGANIZATION_SUSPENDED when whoever asked for it may not read it any more.
    fn open(
        app: &Arc<App>,
        organization: Uuid,
        sealed: &str,
        request: RequestInfo,
    ) -> impl Future<Output = Result<Self>> + Send;
    /// Who reads.
    fn scope(&self) -> &Scope;
    /// The media type, and what the file is called.
    fn names(&self) -> (&'static str, String);
    /// The next piece of the file. `None`: that was all. An error: it has to break off.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>>> + Send;
}

/// What a URL grants, as what, and where it is fetched.
pub struct Purpose {
    pub name: &'static str,
    /// Such as `/files/exports/`.
    pub folder: &'static str,
}

impl Purpose {
    /// A URL that grants this, and until when; None: it is too much for a URL.
    pub fn url(&self, scope: &Scope, now: DateTime, granted: &impl Serialize) -> Result<Option<(String, DateTime)>> {
        let granted = serde_json::to_vec(granted)?;
        if granted.len() > MOST {
            return Ok(None);
        }
        let organization = scope.actor.organization;
        let sealed = URL_SAFE_NO_PAD.encode(scope.app.vault.seal(self.name, organization, &granted)?);
        let until = DateTime(now.0 + TimeDelta::seconds(GOOD));
        let path = format!("{}{organization}/{sealed}", self.folder);
        Ok(Some((scope.app.urls.url("GET", &path, until.0.timestamp()), until)))
    }

    /// What a URL of ours grants. NOT_FOUND when nobody can know any more.
    pub fn granted<T: DeserializeOwned>(&self, app: &App, organization: Uuid, sealed: &str) -> Result<T> {
        let opened = || {
            let granted = app.vault.open(self.name, organization, &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
            serde_json::from_slice(&granted).ok()
        };
        opened().ok_or_else(unreadable)
    }
}

/// What is told of a URL that means nothing any more.
pub fn unreadable() -> Error {
    Error::not_found("This URL cannot be read any more. Ask for another one.")
}

/// An object a line.
pub fn json_lines<const N: usize>(columns: &[&str; N], rows: impl IntoIterator<Item = [Json; N]>) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows {
        let line: serde_json::Map<String, Json> = columns.iter().map(|name| (*name).to_owned()).zip(row).collect();
        serde_json::to_writer(&mut lines, &line)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Rows of a table (RFC 4180), behind the names of its columns at the `head` of the file.
pub fn csv<const N: usize>(
    columns: &[&str; N],
    rows: impl IntoIterator<Item = [Json; N]>,
    head: bool,
) -> Result<Vec<u8>> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if head {
        table.write_record(columns).map_err(Error::ours)?;
    }
    for row in rows {
        for field in row {
            let text = match field {
                Json::Null => String::new(),
                Json::String(text) => text,
                Json::Array(entries) if entries.is_empty() => String::new(),
                other => other.to_string(),
            };
            table.write_field(&*harmless(&text)).map_err(Error::ours)?;
        }
        table.write_record(None::<&[u8]>).map_err(Error::ours)?;
    }
    table.into_inner().map_err(|fault| Error::ours(fault.to_string()))
}

/// With `'` before what a spreadsheet would compute (OWASP, CSV injection), in letters of full width too.
pub fn harmless(text: &str) -> Cow<'_, str> {
    const BEGINS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if text.starts_with(BEGINS) { format!("'{text}").into() } else { text.into() }
}
