//! The audit trail as a file. Invariants: who has the URL gets what the member who asked for it may read, and nothing more
//! once they may not; every event that was there at the beginning is in it once, newest first; a file that could not be
//! finished breaks off, and never looks whole.

use super::{AuditEvent, AuditEventFilter, COLUMNS, Row, matching, written};
use crate::{
    app::App,
    error::{Code, Error, Result},
    graphql::Query,
    identity::{self, Member, audit::Note},
    kit::{
        entity,
        export::{LASTS, Pages, Purpose, unreadable},
        listing::{Place, Placed, Slice},
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        scalars::DateTime,
        scope::{Actor, Credential, RequestInfo, Scope},
        sql::Sql,
        user_error::{UserError, UserErrorCode},
        write::{Stop, Tx},
    },
};
use async_graphql::{Context, Enum, InputObject, InputType, Object, SimpleObject, Value};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// What the file is written as.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditExportFormat {
    /// A table for spreadsheets (RFC 4180, UTF-8) whose first row has the names of the columns. What a spreadsheet would take
    /// for a formula has a `'` before it.
    Csv,
    /// An object a line, with the fields that `auditEvents` answers, and `actorName`.
    JsonLines,
}

impl AuditExportFormat {
    /// The media type, and the end of the file's name.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            AuditExportFormat::Csv => ("text/csv; charset=utf-8", "csv"),
            AuditExportFormat::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
        }
    }
}

/// What to export.
#[derive(InputObject)]
pub struct AuditExportInput {
    /// Which events; all unless given.
    filter: Option<AuditEventFilter>,
    /// What the file is written as.
    format: AuditExportFormat,
}

/// What came of asking for a file of the audit trail.
#[derive(SimpleObject)]
pub struct AuditExportPayload {
    /// Where to fetch the file, by GET and without headers, within five minutes. Resolve it against the address of the API
    /// (`new URL(url, endpoint)`). Whoever has it can read the events, as long as you may. Null when there are user errors.
    url: Option<String>,
    /// Until when the URL is good; null when there are user errors.
    expires_at: Option<DateTime>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: Query,
}

#[derive(Default)]
pub struct AuditMutation;

#[Object]
impl AuditMutation {
    /// Grants a file of what happened in the organization: all that `auditEvents` lists, newest first. That it was asked for
    /// is told in the audit trail. A filter that is too long for a URL is TOO_LONG.
    ///
    /// Errors: FORBIDDEN without the permissions READ and EXPORT on AUDIT.
    async fn audit_export(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to export.")] input: AuditExportInput,
    ) -> Option<AuditExportPayload> {
        Box::pin(or_null(ctx, async {
            let mut tx = scope(ctx)?.begin().await?;
            let granted = grant(&mut tx, input);
            let (url, expires_at, user_errors) = match tx.finish(granted).await? {
                Ok((url, until)) => (Some(url), Some(until), Vec::new()),
                Err(rejection) => (None, None, rejection.errors.into()),
            };
            Ok(Some(AuditExportPayload { url, expires_at, user_errors, query: Query::default() }))
        }))
        .await
    }
}

/// What a URL grants; sealed, so that it can stand in one.
#[derive(Serialize, Deserialize)]
struct Grant {
    credential: Credential,
    filter: Json,
    format: AuditExportFormat,
}

fn grant(tx: &mut Tx, input: AuditExportInput) -> Result<(String, DateTime), Stop> {
    let actor = &tx.scope.actor;
    demand(actor)?;
    let filter = input.filter.unwrap_or_default();
    let asked = given(filter.to_value().into_json().map_err(Error::from)?);
    // Refused now, if it has to be.
    matching(actor, filter)?;
    let grant = Grant { credential: actor.credential.clone(), filter: asked.clone(), format: input.format };
    let message = "This filter is too long for a URL. Ask for fewer values, or for several files.";
    let granted = Export::PURPOSE.url(&tx.scope, tx.now, &grant)?;
    let granted = granted.ok_or_else(|| Stop::at("filter", UserErrorCode::TooLong, message))?;
    let note = Note::own(actor.user, &tx.scope.request, "audit_exported").with("format", (), input.format.names().1);
    let note = note.with("filter", (), asked).change(actor.member);
    tx.record(note);
    Ok(granted)
}

/// Without the conditions that were not given.
fn given(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            let given = fields.into_iter().filter(|(_, value)| !value.is_null());
            Json::Object(given.map(|(name, value)| (name, self::given(value))).collect())
        }
        other => other,
    }
}

fn demand(actor: &Actor) -> Result<()> {
    actor.demand(Resource::Audit, Action::Read)?;
    actor.demand(Resource::Audit, Action::Export).map(drop)
}

/// A file that is being written.
pub struct Export {
    format: AuditExportFormat,
    scope: Scope,
    from: Sql,
    /// The last event that was read.
    behind: Option<Place>,
    ends: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begun,
    Reading,
    Done,
}

impl Export {
    /// Events, whether there are more, and what the members are called who did it, as far as one may see them.
    async fn page(&self) -> Result<(Vec<AuditEvent>, bool, written::Names)> {
        let scope = self.scope.fresh();
        // What is taken away is gone within a second, also from here.
        identity::recheck(&scope).await?;
        let slice = Slice::behind(self.behind);
        let page = slice.read(&scope, COLUMNS, self.from.clone(), |row: Row| row.event(&scope.actor)).await?;
        let mut actors: Vec<Uuid> = page.entries.iter().filter_map(|event| event.actor_id.map(|id| id.0)).collect();
        actors.sort_unstable();
        actors.dedup();
        let members = entity::find_many::<Member>(&scope, &*scope.reader().await?, actors).await?;
        let names = members.into_iter().map(|member| (member.id.0, member.name)).collect();
        Ok((page.entries, page.has_next, names))
    }
}

impl Pages for Export {
    const PURPOSE: Purpose = Purpose { name: "audit export", folder: "/files/exports/" };

    async fn open(app: &Arc<App>, organization: Uuid, sealed: &str, request: RequestInfo) -> Result<Self> {
        let mut grant: Grant = Self::PURPOSE.granted(app, organization, sealed)?;
        let filter = Value::from_json(grant.filter.take()).ok();
        let filter = filter.and_then(|filter| AuditEventFilter::parse(Some(filter)).ok()).ok_or_else(unreadable)?;
        let scope = identity::resume(app, organization, grant.credential, request).await?;
        demand(&scope.actor)?;
        let from = matching(&scope.actor, filter)?;
        let ends = Instant::now() + LASTS;
        Ok(Export { format: grant.format, scope, from, behind: None, ends, state: State::Begun })
    }

    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn names(&self) -> (&'static str, String) {
        let (media_type, end) = self.format.names();
        (media_type, format!("audit-{}.{end}", Utc::now().format("%Y-%m-%d")))
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.state == State::Done {
            return Ok(None);
        }
        let late = |elapsed| Error::TooSlow(Code::Timeout, Arc::new(elapsed));
        let (events, more, names) = timeout_at(self.ends, self.page()).await.map_err(late)??;
        let head = self.state == State::Begun;
        self.state = if more { State::Reading } else { State::Done };
        self.behind = events.last().map(Placed::place).or(self.behind);
        let piece = match self.format {
            AuditExportFormat::Csv => written::csv(&events, &names, head)?,
            AuditExportFormat::JsonLines => written::json_lines(&events, &names)?,
        };
        Ok(Some(piece))
    }
}
