//! A member's conversations, those that they have pinned before the others.

use super::{Talk, text};
use crate::kit::{Founder, Server, code, data, server, statements};
use serde_json::{Value, json};

async fn pin(server: &Server, who: &Founder, talk: &Talk, pinned: bool) {
    let query = "mutation($id: ID!, $pinned: Boolean) { conversationSettingsUpdate(input: { conversationId: $id, pinned: $pinned }) {
        conversation { settings { pinned } } userErrors { code } } }";
    let answer = server.graphql(query, json!({ "id": talk.id, "pinned": pinned }), Some(who)).await;
    assert_eq!(data(&answer, "conversationSettingsUpdate.conversation.settings")["pinned"], json!(pinned));
}

/// A page, or what is wrong.
async fn page(server: &Server, who: &Founder, variables: Value) -> Value {
    let query = "query($first: Int, $after: String, $last: Int, $before: String, $filter: ConversationFilter, $order: [ConversationOrder!]) {
        inbox(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $order) {
            nodes { id activeAt settings { pinned } } edges { cursor node { id } } totalCount
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    server.graphql(query, variables, Some(who)).await
}

fn ids(page: &Value) -> Vec<String> {
    page["nodes"].as_array().expect("nodes").iter().map(|node| text(node, "id").to_owned()).collect()
}

/// All pages of that size, from the start or from the end.
async fn paged(server: &Server, who: &Founder, size: usize, backward: bool) -> Vec<String> {
    let (mut all, mut place) = (Vec::new(), Value::Null);
    loop {
        let variables = match backward {
            false => json!({ "first": size, "after": place }),
            true => json!({ "last": size, "before": place }),
        };
        let answer = page(server, who, variables).await;
        let page = data(&answer, "inbox");
        let info = &page["pageInfo"];
        let edges = page["edges"].as_array().expect("edges");
        let (first, last) = (edges.first().expect("an edge"), edges.last().expect("an edge"));
        assert_eq!((&first["cursor"], &last["cursor"]), (&info["startCursor"], &info["endCursor"]));
        if backward {
            all.splice(0..0, ids(page));
        } else {
            all.extend(ids(page));
        }
        let (more, next) = match backward {
            false => (&info["hasNextPage"], &info["endCursor"]),
            true => (&info["hasPreviousPage"], &info["startCursor"]),
        };
        if *more == false {
            return all;
        }
        place = next.clone();
    }
}

#[tokio::test]
async fn what_is_pinned_stands_before_the_others_whatever_the_pages() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let mut talks = Vec::new();
    for _ in 0..7 {
        talks.push(server.group(&ada, &[&bob]).await);
    }
    // One in which nothing was said stands where it was opened.
    for place in [4, 1, 5, 0] {
        server.say(&bob, &talks[place], "hello").await;
    }
    for place in [1, 3, 2] {
        pin(server, &ada, &talks[place], true).await;
    }
    let in_order = |places: [usize; 7]| places.map(|place| talks[place].id.clone()).to_vec();
    let (adas, bobs) = (in_order([1, 3, 2, 0, 5, 4, 6]), in_order([0, 5, 1, 4, 6, 3, 2]));
    for size in 1..=8 {
        for backward in [false, true] {
            assert_eq!(paged(server, &ada, size, backward).await, adas, "{size}, backward: {backward}");
            assert_eq!(paged(server, &bob, size, backward).await, bobs, "what others pin is theirs");
        }
    }
    let whole = page(server, &ada, json!({})).await;
    assert_eq!(data(&whole, "inbox.totalCount"), 7);
    let settings: Vec<&Value> =
        data(&whole, "inbox.nodes").as_array().unwrap().iter().map(|node| &node["settings"]["pinned"]).collect();
    assert_eq!(json!(settings), json!([true, true, true, false, false, false, false]));
    // In another order, and only some of them.
    let order = json!([{ "field": "CREATED_AT" }]);
    let oldest = page(server, &ada, json!({ "order": order })).await;
    assert_eq!(ids(data(&oldest, "inbox")), in_order([1, 2, 3, 0, 4, 5, 6]));
    let filter = json!({ "lastMessageAt": { "isNull": false } });
    let said = page(server, &ada, json!({ "filter": filter, "first": 2 })).await;
    assert_eq!(
        (ids(data(&said, "inbox")), data(&said, "inbox.totalCount")),
        (in_order([1, 0, 0, 0, 0, 0, 0])[..2].to_vec(), &json!(4))
    );
    let none = page(server, &ada, json!({ "first": 0 })).await;
    assert_eq!((ids(data(&none, "inbox")), data(&none, "inbox.pageInfo.hasNextPage")), (Vec::new(), &json!(true)));
    pin(server, &ada, &talks[1], false).await;
    pin(server, &ada, &talks[6], true).await;
    assert_eq!(paged(server, &ada, 2, false).await, in_order([6, 3, 2, 0, 5, 1, 4]));
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let server = server().await;
    let ada = server.founder().await;
    server.group(&ada, &[]).await;
    let query = "{ conversations(orderBy: [{ field: ACTIVE_AT, direction: DESC }]) { pageInfo { endCursor } }
        inbox { pageInfo { endCursor } } }";
    let answer = server.graphql(query, json!({}), Some(&ada)).await;
    let (plain, own) = (data(&answer, "conversations.pageInfo.endCursor"), data(&answer, "inbox.pageInfo.endCursor"));
    for after in [plain.clone(), json!(""), json!(".nonsense"), json!("~")] {
        assert_eq!(code(&page(server, &ada, json!({ "after": after })).await), "INVALID_CURSOR", "{after}");
    }
    let order = json!([{ "field": "CREATED_AT" }]);
    assert_eq!(code(&page(server, &ada, json!({ "after": own, "order": order })).await), "INVALID_CURSOR");
    let list = "query($after: String) { conversations(after: $after, orderBy: [{ field: ACTIVE_AT, direction: DESC }]) { nodes { id } } }";
    assert_eq!(code(&server.graphql(list, json!({ "after": own }), Some(&ada)).await), "INVALID_CURSOR");
    for variables in [json!({ "first": 101 }), json!({ "first": 1, "last": 1 }), json!({ "last": 1, "after": own })] {
        assert_eq!(code(&page(server, &ada, variables).await), "BAD_USER_INPUT");
    }
}

/// With thousands of conversations, in most of which one is not.
#[tokio::test]
async fn a_page_costs_the_same_few_statements_whatever_there_is() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let (organization, me, other) = (ada.organization, ada.member, bob.member);
    server
        .sql(&format!(
            "WITH made AS (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 4000) n), opened AS (
               INSERT INTO conversations (organization_id, id, kind, created_by, created_at, last_message_at)
               SELECT '{organization}', id, 'group', '{other}', now() - n * interval '1 hour',
                 CASE WHEN n % 3 = 0 THEN now() - n * interval '1 minute' END FROM made
             )
             INSERT INTO participants (organization_id, id, conversation_id, member_id, pinned)
             SELECT '{organization}', gen_random_uuid(), id, member, n % 50 = 0
             FROM made, unnest(ARRAY['{other}'::uuid, '{me}'::uuid]) AS member WHERE member = '{other}' OR n % 4 = 0"
        ))
        .await;
    let run = statements::during(organization, async {
        let answer = page(server, &ada, json!({ "first": 100 })).await;
        let nodes = data(&answer, "inbox.nodes").as_array().expect("nodes").clone();
        let pinned = nodes.iter().take_while(|node| node["settings"]["pinned"] == true).count();
        assert_eq!((nodes.len(), pinned, data(&answer, "inbox.totalCount")), (100, 40, &json!(1000)));
        let times: Vec<&str> = nodes[pinned..].iter().map(|node| text(node, "activeAt")).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    })
    .await;
    let listed = run.iter().filter(|statement| statement.contains("FROM \"conversations\" t0")).count();
    assert_eq!(listed, 3, "both parts and the count: {run:#?}");
}
