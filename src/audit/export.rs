//! The audit trail as a file. Invariants: who has the URL gets what the member who asked for it may read, and nothing more
//! once they may not; every event that was there at the beginning is in it once, newest first; a file that could not be
//! finished breaks off, and never looks whole.

use super::{AuditEvent, AuditEventFilter, COLUMNS, Row, matching};
use crate::{
    error::{Error, Result},
    graphql::Query,
    identity::{Member, audit::Note},
    kit::{
        entity,
        export::{self, Column, Export, Format, Granted, Rows, Url, spelled, time, unreadable},
        listing::{Place, Placed, Slice},
        permission::{Action, Resource},
        relation::or_null,
        scope::{Actor, Scope},
        sql::Sql,
        user_error::UserErrorCode,
        write::{Stop, Tx},
    },
};
use async_graphql::{Context, Enum, InputObject, InputType, Object, SimpleObject, Value};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use uuid::Uuid;

/// What the file is written as.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "Format")]
pub enum AuditExportFormat {
    /// A table for spreadsheets (RFC 4180, UTF-8) whose first row has the names of the columns. What a spreadsheet would take
    /// for a formula has a `'` before it.
    Csv,
    /// An object a line, with the fields that `auditEvents` answers, and `actorName`.
    JsonLines,
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
    #[graphql(flatten)]
    granted: Granted,
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
        or_null(ctx, async {
            let granted = export::grant(ctx, async move |tx| grant(tx, input)).await?;
            Ok(Some(AuditExportPayload { granted, query: Query::default() }))
        })
        .await
    }
}

fn grant(tx: &mut Tx, input: AuditExportInput) -> Result<Url, Stop> {
    let (actor, format) = (&tx.scope.actor, Format::from(input.format));
    demand(actor)?;
    let filter = input.filter.unwrap_or_default();
    let asked = given(filter.to_value().into_json().map_err(Error::from)?);
    // Refused now, if it has to be.
    matching(actor, filter)?;
    let message = "This filter is too long for a URL. Ask for fewer values, or for several files.";
    let url = export::url::<AuditExport>(tx, format, &asked)?;
    let url = url.ok_or_else(|| Stop::at("filter", UserErrorCode::TooLong, message))?;
    let note = Note::own(actor.user, &tx.scope.request, "audit_exported").with("format", (), format.end());
    let note = note.with("filter", (), asked).change(actor.member);
    tx.record(note);
    Ok(url)
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

/// A file of the audit trail, that is being read.
pub struct AuditExport {
    from: Sql,
    /// The last event that was read.
    behind: Option<Place>,
}

/// An event, and what the member is called who did it, as far as the reader may see them.
pub struct Line {
    event: AuditEvent,
    actor: Option<String>,
}

impl Export for AuditExport {
    const PURPOSE: &'static str = "audit export";
    const FOLDER: &'static str = "/files/exports/";
    const NAME: &'static str = "audit";
    const COLUMNS: &'static [Column<Line>] = &[
        Column::new("at", |line| time(Some(line.event.at))),
        Column::new("action", |line| json!(line.event.action)),
        Column::new("entity", |line| json!(line.event.entity)),
        Column::new("entityId", |line| json!(line.event.entity_id.0)),
        Column::new("actorKind", |line| spelled(line.event.actor_kind)),
        Column::new("actorId", |line| json!(line.event.actor_id.map(|id| id.0))),
        Column::new("actorName", |line| json!(line.actor)),
        Column::new("apiKeyId", |line| json!(line.event.api_key_id.map(|id| id.0))),
        Column::new("address", |line| json!(line.event.address)),
        Column::new("userAgent", |line| json!(line.event.user_agent)),
        Column::new("requestId", |line| json!(line.event.request_id)),
        Column::new("changes", |line| line.changes()),
        Column::new("id", |line| json!(line.event.id.0)),
    ];
    type Row = Line;
    /// The filter.
    type Asked = Json;

    async fn open(scope: &Scope, asked: Json) -> Result<Self> {
        demand(&scope.actor)?;
        let filter = Value::from_json(asked).ok();
        let filter = filter.and_then(|filter| AuditEventFilter::parse(Some(filter)).ok()).ok_or_else(unreadable)?;
        Ok(AuditExport { from: matching(&scope.actor, filter)?, behind: None })
    }

    async fn page(&mut self, scope: &Scope, _: Format) -> Result<Rows<Line>> {
        let slice = Slice::behind(self.behind);
        let page = slice.read(scope, COLUMNS, self.from.clone(), |row: Row| row.event(&scope.actor)).await?;
        self.behind = page.entries.last().map(Placed::place).or(self.behind);
        let mut actors: Vec<Uuid> = page.entries.iter().filter_map(|event| event.actor_id.map(|id| id.0)).collect();
        actors.sort_unstable();
        actors.dedup();
        let members = entity::find_many::<Member>(scope, &*scope.reader().await?, actors).await?;
        let names: HashMap<_, _> = members.into_iter().map(|member| (member.id, member.name)).collect();
        let line = |event: AuditEvent| {
            let actor = event.actor_id.and_then(|id| names.get(&id).cloned());
            Line { event, actor }
        };
        Ok(Rows { rows: page.entries.into_iter().map(line).collect(), more: page.has_next })
    }
}

impl Line {
    fn changes(&self) -> Json {
        let told = self.event.changes.iter().map(|change| {
            let [old, new] = [&change.old, &change.new].map(|value| value.as_ref().map(|value| &value.0));
            json!({ "field": change.field, "old": old, "new": new })
        });
        told.collect()
    }
}
