//! Messages around a place in the middle of a conversation: what a link, a hit of a search or a date leads to. Invariant: from
//! there one pages on in both directions with the cursors of `Conversation.messages`, without a gap and without a repeat.

use super::{
    conversation::Conversation,
    message::{Message, MessageFilter},
};
use crate::{
    error::{Error, Result},
    kit::{
        entity::{self, Entity, List, ListArgs, page_selections},
        filter::Filter,
        id::Id,
        page::{Connection, Page},
        predicate::{Compare, Predicate},
        relation::or_null,
        resolve::{scope, selections},
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{Context, Object, OneofObject, SelectionField};
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use std::sync::Arc;

/// Messages on each side at most: both together are a page.
const MOST: u32 = 50;
/// Unless said otherwise: both together are a page that nobody has asked the size of.
const SIZES: (i32, i32) = (13, 12);

/// A place in a conversation.
#[derive(Clone, Debug, OneofObject)]
pub enum MessagePlace {
    /// This message.
    MessageId(Id<Message>),
    /// The message with this number, or the first one behind it.
    Seq(i64),
    /// The first message at this time or later.
    At(DateTime),
}

/// Queries.
#[derive(Default)]
pub struct HistoryQuery;

#[Object]
impl HistoryQuery {
    /// Messages of a conversation around a place, newest first: the one that stands there and older ones, and before it newer
    /// ones. Go on with the cursors of the page in `Conversation.messages` (in its own order): `after: endCursor` for
    /// older, `before: startCursor` for newer ones. `totalCount` counts the whole conversation. Null: there is no such
    /// conversation, or no such message in it, that you may see.
    async fn messages_around(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation.")] conversation_id: Id<Conversation>,
        #[graphql(desc = "Around what. Behind the newest message, the newest ones are shown.")] place: MessagePlace,
        #[graphql(
            desc = "How many from the place on to older ones, that itself included: 0 to 50, 13 unless said otherwise."
        )]
        first: Option<i32>,
        #[graphql(desc = "How many newer ones: 0 to 50, 12 unless said otherwise.")] last: Option<i32>,
        #[graphql(desc = "Only messages that fit.")] filter: Option<Box<MessageFilter>>,
    ) -> Option<Connection<Message>> {
        or_null(ctx, async {
            let sizes = (size(first, SIZES.0)?, size(last, SIZES.1)?);
            let selections = page_selections(&selections(ctx));
            around(scope(ctx)?, conversation_id, place, sizes, filter.unwrap_or_default(), &selections).await
        })
        .await
    }
}

fn size(asked: Option<i32>, default: i32) -> Result<u32> {
    let size = u32::try_from(asked.unwrap_or(default)).ok().filter(|size| *size <= MOST);
    size.ok_or_else(|| Error::bad_input(format!("first and last are 0 to {MOST} messages.")))
}

async fn around(
    scope: &Scope,
    conversation: Id<Conversation>,
    place: MessagePlace,
    (first, last): (u32, u32),
    filter: Box<MessageFilter>,
    selections: &[SelectionField<'_>],
) -> Result<Option<Connection<Message>>> {
    let args = ListArgs::<Message> { filter: None, order_by: None, first: None, after: None, last: None, before: None };
    let mut list = List::new(args)?;
    entity::may_list(list.table, scope, list.deleted)?;
    let Some(seq) = seq(scope, conversation, place).await? else { return Ok(None) };
    let here = Predicate::Compare(Message::CONVERSATION_ID, Compare::Eq, Bind::Uuid(Some(conversation.0)));
    list.fits = Predicate::All(vec![here, filter.predicate(&mut Default::default())?]);
    let newer = side(scope, &list, Compare::Gt, seq, last).await?;
    let older = side(scope, &list, Compare::Lte, seq, first).await?;
    let page = Arc::new(Page::around(Arc::new(list), (newer, last), (older, first)));
    Message::preload(scope, &*scope.reader().await?, &page.rows, selections).await?;
    Ok(Some(Connection { scope: scope.clone(), page }))
}

/// The messages on one side of a number, the nearest first, and one more.
async fn side(scope: &Scope, list: &List, compare: Compare, seq: i64, size: u32) -> Result<Vec<Message>> {
    let mut list = list.clone();
    let side = Predicate::Compare(Message::SEQ, compare, Bind::BigInt(Some(seq)));
    list.fits = Predicate::All(vec![list.fits, side]);
    (list.window.size, list.window.backward) = (size, compare == Compare::Gt);
    let mut sql = entity::select(list.table);
    list.push_where(scope, &mut sql)?;
    list.push_window(&mut sql);
    Ok(sql.load(&mut &*scope.reader().await?).await?)
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

/// The number of the message at a place; behind the last one, of that. None: there is no message that the caller may see.
async fn seq(scope: &Scope, conversation: Id<Conversation>, place: MessagePlace) -> Result<Option<i64>> {
    let visible = |sql: &mut Sql| {
        entity::push_visible(Message::table(), scope, Default::default(), sql);
        sql.push(" AND t0.conversation_id = ").bind(Bind::Uuid(Some(conversation.0)));
    };
    let mut sql = Sql::new("SELECT t0.seq FROM messages t0");
    visible(&mut sql);
    match place {
        MessagePlace::MessageId(id) => sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id.0))),
        MessagePlace::Seq(seq) => {
            sql.push(" AND t0.seq >= ").bind(Bind::BigInt(Some(seq))).push(" ORDER BY t0.seq LIMIT 1")
        }
        // Later in number is later in time.
        MessagePlace::At(at) => {
            sql.push(" AND t0.created_at >= ").bind(Bind::Time(Some(at.0)));
            sql.push(" ORDER BY t0.created_at, t0.seq LIMIT 1")
        }
    };
    let conn = scope.reader().await?;
    let found: Vec<Found> = sql.load(&mut &*conn).await?;
    if let Some(found) = found.into_iter().next() {
        return Ok(Some(found.seq));
    }
    if matches!(place, MessagePlace::MessageId(_)) {
        return Ok(None);
    }
    let mut sql = Sql::new("SELECT t0.seq FROM messages t0");
    visible(&mut sql);
    sql.push(" ORDER BY t0.seq DESC LIMIT 1");
    let found: Vec<Found> = sql.load(&mut &*conn).await?;
    Ok(found.into_iter().next().map(|found| found.seq))
}
