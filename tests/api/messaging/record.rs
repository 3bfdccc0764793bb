//! Conversations about records: one of each, found from the record, and neither opens the other.

use super::{Talk, live::Feed, text};
use crate::{
    api_keys::make,
    kit::{Founder, Server, code, data, server, statements, user_errors},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

const ABOUT: &str =
    "about { __typename ... on Lead { id name } ... on Contact { id name } ... on Account { id accountName: name } }";

/// The id of a new lead that belongs to somebody.
pub async fn lead(server: &Server, by: &Founder, owner: &Founder) -> String {
    let query =
        "mutation($owner: ID!) { leadCreate(input: { firstName: \"Grace\", lastName: \"Hopper\", ownerId: $owner }) {
        lead { id } userErrors { field code } } }";
    let answer = server.graphql(query, json!({ "owner": owner.member }), Some(by)).await;
    text(data(&answer, "leadCreate.lead"), "id").to_owned()
}

/// The answer to opening a conversation.
async fn create(server: &Server, by: &Founder, input: Value) -> Value {
    let query = format!(
        "mutation($input: ConversationCreateInput!) {{ conversationCreate(input: $input) {{
            conversation {{ id cursor kind visibility title {ABOUT} }} userErrors {{ field code }} }} }}"
    );
    server.graphql(&query, json!({ "input": input }), Some(by)).await
}

/// Opens the conversation about a lead, or joins it.
pub async fn discuss(server: &Server, by: &Founder, lead: &str, others: &[&Founder]) -> Talk {
    let members: Vec<_> = others.iter().map(|other| other.member).collect();
    let input = json!({ "kind": "RECORD", "about": { "leadId": lead }, "memberIds": members });
    let answer = create(server, by, input).await;
    let made = data(&answer, "conversationCreate.conversation");
    Talk { id: text(made, "id").to_owned(), cursor: text(made, "cursor").to_owned() }
}

/// What a lead says of its conversation.
async fn from_lead(server: &Server, who: &Founder, lead: &str) -> Value {
    let query = "query($id: ID!) { lead(id: $id) { conversation { id memberCount joined archivedAt conversation { id kind } } } }";
    data(&server.graphql(query, json!({ "id": lead }), Some(who)).await, "lead").clone()
}

/// What a conversation says of its record; null: it does not exist for them.
async fn about(server: &Server, who: &Founder, talk: &Talk) -> Value {
    let query = format!("query($id: ID!) {{ conversation(id: $id) {{ {ABOUT} }} }}");
    data(&server.graphql(&query, json!({ "id": talk.id }), Some(who)).await, "conversation").clone()
}

async fn join(server: &Server, who: &Founder, talk: &Talk) -> Value {
    let query = "mutation($id: ID!) { conversationJoin(input: { id: $id }) { participant { memberId role } userErrors { field code } } }";
    server.graphql(query, json!({ "id": talk.id }), Some(who)).await
}

#[tokio::test]
async fn who_may_read_the_record_finds_and_joins_its_conversation() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "sales_rep", None).await, server.member(&ada, "sales_rep", None).await);
    let lead = lead(server, &ada, &bob).await;
    assert_eq!(from_lead(server, &bob, &lead).await, json!({ "conversation": null }), "nobody has opened it");
    let input = json!({ "kind": "RECORD", "about": { "leadId": lead }, "memberIds": [eve.member] });
    let opened = create(server, &bob, input).await;
    let made = data(&opened, "conversationCreate.conversation");
    let named = json!({ "__typename": "Lead", "id": lead, "name": "Grace Hopper" });
    let talk = Talk { id: text(made, "id").to_owned(), cursor: text(made, "cursor").to_owned() };
    assert_eq!(
        *made,
        json!({ "id": talk.id, "cursor": talk.cursor, "kind": "RECORD", "visibility": "PRIVATE", "title": null, "about": named })
    );
    server.say(&bob, &talk, "what do we know of her?").await;
    // Eve was brought in, and may not read the lead.
    assert_eq!(about(server, &eve, &talk).await, json!({ "about": null }));
    assert_eq!(server.numbers(&eve, &talk).await, [1], "she reads what is said");
    assert_eq!(from_lead(server, &eve, &lead).await, Value::Null);
    // Ada may read the lead and is not in it.
    let seen = json!({ "conversation": { "id": talk.id, "memberCount": 2, "joined": false, "archivedAt": null, "conversation": null } });
    assert_eq!(from_lead(server, &ada, &lead).await, seen);
    assert_eq!(about(server, &ada, &talk).await, Value::Null, "only who is in it reads");
    let me = json!({ "memberId": ada.member, "role": "MEMBER" });
    for _ in 0..2 {
        assert_eq!(*data(&join(server, &ada, &talk).await, "conversationJoin.participant"), me);
    }
    assert_eq!(about(server, &ada, &talk).await, json!({ "about": named }));
    let inside = json!({ "id": talk.id, "kind": "RECORD" });
    let seen = json!({ "conversation": { "id": talk.id, "memberCount": 3, "joined": true, "archivedAt": null, "conversation": inside } });
    assert_eq!(from_lead(server, &ada, &lead).await, seen);
    // Given to somebody else, the lead is out of Bob's reach, and the conversation is not.
    let give = "mutation($id: ID!, $to: ID!) { leadUpdate(input: { id: $id, ownerId: $to }) { userErrors { code } } }";
    server.graphql(give, json!({ "id": lead, "to": eve.member }), Some(&ada)).await;
    assert_eq!(about(server, &bob, &talk).await, json!({ "about": null }));
    assert_eq!(about(server, &eve, &talk).await, json!({ "about": named }));
}

#[tokio::test]
async fn a_record_has_one_conversation_however_many_open_it_at_once() {
    let server = server().await;
    let ada = server.founder().await;
    let admins = [server.member(&ada, "admin", None).await, server.member(&ada, "admin", None).await];
    let lead = lead(server, &ada, &ada).await;
    let all = join_all((0..9).map(|turn| discuss(server, [&ada, &admins[0], &admins[1]][turn % 3], &lead, &[]))).await;
    let ids: HashSet<&str> = all.iter().map(|talk| &*talk.id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(from_lead(server, &ada, &lead).await["conversation"]["memberCount"], 3);
    let told = format!("SELECT count(*) FROM events WHERE kind <> 'message_sent' AND stream_id = '{}'", all[0].id);
    assert_eq!(server.count(&told).await, 3, "opened once, and joined by two others once each");
}

#[tokio::test]
async fn what_is_wrong_with_it_is_told() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "sales_rep", None).await;
    let guest = server.member(&ada, "guest", None).await;
    let mine = lead(server, &ada, &ada).await;
    let wrong = |answer: Value| user_errors(&answer, "conversationCreate").join(", ");
    let record = |id: &str| json!({ "kind": "RECORD", "about": { "leadId": id } });
    assert_eq!(wrong(create(server, &ada, json!({ "kind": "RECORD" })).await), "about REQUIRED");
    for kind in ["GROUP", "CHANNEL", "DIRECT"] {
        let input = json!({ "kind": kind, "about": { "leadId": mine }, "memberIds": [bob.member],
            "title": if kind == "CHANNEL" { json!("News") } else { Value::Null } });
        assert_eq!(wrong(create(server, &ada, input).await), "about UNSUPPORTED", "{kind}");
    }
    let public = json!({ "kind": "RECORD", "about": { "leadId": mine }, "visibility": "PUBLIC" });
    assert_eq!(wrong(create(server, &ada, public).await), "visibility UNSUPPORTED");
    let both = json!({ "kind": "RECORD", "about": { "leadId": mine, "accountId": mine } });
    assert_eq!(code(&create(server, &ada, both).await), "BAD_USER_INPUT");
    // Of another kind, unknown, of another organization, out of reach: alike.
    let account = json!({ "kind": "RECORD", "about": { "accountId": mine } });
    assert_eq!(wrong(create(server, &ada, account).await), "about.accountId NOT_FOUND");
    for (who, id) in [(&ada, Uuid::now_v7().to_string()), (&stranger, mine.clone()), (&bob, mine.clone())] {
        assert_eq!(wrong(create(server, who, record(&id)).await), "about.leadId NOT_FOUND");
    }
    assert_eq!(code(&create(server, &guest, record(&mine)).await), "FORBIDDEN");
    let talk = discuss(server, &ada, &mine, &[]).await;
    for who in [&stranger, &bob] {
        assert_eq!(wrong(create(server, who, record(&mine)).await), "about.leadId NOT_FOUND", "also when it is there");
        assert_eq!(user_errors(&join(server, who, &talk).await, "conversationJoin"), ["id NOT_FOUND"]);
    }
    let admin = server.member(&ada, "admin", None).await;
    server.archive(&talk).await;
    assert_eq!(wrong(create(server, &admin, record(&mine)).await), "about STATE_INVALID");
    assert_eq!(user_errors(&join(server, &admin, &talk).await, "conversationJoin"), ["id STATE_INVALID"]);
    let hidden = user_errors(&join(server, &bob, &talk).await, "conversationJoin");
    assert_eq!(hidden, ["id NOT_FOUND"], "that it was put away is for those who may read the record");
    assert_eq!(wrong(create(server, &ada, record(&mine)).await), "", "who is in it is answered as ever");
    // A group that somebody else has opened is joined by nobody.
    let group = server.group(&ada, &[]).await;
    assert_eq!(user_errors(&join(server, &admin, &group).await, "conversationJoin"), ["id NOT_FOUND"]);
}

#[tokio::test]
async fn a_conversation_outlives_its_record() {
    let server = server().await;
    let ada = server.founder().await;
    let admin = server.member(&ada, "admin", None).await;
    let lead = lead(server, &ada, &ada).await;
    let talk = discuss(server, &ada, &lead, &[]).await;
    let end = async |verb: &str| {
        let input = if verb == "Delete" { "LeadDeleteInput" } else { "LeadIdInput" };
        let query = format!("mutation($input: {input}!) {{ lead{verb}(input: $input) {{ userErrors {{ code }} }} }}");
        let answer = server.graphql(&query, json!({ "input": { "id": lead } }), Some(&ada)).await;
        assert!(user_errors(&answer, &format!("lead{verb}")).is_empty(), "{answer}");
    };
    end("Delete").await;
    assert_eq!(about(server, &ada, &talk).await, json!({ "about": null }));
    assert_eq!(user_errors(&join(server, &admin, &talk).await, "conversationJoin"), ["id NOT_FOUND"]);
    server.say(&ada, &talk, "she is gone").await;
    end("Restore").await;
    assert_eq!(about(server, &ada, &talk).await["about"]["id"], json!(lead));
    end("Delete").await;
    end("Purge").await;
    assert_eq!(about(server, &ada, &talk).await, json!({ "about": null }));
    server.say(&ada, &talk, "for good").await;
    assert_eq!(server.numbers(&ada, &talk).await, [1, 2]);
    assert_eq!(user_errors(&join(server, &admin, &talk).await, "conversationJoin"), ["id NOT_FOUND"]);
}

#[tokio::test]
async fn whoever_comes_back_first_owns_it() {
    let server = server().await;
    let ada = server.founder().await;
    let admin = server.member(&ada, "admin", None).await;
    let lead = lead(server, &ada, &ada).await;
    let talk = discuss(server, &ada, &lead, &[]).await;
    server.participant(&ada, "conversationLeave", json!({ "id": talk.id })).await;
    let left = json!({ "id": talk.id, "memberCount": 0, "joined": false, "archivedAt": null, "conversation": null });
    assert_eq!(from_lead(server, &ada, &lead).await, json!({ "conversation": left }));
    let role =
        async |who: &Founder| data(&join(server, who, &talk).await, "conversationJoin.participant")["role"].clone();
    assert_eq!((role(&admin).await, role(&ada).await), (json!("OWNER"), json!("MEMBER")));
}

#[tokio::test]
async fn accounts_and_contacts_have_conversations_as_leads_have() {
    let server = server().await;
    let ada = server.founder().await;
    let rep = server.member(&ada, "sales_rep", None).await;
    let (eve, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let kinds = [("account", "name: \"Example\""), ("contact", "firstName: \"Grace\", lastName: \"Hopper\"")];
    for (kind, fields) in kinds {
        let make = format!("mutation {{ {kind}Create(input: {{ {fields} }}) {{ {kind} {{ id }} }} }}");
        let made = server.graphql(&make, json!({}), Some(&ada)).await;
        let id = data(&made, &format!("{kind}Create.{kind}.id")).clone();
        let mut input = json!({ "kind": "RECORD", "memberIds": [eve.member], "about": {} });
        input["about"][format!("{kind}Id")] = id.clone();
        let answer = create(server, &ada, input).await;
        let opened = data(&answer, "conversationCreate.conversation");
        assert_eq!(opened["about"]["id"], id, "{opened}");
        let talk = Talk { id: text(opened, "id").to_owned(), cursor: text(opened, "cursor").to_owned() };
        let find = format!("query($id: ID!) {{ {kind}(id: $id) {{ conversation {{ id joined }} }} }}");
        let found = server.graphql(&find, json!({ "id": id }), Some(&rep)).await;
        assert_eq!(*data(&found, &format!("{kind}.conversation")), json!({ "id": talk.id, "joined": false }));
        assert_eq!(user_errors(&join(server, &cy, &talk).await, "conversationJoin"), ["id NOT_FOUND"], "{kind}");
        assert_eq!(user_errors(&join(server, &rep, &talk).await, "conversationJoin"), [""; 0], "{kind}");
        assert_eq!(about(server, &rep, &talk).await["about"]["id"], id);
        assert_eq!(about(server, &eve, &talk).await, json!({ "about": null }), "she may read no {kind}");
        let list =
            format!("query($id: ID!) {{ conversations(filter: {{ {kind}Id: {{ eq: $id }} }}) {{ nodes {{ id }} }} }}");
        let listed = server.graphql(&list, json!({ "id": id }), Some(&rep)).await;
        assert_eq!(*data(&listed, "conversations.nodes"), json!([{ "id": talk.id }]));
    }
}

#[tokio::test]
async fn a_key_for_records_alone_finds_no_conversation() {
    let server = server().await;
    let ada = server.founder().await;
    let lead = lead(server, &ada, &ada).await;
    let talk = discuss(server, &ada, &lead, &[]).await;
    let (_, token) = make(server, &ada, &["LEAD READ ALL", "CONVERSATION READ OWN"]).await;
    let robot = Founder { token, ..ada.clone() };
    assert_eq!(from_lead(server, &robot, &lead).await["conversation"]["id"], json!(talk.id));
    let (_, token) = make(server, &ada, &["LEAD READ ALL"]).await;
    let robot = Founder { token, ..ada.clone() };
    assert_eq!(from_lead(server, &robot, &lead).await, json!({ "conversation": null }));
    let list = "{ leads { nodes { conversation { id memberCount } } } }";
    let listed = server.graphql(list, json!({}), Some(&robot)).await;
    assert_eq!(*data(&listed, "leads.nodes"), json!([{ "conversation": null }]));
}

#[tokio::test]
async fn lists_and_the_inbox_know_what_conversations_are_about() {
    let server = server().await;
    let ada = server.founder().await;
    let eve = server.member(&ada, "sales_rep", None).await;
    let mut leads = Vec::new();
    for _ in 0..6 {
        leads.push(lead(server, &ada, &ada).await);
    }
    let inbox = "subscription { inboxEvents(positions: []) { ... on ConversationEntered { conversation { kind about { __typename } } } } }";
    let mut inboxes = Vec::new();
    for who in [&ada, &eve] {
        inboxes.push(Feed::open(&server.ws_url(), who, inbox, json!({})).await.expect("a server"));
    }
    let mut talks = Vec::new();
    for lead in &leads {
        talks.push(discuss(server, &ada, lead, &[&eve]).await);
    }
    for (feed, about) in inboxes.iter_mut().zip([json!({ "__typename": "Lead" }), Value::Null]) {
        assert_eq!(feed.next().await, json!({ "conversation": { "kind": "RECORD", "about": about } }));
    }
    let title = "mutation($id: ID!) { conversationUpdate(input: { id: $id, title: \"Big one\" }) { conversation { title } userErrors { code } } }";
    let answer = server.graphql(title, json!({ "id": talks[0].id }), Some(&ada)).await;
    assert_eq!(data(&answer, "conversationUpdate.conversation")["title"], "Big one");
    let of = "query($id: ID!) { conversations(filter: { kind: { eq: RECORD }, leadId: { eq: $id } }) { nodes { id title } } }";
    let answer = server.graphql(of, json!({ "id": leads[0] }), Some(&ada)).await;
    assert_eq!(*data(&answer, "conversations.nodes"), json!([{ "id": talks[0].id, "title": "Big one" }]));
    // However many there are, what they are about costs a query for each kind of record.
    let all =
        "{ conversations { nodes { about { ... on Lead { id conversation { joined conversation { id } } } } } } }";
    let run = statements::during(ada.organization, async {
        let answer = server.graphql(all, json!({}), Some(&ada)).await;
        let nodes = data(&answer, "conversations.nodes").as_array().expect("nodes").clone();
        assert_eq!(nodes.len(), 6);
        assert!(nodes.iter().all(|node| node["about"]["conversation"]["joined"] == true), "{answer}");
    })
    .await;
    let asked =
        |table: &str| run.iter().filter(|statement| statement.contains(&format!("FROM \"{table}\" t0"))).count();
    assert_eq!((asked("leads"), asked("conversations")), (1, 2), "{run:#?}");
}
