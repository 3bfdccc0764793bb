//! Links from messages to records: each reader is shown what they may read.

use super::{live::Feed, text};
use crate::kit::{Founder, Server, data, server};
use serde_json::{Value, json};
use uuid::Uuid;

/// A record of a kind that belongs to somebody; its id.
async fn record(server: &Server, by: &Founder, kind: &str, fields: &str, owner: &Founder) -> String {
    let query = format!(
        "mutation($owner: ID) {{ {kind}Create(input: {{ {fields}, ownerId: $owner }}) {{ {kind} {{ id }} userErrors {{ field code }} }} }}"
    );
    let answer = server.graphql(&query, json!({ "owner": owner.member }), Some(by)).await;
    text(data(&answer, &format!("{kind}Create.{kind}")), "id").to_owned()
}

/// What the messages of a conversation link to, oldest first.
async fn linked(server: &Server, who: &Founder, talk: &str) -> Value {
    let query =
        "query($id: ID!) { conversation(id: $id) { messages(first: 100, orderBy: [{ field: SEQ }]) { nodes { records {
        __typename ... on Account { id name } ... on Contact { id } ... on Lead { id } } } } } }";
    let answer = server.graphql(query, json!({ "id": talk }), Some(who)).await;
    let nodes = data(&answer, "conversation.messages.nodes").as_array().expect("nodes");
    nodes.iter().map(|node| node["records"].clone()).collect()
}

#[tokio::test]
async fn who_reads_is_shown_what_they_may_read() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "sales_rep", None).await, server.member(&ada, "member", None).await);
    let (stranger, talk) = (server.founder().await, server.group(&ada, &[&bob, &eve]).await);
    let account = record(server, &ada, "account", "name: \"Example\"", &ada).await;
    let his = record(server, &ada, "lead", "firstName: \"His\", lastName: \"Own\"", &bob).await;
    let hers = record(server, &ada, "lead", "firstName: \"Hers\", lastName: \"Own\"", &ada).await;
    let foreign = record(server, &stranger, "lead", "firstName: \"Foreign\", lastName: \"One\"", &stranger).await;
    let body = format!(
        "<#lead:{hers}> <#account:{account}> <#lead:{foreign}> <#lead:{his}> <#lead:{his}> <#contact:{his}> <#lead:{}>",
        Uuid::now_v7()
    );
    let sent = server.say(&ada, &talk, &body).await;
    server.say(&ada, &talk, "nothing").await;
    let lead = |id: &str| json!({ "__typename": "Lead", "id": id });
    let shown = json!({ "__typename": "Account", "id": account, "name": "Example" });
    assert_eq!(linked(server, &ada, &talk.id).await, json!([[lead(&hers), shown, lead(&his)], []]));
    assert_eq!(linked(server, &bob, &talk.id).await, json!([[shown, lead(&his)], []]), "only one's own leads");
    assert_eq!(linked(server, &eve, &talk.id).await, json!([[], []]), "no customers at all");
    // What is deleted is not shown, neither the record nor with the message.
    let deleted = "mutation($id: ID!) { leadDelete(input: { id: $id }) { userErrors { field code } } }";
    server.graphql(deleted, json!({ "id": his }), Some(&ada)).await;
    assert_eq!(linked(server, &bob, &talk.id).await, json!([[shown], []]));
    server.change(&ada, "messageDelete", json!({ "id": sent["id"] })).await;
    assert_eq!(linked(server, &ada, &talk.id).await, json!([[], []]));
}

/// What some may read is looked up once for all of these, and for nobody else.
#[tokio::test]
async fn who_hears_is_shown_what_they_may_read() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "sales_rep", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let hers = record(server, &ada, "lead", "firstName: \"Hers\", lastName: \"Own\"", &ada).await;
    let his = record(server, &ada, "lead", "firstName: \"His\", lastName: \"Own\"", &bob).await;
    let query = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
        ... on MessageSent { message { records { ... on Lead { id } } } } } }";
    let mut feeds = Vec::new();
    for who in [&ada, &bob, &eve] {
        let variables = json!({ "id": talk.id, "after": talk.cursor });
        feeds.push(Feed::open(&server.ws_url(), who, query, variables).await.expect("a server"));
    }
    server.say(&ada, &talk, &format!("<#lead:{hers}> and <#lead:{his}>")).await;
    let shown = [json!([{ "id": hers }, { "id": his }]), json!([{ "id": his }]), json!([])];
    for (feed, shown) in feeds.iter_mut().zip(shown) {
        assert_eq!(feed.next().await["message"]["records"], shown);
    }
}

/// A page costs a query for each kind of record, however many messages link to however many.
#[tokio::test]
async fn a_page_is_fetched_together() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let mut leads = Vec::new();
    for n in 0..4 {
        leads.push(record(&server, &ada, "lead", &format!("firstName: \"L{n}\", lastName: \"Lead\""), &ada).await);
    }
    let say = async |leads: &[String]| {
        let body: String = leads.iter().map(|id| format!("<#lead:{id}>")).collect();
        server.say(&ada, &talk, &body).await;
    };
    say(&leads[..1]).await;
    let cost = async || {
        linked(&server, &ada, &talk.id).await;
        let before = server.app.database.taken();
        linked(&server, &ada, &talk.id).await;
        server.app.database.taken() - before
    };
    let one = cost().await;
    for _ in 0..20 {
        say(&leads).await;
    }
    stoa::messaging::notification::follow::catch_up(&server.app, ada.organization).await.expect("caught up");
    let many = cost().await;
    // Something about the session or about what has ended may come in between, once a second.
    assert!(many <= one + 6, "{many} connections for 21 messages, {one} for one");
    server.stop().await;
}
