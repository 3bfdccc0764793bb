//! A conversation as a file: all that was said in it. Invariants: who has the URL gets what the participant who asked for it may
//! read, and nothing more once they are not in the conversation; every message is in it once, in order; a file that could not be
//! finished breaks off, and never looks whole.

mod lines;

use super::{
    conversation::{Conversation, not_found},
    message::Message,
    participant::is_participant,
};
use crate::{
    error::{Error, Result},
    graphql::Query,
    identity::audit::Note,
    kit::{
        entity::{self, Entity},
        export::{self, Column, Export, Format, Granted, Rows, Url},
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Resource},
        relation::or_null,
        scope::Scope,
        value::Bind,
        write::{Stop, Tx},
    },
};
use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use lines::Line;
use uuid::Uuid;

/// Messages of a page at most.
const PAGE: u32 = 100;
/// Bytes that those of a page say at most, together with what they said before they were edited: by themselves these could be
/// hundreds of megabytes. A message alone may have more, some eight.
const BYTES: i64 = 4 * 1024 * 1024;

/// What a conversation is written as.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "Format")]
pub enum ConversationExportFormat {
    /// A table for spreadsheets (RFC 4180, UTF-8) whose first row has the names of the columns. What a spreadsheet would take
    /// for a formula has a `'` before it. Of earlier versions of a message it has none.
    Csv,
    /// An object a line, each a message: `seq id at senderId senderName kind body editedAt deletedAt pinnedAt threadRootSeq
    /// threadRootId replyCount reactions { emoji count members } attachments { name contentType size url } versions { version
    /// body writtenAt }`. Of reactions it names those members whom you may see, at most 100.
    JsonLines,
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
    #[graphql(flatten)]
    granted: Granted,
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
        or_null(ctx, async {
            let granted = export::grant(ctx, async move |tx| grant(tx, input).await).await?;
            Ok(Some(ConversationExportPayload { granted, query: Query::default() }))
        })
        .await
    }
}

async fn grant(tx: &mut Tx, input: ConversationExportInput) -> Result<Url, Stop> {
    let (conversation, format) = (input.conversation_id.0, Format::from(input.format));
    tx.scope.actor.demand(Resource::Conversation, Action::Read)?;
    if !is_participant(&tx.scope, tx.reader(), conversation).await? {
        return Err(not_found("conversationId"));
    }
    let url = export::url::<ConversationExport>(tx, format, &conversation)?;
    let url = url.ok_or_else(|| Error::ours("a grant too long for a URL"))?;
    let actor = &tx.scope.actor;
    let note = Note::own(actor.user, &tx.scope.request, "conversation_exported");
    let note = note.with("conversationId", (), conversation.to_string()).with("format", (), format.end());
    let note = note.change(actor.member);
    tx.record(note);
    Ok(url)
}

/// A file of a conversation, that is being read.
pub struct ConversationExport {
    conversation: Uuid,
    /// The number of the last message that was read.
    behind: i64,
}

impl Export for ConversationExport {
    const PURPOSE: &'static str = "conversation export";
    const FOLDER: &'static str = "/files/conversations/";
    const NAME: &'static str = "conversation";
    const COLUMNS: &'static [Column<Line>] = lines::COLUMNS;
    type Row = Line;
    /// The conversation.
    type Asked = Uuid;

    async fn open(scope: &Scope, conversation: Uuid) -> Result<Self> {
        demand(scope, &*scope.reader().await?, conversation).await?;
        Ok(ConversationExport { conversation, behind: 0 })
    }

    async fn page(&mut self, scope: &Scope, format: Format) -> Result<Rows<Line>> {
        let conn = scope.reader().await?;
        demand(scope, &conn, self.conversation).await?;
        let mut sql = entity::select(Message::table());
        entity::push_visible(Message::table(), scope, DeletedRecords::Include, &mut sql);
        sql.push(" AND t0.conversation_id = ").bind(Bind::Uuid(Some(self.conversation)));
        sql.push(" AND t0.seq > ").bind(Bind::BigInt(Some(self.behind)));
        // One more than is written tells whether there are more.
        sql.push(" ORDER BY t0.seq LIMIT ").number(PAGE + 1);
        let mut messages: Vec<Message> = sql.load(&mut &*conn).await?;
        let found = messages.len();
        messages.truncate(PAGE as usize);
        if format == Format::JsonLines {
            let said_before = lines::said_before(scope, &conn, &messages).await?;
            messages.truncate(fitting(&messages, &said_before));
        }
        self.behind = messages.last().map_or(self.behind, |message| message.seq);
        let more = messages.len() < found;
        Ok(Rows { rows: lines::of(scope, &conn, messages, format).await?, more })
    }
}

/// How many of these go into one piece: one at least.
fn fitting(messages: &[Message], said_before: &lines::Sizes) -> usize {
    let mut bytes = 0_i64;
    let fit = messages.iter().take_while(|message| {
        let body = message.body.as_ref().map_or(0, |body| i64::try_from(body.len()).unwrap_or(i64::MAX));
        let before = said_before.get(&message.id.0).copied().unwrap_or_default();
        bytes = bytes.saturating_add(body).saturating_add(before);
        bytes <= BYTES
    });
    fit.count().max(1)
}

/// FORBIDDEN for who is not in the conversation.
async fn demand(scope: &Scope, conn: &AsyncPgConnection, conversation: Uuid) -> Result<()> {
    scope.actor.demand(Resource::Conversation, Action::Read)?;
    if is_participant(scope, conn, conversation).await? {
        return Ok(());
    }
    Err(Error::forbidden("Only who is in a conversation may export it."))
}
