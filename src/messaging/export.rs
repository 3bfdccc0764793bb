//! A conversation as a file: all that was said in it. Invariants: who has the URL gets what the participant who asked for it may
//! read, and nothing more once they are not in the conversation; every message is in it once, in order; a file that could not be
//! finished breaks off, and never looks whole.

mod written;

use super::{
    conversation::{Conversation, not_found},
    message::Message,
    participant::is_participant,
};
use crate::{
    app::App,
    error::{Code, Error, Result},
    graphql::Query,
    identity::{self, audit::Note},
    kit::{
        entity::{self, Entity},
        export::{LASTS, Pages, Purpose},
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        scalars::DateTime,
        scope::{Credential, RequestInfo, Scope},
        user_error::UserError,
        value::Bind,
        write::{Stop, Tx},
    },
};
use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// Messages of a page.
const PAGE: u32 = 100;

/// What a conversation is written as.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConversationExportFormat {
    /// A table for spreadsheets (RFC 4180, UTF-8) whose first row has the names of the columns. What a spreadsheet would take
    /// for a formula has a `'` before it. Of earlier versions of a message it has none.
    Csv,
    /// An object a line, each a message: `seq id at senderId senderName body editedAt deletedAt pinnedAt threadRootSeq
    /// threadRootId replyCount reactions { emoji count members } attachments { name contentType size url } versions { version
    /// body writtenAt }`.
    JsonLines,
}

impl ConversationExportFormat {
    /// The media type, and the end of the file's name.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            ConversationExportFormat::Csv => ("text/csv; charset=utf-8", "csv"),
            ConversationExportFormat::JsonLines => ("application/jsonl; charset=utf-8", "jsonl"),
        }
    }
}

/// What to export.
#[derive(InputObject)]
pub struct ConversationExportInput {
    /// Which conversation; you have to be in it. An archived one is as good as any.
    conversation_id: Id<Conversation>,
    /// What the file is written as.
    format: ConversationExportFormat,
}

/// What came of asking for a conversation as a file.
#[derive(SimpleObject)]
pub struct ConversationExportPayload {
    /// Where to fetch the file, by GET and without headers, within five minutes. Resolve it against the address of the API
    /// (`new URL(url, endpoint)`). Whoever has it can read the conversation, as long as you are in it. Null when there are user
    /// errors.
    url: Option<String>,
    /// Until when the URL is good; null when there are user errors.
    expires_at: Option<DateTime>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: Query,
}

/// Mutations.
#[derive(Default)]
pub struct ConversationExportMutation;

#[Object]
impl ConversationExportMutation {
    /// Grants a file of all that was said in a conversation, oldest first: with threads, reactions, earlier versions, and the
    /// names and URLs of attachments, which are good for one to two hours. Deleted messages keep their place in it. That it was
    /// asked for is told in the audit trail.
    async fn conversation_export(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation, and as what.")] input: ConversationExportInput,
    ) -> Option<ConversationExportPayload> {
        Box::pin(or_null(ctx, async {
            let mut tx = scope(ctx)?.begin().await?;
            let granted = grant(&mut tx, input).await;
            let (url, expires_at, user_errors) = match tx.finish(granted).await? {
                Ok((url, until)) => (Some(url), Some(until), Vec::new()),
                Err(rejection) => (None, None, rejection.errors.into()),
            };
            Ok(Some(ConversationExportPayload { url, expires_at, user_errors, query: Query::default() }))
        }))
        .await
    }
}

/// What a URL grants.
#[derive(Serialize, Deserialize)]
struct Grant {
    credential: Credential,
    conversation: Uuid,
    format: ConversationExportFormat,
}

async fn grant(tx: &mut Tx, input: ConversationExportInput) -> Result<(String, DateTime), Stop> {
    let conversation = input.conversation_id.0;
    tx.scope.actor.demand(Resource::Conversation, Action::Read)?;
    if !is_participant(&tx.scope, tx.reader(), conversation).await? {
        return Err(not_found("conversationId"));
    }
    let actor = &tx.scope.actor;
    let grant = Grant { credential: actor.credential.clone(), conversation, format: input.format };
    let granted =
        Export::PURPOSE.url(&tx.scope, tx.now, &grant)?.ok_or_else(|| Error::ours("a grant too long for a URL"))?;
    let note = Note::own(actor.user, &tx.scope.request, "conversation_exported");
    let note = note.with("conversationId", (), conversation.to_string()).with("format", (), input.format.names().1);
    let note = note.change(actor.member);
    tx.record(note);
    Ok(granted)
}

/// A file that is being written.
pub struct Export {
    format: ConversationExportFormat,
    scope: Scope,
    conversation: Uuid,
    /// The number of the last message that was read.
    behind: i64,
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
    /// Messages, and whether there are more.
    async fn page(&self) -> Result<(Vec<Message>, bool, written::Beside)> {
        let scope = self.scope.fresh();
        // What is taken away is gone within a second, also from here.
        identity::recheck(&scope).await?;
        demand(&scope, self.conversation).await?;
        let conn = scope.reader().await?;
        let mut sql = entity::select(Message::table());
        entity::push_visible(Message::table(), &scope, DeletedRecords::Include, &mut sql);
        sql.push(" AND t0.conversation_id = ").bind(Bind::Uuid(Some(self.conversation)));
        sql.push(" AND t0.seq > ").bind(Bind::BigInt(Some(self.behind)));
        // One more than is written tells whether there are more.
        sql.push(" ORDER BY t0.seq LIMIT ").number(PAGE + 1);
        let mut messages: Vec<Message> = sql.load(&mut &*conn).await?;
        let more = messages.len() > PAGE as usize;
        messages.truncate(PAGE as usize);
        let beside = written::Beside::of(&scope, &conn, &messages).await?;
        Ok((messages, more, beside))
    }
}

/// FORBIDDEN for who is not in the conversation.
async fn demand(scope: &Scope, conversation: Uuid) -> Result<()> {
    scope.actor.demand(Resource::Conversation, Action::Read)?;
    if is_participant(scope, &*scope.reader().await?, conversation).await? {
        return Ok(());
    }
    Err(Error::forbidden("Only who is in a conversation may export it."))
}

impl Pages for Export {
    const PURPOSE: Purpose = Purpose { name: "conversation export", folder: "/files/conversations/" };

    async fn open(app: &Arc<App>, organization: Uuid, sealed: &str, request: RequestInfo) -> Result<Self> {
        let Grant { credential, conversation, format } = Self::PURPOSE.granted(app, organization, sealed)?;
        let scope = identity::resume(app, organization, credential, request).await?;
        demand(&scope, conversation).await?;
        Ok(Export { format, scope, conversation, behind: 0, ends: Instant::now() + LASTS, state: State::Begun })
    }

    fn scope(&self) -> &Scope {
        &self.scope
    }

    fn names(&self) -> (&'static str, String) {
        let (media_type, end) = self.format.names();
        (media_type, format!("conversation-{}.{end}", Utc::now().format("%Y-%m-%d")))
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.state == State::Done {
            return Ok(None);
        }
        let late = |elapsed| Error::TooSlow(Code::Timeout, Arc::new(elapsed));
        let (messages, more, beside) = timeout_at(self.ends, self.page()).await.map_err(late)??;
        let head = self.state == State::Begun;
        self.state = if more { State::Reading } else { State::Done };
        self.behind = messages.last().map_or(self.behind, |message| message.seq);
        let piece = match self.format {
            ConversationExportFormat::Csv => written::csv(&messages, &beside, head)?,
            ConversationExportFormat::JsonLines => written::json_lines(&messages, &beside)?,
        };
        Ok(Some(piece))
    }
}
