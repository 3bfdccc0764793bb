//! Going through what was said: around a place, on from there in both directions, and by its words.

use super::{Talk, text};
use crate::kit::{Founder, Server, code, data, server};
use serde_json::{Value, json};
use uuid::Uuid;

const AROUND: &str = "query($id: ID!, $place: MessagePlace!, $first: Int, $last: Int, $filter: MessageFilter) {
    messagesAround(conversationId: $id, place: $place, first: $first, last: $last, filter: $filter) {
        nodes { seq } totalCount pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }";

fn seqs(page: &Value) -> Vec<i64> {
    page["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["seq"].as_i64()).collect()
}

#[tokio::test]
async fn one_comes_in_anywhere_and_pages_on_in_both_directions() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut all = Vec::new();
    for number in 1..=9 {
        all.push(server.say(if number % 2 == 0 { &bob } else { &ada }, &talk, &format!("number {number}")).await);
    }
    let around = async |place: Value, first: i32, last: i32, filter: Value| {
        let variables = json!({ "id": talk.id, "place": place, "first": first, "last": last, "filter": filter });
        server.graphql(AROUND, variables, Some(&ada)).await["data"]["messagesAround"].clone()
    };
    let page = around(json!({ "messageId": all[4]["id"] }), 2, 2, Value::Null).await;
    assert_eq!(seqs(&page), [7, 6, 5, 4]);
    let info = &page["pageInfo"];
    assert_eq!(
        (&info["hasNextPage"], &info["hasPreviousPage"], &page["totalCount"]),
        (&json!(true), &json!(true), &json!(9))
    );
    let on = async |arguments: &str, at: &Value| {
        let query = format!(
            "query($id: ID!, $at: String) {{ conversation(id: $id) {{ messages({arguments}: $at) {{ nodes {{ seq }} }} }} }}"
        );
        let answer = server.graphql(&query, json!({ "id": talk.id, "at": at }), Some(&ada)).await;
        seqs(data(&answer, "conversation.messages"))
    };
    assert_eq!(on("first: 10, after", &info["endCursor"]).await, [3, 2, 1]);
    assert_eq!(on("last: 10, before", &info["startCursor"]).await, [9, 8]);
    let at = |index: usize| json!({ "at": all[index]["createdAt"] });
    // Times are told to the millisecond: two messages may share one.
    assert!(seqs(&around(at(4), 3, 0, Value::Null).await)[0] <= 5);
    for (place, first, last, shown) in [
        (json!({ "seq": 9 }), 2, 5, vec![9, 8]),
        (json!({ "seq": 1 }), 5, 1, vec![2, 1]),
        (json!({ "seq": -5 }), 5, 0, vec![1]),
        (json!({ "seq": 1000 }), 2, 2, vec![9, 8]),
        (json!({ "at": "2000-01-01T00:00:00Z" }), 1, 1, vec![2, 1]),
        (json!({ "at": "2100-01-01T00:00:00Z" }), 1, 1, vec![9]),
        (json!({ "seq": 5 }), 0, 0, vec![]),
    ] {
        assert_eq!(seqs(&around(place, first, last, Value::Null).await), shown);
    }
    let of_bob = json!({ "senderId": { "eq": bob.member } });
    assert_eq!(seqs(&around(json!({ "seq": 5 }), 2, 1, of_bob).await), [6, 4, 2]);
}

#[tokio::test]
async fn there_is_nothing_around_what_one_may_not_see() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "admin", None).await;
    let (talk, other, empty) =
        (server.group(&ada, &[]).await, server.group(&ada, &[]).await, server.group(&ada, &[]).await);
    let message = server.say(&ada, &talk, "hello").await;
    for (who, talk, place) in [
        (&bob, &talk, json!({ "messageId": message["id"] })),
        (&stranger, &talk, json!({ "seq": 1 })),
        (&ada, &other, json!({ "messageId": message["id"] })),
        (&ada, &talk, json!({ "messageId": Uuid::now_v7() })),
        (&ada, &empty, json!({ "seq": 1 })),
    ] {
        let answer = server.graphql(AROUND, json!({ "id": talk.id, "place": place }), Some(who)).await;
        assert_eq!(answer["data"], json!({ "messagesAround": null }));
    }
    let too_many = json!({ "id": talk.id, "place": { "seq": 1 }, "first": 51 });
    assert_eq!(code(&server.graphql(AROUND, too_many, Some(&ada)).await), "BAD_USER_INPUT");
}

const SEARCH: &str = "query($query: String!, $filter: MessageSearchFilter, $first: Int, $after: String) {
    messageSearch(query: $query, filter: $filter, first: $first, after: $after) {
        hits { message { body sender { id } } fragments { text hit } cursor } pageInfo { hasNextPage endCursor } } }";

async fn search(server: &Server, who: &Founder, query: &str, filter: Value) -> Vec<String> {
    let answer = server.graphql(SEARCH, json!({ "query": query, "filter": filter }), Some(who)).await;
    let hits = data(&answer, "messageSearch.hits").as_array().expect("hits");
    hits.iter().map(|hit| text(&hit["message"], "body").to_owned()).collect()
}

/// All that is found, two at a time.
async fn paged(server: &Server, who: &Founder, query: &str) -> Vec<String> {
    let (mut after, mut seen) = (Value::Null, Vec::new());
    loop {
        let answer = server.graphql(SEARCH, json!({ "query": query, "first": 2, "after": after }), Some(who)).await;
        let page = data(&answer, "messageSearch");
        let hits = page["hits"].as_array().expect("hits").iter();
        seen.extend(hits.map(|hit| text(&hit["message"], "body").to_owned()));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            return seen;
        }
    }
}

#[tokio::test]
async fn messages_are_found_by_their_words() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let (talk, other) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[]).await);
    let say = async |by: &Founder, talk: &Talk, body: &str| server.say(by, talk, body).await;
    let cafe = say(&ada, &talk, "Le Café <b>ouvre</b> à huit heures").await;
    say(&bob, &talk, "the cafeteria is closed").await;
    say(&ada, &other, "cafe au lait").await;
    let gone = say(&ada, &talk, "cafe of yesterday").await;
    server.change(&ada, "messageDelete", json!({ "id": gone["id"] })).await;
    let edited = say(&ada, &talk, "cafe of tomorrow").await;
    server.change(&ada, "messageEdit", json!({ "id": edited["id"], "body": "tea of tomorrow" })).await;
    for (query, found) in [
        ("cafe", vec!["cafe au lait", "the cafeteria is closed", "Le Café <b>ouvre</b> à huit heures"]),
        ("CAFÉ heures", vec!["Le Café <b>ouvre</b> à huit heures"]),
        ("cafe the", vec![]),
        ("the cafe", vec!["the cafeteria is closed"]),
        ("tomorrow", vec!["tea of tomorrow"]),
        ("lait & !cafe | (", vec!["cafe au lait"]),
        ("'lait':* <-> \\", vec!["cafe au lait"]),
        ("%", vec![]),
        ("_ ' \\", vec![]),
        ("", vec![]),
        ("b", vec!["Le Café <b>ouvre</b> à huit heures"]),
    ] {
        let is = search(server, &ada, query, Value::Null).await;
        // What PostgreSQL takes for a tag is no word.
        assert!(is == found || query == "b" && is.is_empty(), "{query}: {is:?}");
    }
    let only = |filter: Value| search(server, &ada, "caf", filter);
    assert_eq!(only(json!({ "conversationId": other.id })).await, ["cafe au lait"]);
    assert_eq!(only(json!({ "senderId": bob.member })).await, ["the cafeteria is closed"]);
    assert_eq!(only(json!({ "sentBefore": cafe["createdAt"] })).await, [""; 0]);
    assert_eq!(only(json!({ "sentFrom": cafe["createdAt"] })).await.len(), 3);
    let answer = server.graphql(SEARCH, json!({ "query": "ouvre huit" }), Some(&ada)).await;
    let pieces = &data(&answer, "messageSearch.hits")[0]["fragments"];
    let piece = |text: &str, hit: bool| json!({ "text": text, "hit": hit });
    let wanted = json!([
        piece("Le Café <b>", false),
        piece("ouvre", true),
        piece("</b> à ", false),
        piece("huit", true),
        piece(" heures", false)
    ]);
    assert_eq!(*pieces, wanted, "text in pieces, not markup");
}

#[tokio::test]
async fn nobody_finds_what_they_may_not_read() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "owner", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, "a whisper").await;
    let theirs = server.group(&stranger, &[]).await;
    server.say(&stranger, &theirs, "another whisper").await;
    assert_eq!(search(server, &bob, "whisper", Value::Null).await, ["a whisper"]);
    for filter in [Value::Null, json!({ "conversationId": talk.id }), json!({ "senderId": ada.member })] {
        let found = search(server, &stranger, "a whisper", filter.clone()).await;
        assert!(!found.iter().any(|body| body == "a whisper"), "{filter}");
    }
    let left = json!({ "id": talk.id });
    data(&server.participant(&bob, "conversationLeave", left).await, "conversationLeave.participant");
    assert_eq!(search(server, &bob, "whisper", Value::Null).await, [""; 0]);
}

/// Whoever could ask that could ask for what was said, a word at a time.
#[tokio::test]
async fn nobody_learns_whether_there_are_hits_that_they_may_not_read() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "owner", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, "a whisper").await;
    let more = async |who: &Founder, filter: &Value| {
        let variables = json!({ "query": "whisper", "filter": filter, "first": 0 });
        let answer = server.graphql(SEARCH, variables, Some(who)).await;
        data(&answer, "messageSearch.pageInfo")["hasNextPage"].clone()
    };
    let filters = [Value::Null, json!({ "conversationId": talk.id }), json!({ "senderId": ada.member })];
    for filter in &filters {
        for (who, there_is) in [(&bob, true), (&eve, false), (&stranger, false)] {
            assert_eq!(more(who, filter).await, there_is, "{filter}");
        }
    }
    let left = json!({ "id": talk.id });
    data(&server.participant(&bob, "conversationLeave", left).await, "conversationLeave.participant");
    for filter in &filters {
        assert_eq!(more(&bob, filter).await, false, "left is left: {filter}");
    }
}

/// What is sent at once is stored at once: many messages may be of the same moment.
#[tokio::test]
async fn hits_of_the_same_moment_are_paged_without_a_loss() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for number in 0..5 {
        server.say(&ada, &talk, &format!("page {number}")).await;
    }
    server.sql(&format!("UPDATE messages SET created_at = now() WHERE conversation_id = '{}'", talk.id)).await;
    let mut seen = paged(server, &ada, "page").await;
    seen.sort();
    assert_eq!(seen, ["page 0", "page 1", "page 2", "page 3", "page 4"]);
}

/// PostgreSQL's own parser takes paths, addresses and words with hyphens for one word each.
#[tokio::test]
async fn words_are_found_whatever_signs_stand_between_them() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let mut missed = Vec::new();
    for (body, query) in [
        ("see src/main.rs", "main"),
        ("write to ada@example.com", "example"),
        ("look at https://example.org/handbook", "handbook"),
        ("send me an e-mail", "e-mai"),
        ("a well known fact", "well-known"),
        ("this and/or that", "or that"),
        ("come to room-5", "room 5"),
    ] {
        server.say(&ada, &talk, body).await;
        if search(server, &ada, query, Value::Null).await != [body] {
            missed.push((body, query));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// A cursor whose place in time is beyond those that PostgreSQL knows.
#[tokio::test]
async fn a_forged_cursor_of_hits_is_no_fault_of_the_server() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let server = server().await;
    let ada = server.founder().await;
    let forged = URL_SAFE_NO_PAD.encode(format!("MessageHit/-8000000000000000000/{}", Uuid::now_v7()));
    let answer = server.graphql(SEARCH, json!({ "query": "x", "after": forged }), Some(&ada)).await;
    assert_eq!(code(&answer), "INVALID_CURSOR");
}

#[tokio::test]
async fn hits_are_paged_and_bad_searches_are_told() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for number in 0..5 {
        server.say(&ada, &talk, &format!("page {number}")).await;
    }
    assert_eq!(paged(server, &ada, "page").await, ["page 4", "page 3", "page 2", "page 1", "page 0"]);
    for (wrong, told) in [
        (json!({ "query": "x", "after": "nonsense" }), "INVALID_CURSOR"),
        (json!({ "query": "x", "first": 101 }), "BAD_USER_INPUT"),
        (json!({ "query": "x".repeat(201) }), "BAD_USER_INPUT"),
        (json!({ "query": "nul \u{0}" }), "BAD_USER_INPUT"),
    ] {
        assert_eq!(code(&server.graphql(SEARCH, wrong, Some(&ada)).await), told);
    }
}
