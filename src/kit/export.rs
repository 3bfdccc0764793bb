//! Files that are written page by page, for whoever has the URL. Invariants: a URL is good for five minutes and grants what it was
//! sealed for; who reads by it is who asked for it, looked at anew for every page; nothing in a cell of a table can pass for
//! another one, another line, or for something that a spreadsheet computes.
//!
//! A kind of file is an [`Export`]: where it is fetched, its columns, its pages. `server::files::export` writes all of them.

mod table;

pub use table::{Column, Format, spelled, time};

use super::{
    resolve::scope,
    scalars::DateTime,
    scope::{Credential, Scope},
    user_error::UserError,
    write::{Stop, Tx},
};
use crate::{
    app::App,
    error::{Error, Result},
};
use async_graphql::{Context, SimpleObject};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::future::Future;
use uuid::Uuid;

/// How long a URL is good, in seconds: to begin with. Whoever has begun goes on.
const GOOD: i64 = 300;
/// Bytes of what a URL grants, at most: proxies take lines of 8 KiB, and it becomes longer by a third.
const MOST: usize = 4096;

/// A kind of file, and one that is being read.
pub trait Export: Sized + Send + 'static {
    /// What its URLs are sealed for; never changes.
    const PURPOSE: &'static str;
    /// Where it is fetched, such as `/files/exports/`.
    const FOLDER: &'static str;
    /// What the file is called, before its day.
    const NAME: &'static str;
    /// What it tells of each row.
    const COLUMNS: &'static [Column<Self::Row>];
    type Row: Send + 'static;
    /// What of it somebody asks for.
    type Asked: Serialize + DeserializeOwned + Send;

    /// Begins with what was asked for. FORBIDDEN where this member may not read it any more.
    fn open(scope: &Scope, asked: Self::Asked) -> impl Future<Output = Result<Self>> + Send;

    /// The next rows. The credential and role of who reads stand as they did when it began; whatever else the right to read
    /// hangs on is asked for here. An error: the file has to break off.
    fn page(&mut self, scope: &Scope, format: Format) -> impl Future<Output = Result<Rows<Self::Row>>> + Send;
}

/// Rows of a file.
pub struct Rows<R> {
    pub rows: Vec<R>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// What a URL grants.
#[derive(Serialize, Deserialize)]
pub struct Grant<A> {
    pub credential: Credential,
    pub format: Format,
    pub asked: A,
}

/// A URL, and until when it is good.
pub type Url = (String, DateTime);

/// A URL that grants a file to whoever has it, as what the caller may read; None: what is asked for is too long for a URL.
pub fn url<E: Export>(tx: &Tx, format: Format, asked: &E::Asked) -> Result<Option<Url>> {
    let Scope { app, actor, .. } = &tx.scope;
    let granted = serde_json::to_vec(&Grant { credential: actor.credential.clone(), format, asked })?;
    if granted.len() > MOST {
        return Ok(None);
    }
    let sealed = URL_SAFE_NO_PAD.encode(app.vault.seal(E::PURPOSE, actor.organization, &granted)?);
    let until = DateTime(tx.now.0 + TimeDelta::seconds(GOOD));
    let path = format!("{}{}/{sealed}", E::FOLDER, actor.organization);
    Ok(Some((app.urls.url("GET", &path, until.0.timestamp()), until)))
}

/// What a URL of ours grants. NOT_FOUND when nobody can know any more.
pub fn granted<E: Export>(app: &App, organization: Uuid, sealed: &str) -> Result<Grant<E::Asked>> {
    let opened = || {
        let granted = app.vault.open(E::PURPOSE, organization, &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
        serde_json::from_slice(&granted).ok()
    };
    opened().ok_or_else(unreadable)
}

/// What is told of a URL that means nothing any more.
pub fn unreadable() -> Error {
    Error::not_found("This URL cannot be read any more. Ask for another one.")
}

/// What payloads say of a file that was asked for.
#[derive(SimpleObject, Default)]
pub struct Granted {
    /// Where to fetch the file, by GET and without headers, within five minutes. Resolve it against the address of the API
    /// (`new URL(url, endpoint)`). Whoever has it can read the file, as long as you may. Null when there are user errors.
    url: Option<String>,
    /// Until when the URL is good; null when there are user errors.
    expires_at: Option<DateTime>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
}

/// Grants a file: `ask` looks whether the caller may have it, and notes that they asked.
pub async fn grant(ctx: &Context<'_>, ask: impl AsyncFnOnce(&mut Tx) -> Result<Url, Stop>) -> Result<Granted> {
    let mut tx = scope(ctx)?.begin().await?;
    let asked = ask(&mut tx).await;
    Ok(match tx.finish(asked).await? {
        Ok((url, until)) => Granted { url: Some(url), expires_at: Some(until), user_errors: Vec::new() },
        Err(rejection) => Granted { user_errors: rejection.errors.into(), ..Granted::default() },
    })
}
