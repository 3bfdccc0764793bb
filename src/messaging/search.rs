//! Searching messages by their words. Invariant: only what the member may read at this moment is found, and what is shown of a
//! hit is its own text, in pieces: nothing in it is markup.

use super::{content::MessageKind, conversation::Conversation, message::Message};
use crate::{
    error::{Error, Result},
    identity::Member,
    kit::{
        entity,
        id::Id,
        listing::Place,
        page::{DEFAULT_SIZE, MOST_SIZE, PageInfo},
        permission::{Action, Resource},
        predicate::fold,
        relation::or_null,
        resolve::{scope, selections},
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::sql_types::{Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use std::{collections::HashMap, ops::Range, sync::Arc};
use uuid::Uuid;

/// Characters that are searched for at most.
const LONGEST: usize = 200;
/// Characters of a fragment around its first hit, about.
const FRAGMENT: usize = 160;
/// Of these, those before the first hit.
const LEAD: usize = 40;
/// What cursors of this list begin with.
const LIST: &str = "MessageHit";

/// Which messages are searched.
#[derive(Clone, Debug, Default, InputObject)]
pub struct MessageSearchFilter {
    /// Those of this conversation.
    pub conversation_id: Option<Id<Conversation>>,
    /// Those that this member sent.
    pub sender_id: Option<Id<Member>>,
    /// Those of this kind. Left out: all but SYSTEM ones.
    pub kind: Option<MessageKind>,
    /// Those sent at this time or later.
    pub sent_from: Option<DateTime>,
    /// Those sent before this time.
    pub sent_before: Option<DateTime>,
}

/// A piece of a message's text.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct SearchFragment {
    /// The text, as it stands in the body: Markdown, not HTML.
    pub text: String,
    /// Whether it is one of the words that were searched for.
    pub hit: bool,
}

/// A message that was found.
#[derive(Clone, Debug, SimpleObject)]
pub struct MessageHit {
    /// The message.
    pub message: Arc<Message>,
    /// Where its words stand: some 160 characters of the body, in pieces that follow one another.
    pub fragments: Vec<SearchFragment>,
    /// Its place: give it as `after` to go on behind it.
    pub cursor: String,
}

/// Messages that were found, newest first.
#[derive(Clone, Debug, SimpleObject)]
pub struct MessageSearch {
    /// The messages.
    pub hits: Vec<MessageHit>,
    /// Where this page lies.
    pub page_info: PageInfo,
}

/// Queries.
#[derive(Default)]
pub struct SearchQuery;

#[Object]
impl SearchQuery {
    /// Messages with all of these words, whatever their case and accents, that you may read; newest first. The last word may be
    /// the beginning of one. Deleted messages and what edited ones said before are not found.
    async fn message_search(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The words, at most 200 characters. Signs between them mean nothing.")] query: String,
        #[graphql(desc = "Which messages; all unless given.")] filter: Option<MessageSearchFilter>,
        #[graphql(desc = "How many: 0 to 100, 25 unless said otherwise.")] first: Option<i32>,
        #[graphql(desc = "The cursor of a hit, to go on behind it.")] after: Option<String>,
    ) -> Option<MessageSearch> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            scope.actor.demand(Resource::Conversation, Action::Read)?;
            let asked = Asked::new(query, filter.unwrap_or_default(), first, after.as_deref())?;
            let found = find(scope, &asked).await?;
            let mut below = Vec::new();
            for field in selections(ctx).iter().filter(|field| field.name() == "hits") {
                below.extend(field.selection_set().filter(|field| field.name() == "message"));
            }
            let below: Vec<_> = below.iter().flat_map(|field| field.selection_set()).collect();
            shown(scope, &asked, found, &below).await.map(Some)
        })
        .await
    }
}

struct Asked {
    words: String,
    filter: MessageSearchFilter,
    size: u32,
    after: Option<Place>,
}

impl Asked {
    fn new(words: String, filter: MessageSearchFilter, first: Option<i32>, after: Option<&str>) -> Result<Self> {
        if words.contains('\0') || words.chars().count() > LONGEST {
            return Err(Error::bad_input(format!("A search has at most {LONGEST} characters, and no NUL among them.")));
        }
        let asked = first.unwrap_or(DEFAULT_SIZE as i32);
        let size = u32::try_from(asked).ok().filter(|size| *size <= MOST_SIZE);
        let size =
            size.ok_or_else(|| Error::bad_input(format!("A page has 0 to {MOST_SIZE} hits; {asked} were asked for.")))?;
        Ok(Asked { words, filter, size, after: after.map(|cursor| Place::read(LIST, cursor)).transpose()? })
    }
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    at: chrono::DateTime<chrono::Utc>,
}

/// One more than is shown tells whether there are more.
async fn find(scope: &Scope, asked: &Asked) -> Result<Vec<Found>> {
    let (filter, id) = (&asked.filter, |id: Option<Uuid>| Bind::Uuid(id));
    let mut sql = Sql::new("SELECT id, at FROM search_messages(");
    sql.bind(id(Some(scope.actor.member))).push(", ").bind(Bind::Text(Some(asked.words.clone()))).push(", ");
    sql.bind(id(filter.conversation_id.map(|id| id.0))).push(", ").bind(id(filter.sender_id.map(|id| id.0))).push(", ");
    sql.bind(Bind::Text(filter.kind.map(|kind| kind.word().to_owned()))).push(", ");
    sql.bind(Bind::Time(filter.sent_from.map(|at| at.0))).push(", ");
    sql.bind(Bind::Time(filter.sent_before.map(|at| at.0))).push(", ");
    sql.bind(Bind::Time(asked.after.map(|place| place.at))).push(", ");
    sql.bind(id(asked.after.map(|place| place.id))).push(", ").number(asked.size + 1).push(")");
    Ok(sql.load(&mut &*scope.reader().await?).await?)
}

async fn shown(
    scope: &Scope,
    asked: &Asked,
    mut found: Vec<Found>,
    selections: &[async_graphql::SelectionField<'_>],
) -> Result<MessageSearch> {
    let more = found.len() > asked.size as usize;
    found.truncate(asked.size as usize);
    let conn = scope.reader().await?;
    // Behind the wall that all reads stand behind: who was removed meanwhile sees nothing.
    let messages = entity::find_many::<Message>(scope, &conn, found.iter().map(|hit| hit.id).collect()).await?;
    let messages: Vec<Arc<Message>> = messages.into_iter().map(Arc::new).collect();
    entity::Entity::preload(scope, &conn, &messages, selections).await?;
    let mut messages: HashMap<Uuid, Arc<Message>> =
        messages.into_iter().map(|message| (message.id.0, message)).collect();
    let words = Words::of(&asked.words);
    let hits = found.into_iter().filter_map(|Found { id, at }| {
        let message = messages.remove(&id)?;
        let fragments = message.body.as_deref().map(|body| words.fragments(body)).unwrap_or_default();
        Some(MessageHit { message, fragments, cursor: Place { at, id }.cursor(LIST) })
    });
    let hits: Vec<MessageHit> = hits.collect();
    let cursor = |hit: &MessageHit| hit.cursor.clone();
    let page_info = PageInfo {
        has_next_page: more,
        has_previous_page: asked.after.is_some(),
        start_cursor: hits.as_slice().first().map(cursor),
        end_cursor: hits.as_slice().last().map(cursor),
    };
    Ok(MessageSearch { hits, page_info })
}

/// The words of a text, each with where it stands.
fn words(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, _) = rest.find(|(_, letter)| letter.is_alphanumeric())?;
        let mut end = text.len();
        while let Some((at, letter)) = rest.peek() {
            if !letter.is_alphanumeric() {
                end = *at;
                break;
            }
            rest.next();
        }
        Some((start..end, text.get(start..end)?))
    })
}

/// What is searched for, as it is compared.
struct Words {
    whole: Vec<String>,
    /// The last one: words that begin so.
    begun: Option<String>,
}

impl Words {
    fn of(query: &str) -> Self {
        let mut whole: Vec<String> = words(query).map(|(_, word)| fold(word)).collect();
        let begun = whole.pop();
        Words { whole, begun }
    }

    fn hits(&self, word: &str) -> bool {
        let word = fold(word);
        self.begun.as_ref().is_some_and(|begun| word.starts_with(begun)) || self.whole.contains(&word)
    }

    /// The part of a body around its first hit, in pieces. The beginning of it where PostgreSQL has found what we do not see.
    fn fragments(&self, body: &str) -> Vec<SearchFragment> {
        let hits: Vec<Range<usize>> = words(body).filter(|(_, word)| self.hits(word)).map(|(place, _)| place).collect();
        let first = hits.as_slice().first().map_or(0, |place| place.start);
        let from = body.get(..first).unwrap_or_default().char_indices().rev().nth(LEAD - 1).map_or(0, |(at, _)| at);
        let rest = body.get(from..).unwrap_or_default();
        let to = rest.char_indices().nth(FRAGMENT).map_or(body.len(), |(at, _)| from.saturating_add(at));
        // The first hit is shown whole, however long it is.
        let to = hits.as_slice().first().map_or(to, |place| to.max(place.end));
        let mut fragments = Vec::new();
        let mut piece = |range: Range<usize>, hit: bool| {
            if let Some(text) = body.get(range).filter(|text| !text.is_empty()) {
                fragments.push(SearchFragment { text: text.to_owned(), hit });
            }
        };
        let mut at = from;
        for hit in hits.into_iter().take_while(|hit| hit.end <= to) {
            piece(at..hit.start, false);
            at = hit.end;
            piece(hit, true);
        }
        piece(at..to, false);
        fragments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(query: &str, body: &str) -> String {
        let piece = |piece: SearchFragment| if piece.hit { format!("[{}]", piece.text) } else { piece.text };
        Words::of(query).fragments(body).into_iter().map(piece).collect()
    }

    #[test]
    fn hits_are_marked_whatever_case_and_accents() {
        for (query, body, shown) in [
            ("cafe zoe", "Café für Zoë, cafeteria.", "[Café] für [Zoë], cafeteria."),
            ("zoe cafe", "Café für Zoë, cafeteria.", "[Café] für [Zoë], [cafeteria]."),
            ("b", "<b>bold</b> & <i>", "<[b]>[bold]</[b]> & <i>"),
            ("%_ & |", "nothing to see", "nothing to see"),
            ("x", "", ""),
            ("日本", "日本語 と 日", "[日本語] と 日"),
        ] {
            assert_eq!(marked(query, body), shown);
        }
    }

    #[test]
    fn a_long_body_is_cut_around_the_first_hit() {
        let body = format!("{} needle {}", "é".repeat(1000), "x ".repeat(1000));
        let shown = marked("needle", &body);
        assert!(shown.starts_with(&"é".repeat(LEAD - 1)) && shown.contains("[needle] x x"), "{shown}");
        assert_eq!(shown.chars().count(), FRAGMENT + 2);
        let long = "n".repeat(40_000);
        assert_eq!(marked("n", &long), format!("[{long}]"));
    }
}
