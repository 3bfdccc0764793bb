//! Presence as members see it: who is here, what they show, and what of it is nobody's business.

use crate::{
    kit::{Founder, Server, code, data, mail::until, server, user_errors},
    messaging::{
        live::{Feed, Said, Socket},
        user_contact::acted,
    },
    wall::feed::Feed as EventStream,
};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::time::Duration;

const FIELDS: &str = "memberId status text expiresAt lastSeenAt hidden";

impl Server {
    /// A member as somebody sees them.
    async fn presence(&self, viewer: &str, who: &Founder) -> Value {
        let query = format!("query($id: ID!) {{ member(id: $id) {{ presence {{ {FIELDS} }} }} }}");
        let answer = self.graphql(&query, json!({ "id": who.member }), Some(viewer)).await;
        data(&answer, "member.presence").clone()
    }

    /// The answer to `presenceSet`.
    pub async fn show(&self, by: &str, input: Value) -> Value {
        let query = format!(
            "mutation($input: PresenceSetInput!) {{ done: presenceSet(input: $input) {{
                presence {{ {FIELDS} }} userErrors {{ field code }} }} }}"
        );
        self.graphql(&query, json!({ "input": input }), Some(by)).await
    }

    /// The feed of these members.
    pub async fn watch(&self, viewer: &str, members: &[&Founder]) -> Feed {
        let query = format!("subscription($ids: [ID!]!) {{ presence(memberIds: $ids) {{ {FIELDS} }} }}");
        let ids: Vec<_> = members.iter().map(|member| member.member).collect();
        Feed::open(&self.ws_url(), viewer, &query, json!({ "ids": ids })).await.expect("a server")
    }
}

impl Feed {
    /// What is told of a member next that is so.
    pub async fn until(&mut self, who: &Founder, so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let told = self.next().await;
            let told = told.as_array().expect("a list").iter().find(|told| told["memberId"] == json!(who.member));
            if let Some(told) = told.filter(|told| so(told)) {
                return told.clone();
            }
        }
    }
}

fn is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |told| told["status"] == status
}

/// A server on which people leave soon.
async fn hasty() -> Server {
    Server::with(|config| config.presence.grace_ms = 60).await
}

#[tokio::test]
async fn all_devices_of_a_member_are_one() {
    let server = hasty().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "sales_rep", None).await;
    let mut feed = server.watch(&ada, &[&ada, &bob]).await;
    let first = feed.next().await;
    assert_eq!(first.as_array().expect("a list").len(), 2, "first all of them");
    let offline = json!({ "memberId": bob.member, "status": "OFFLINE", "text": null, "expiresAt": null,
                          "lastSeenAt": null, "hidden": null });
    assert!(first.as_array().expect("a list").contains(&offline), "{first}");
    assert_eq!(server.presence(&ada, &ada).await["status"], "ONLINE", "the feed itself is a connection");

    let socket = Socket::open(&server.ws_url(), &bob).await.expect("a socket");
    let online = feed.until(&bob, is("ONLINE")).await;
    assert_eq!(online["lastSeenAt"], Value::Null);
    let document = "subscription { recordEvents(entity: LEAD) { __typename } }";
    let mut stream = EventStream::open(&server, document, &json!({}), Some(&bob)).await;
    drop(socket);
    // Nobody hears of what has not changed: if it were told, it would come before this.
    assert_eq!(user_errors(&server.show(&bob, json!({ "text": "by stream" })).await, "done"), [""; 0]);
    let told = feed.next().await;
    assert_eq!((&told[0]["text"], &told[0]["status"]), (&json!("by stream"), &json!("ONLINE")), "{told}");
    stream.read(Duration::ZERO).await;
    let before = Utc::now() - TimeDelta::seconds(1);
    drop(stream);
    let gone = feed.until(&bob, is("OFFLINE")).await;
    let seen: chrono::DateTime<Utc> = gone["lastSeenAt"].as_str().expect("a time").parse().expect("a time");
    assert!(seen > before && seen < Utc::now() + TimeDelta::seconds(1), "{gone}");
    assert_eq!(gone["text"], "by stream", "who is away may say why");
    // It is kept, in a batch a moment later; the second later than whoever came.
    until("the time that was told", async || {
        (server.presence(&ada, &bob).await["lastSeenAt"] == gone["lastSeenAt"]).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_keeps_until_when_people_were_there() {
    let first = Server::start().await;
    let ada = first.founder().await;
    let bob = first.member(&ada, "member", None).await;
    let socket = Socket::open(&first.ws_url(), &bob).await.expect("a socket");
    let came = format!("FROM presences WHERE member_id = '{}' AND last_seen_at IS NOT NULL", bob.member);
    until("that he came", async || (first.count(&format!("SELECT count(*) {came}")).await == 1).then_some(())).await;
    // As if that were long ago.
    let ago = "UPDATE presences SET last_seen_at = last_seen_at - interval '1 hour' WHERE member_id =";
    first.sql(&format!("{ago} '{}'", bob.member)).await;
    first.stop().await;
    drop(socket);
    let second = Server::start().await;
    let shown = second.presence(&ada, &bob).await;
    let seen: chrono::DateTime<Utc> = shown["lastSeenAt"].as_str().expect("a time").parse().expect("a time");
    assert!(seen > Utc::now() - TimeDelta::minutes(5), "{shown}");
    second.stop().await;
}

#[tokio::test]
async fn when_somebody_was_last_there_never_goes_back() {
    let server = hasty().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    // As a node has written whose clock is ahead.
    server
        .sql(&format!(
            "INSERT INTO presences (organization_id, member_id, last_seen_at)
             VALUES ('{}', '{}', '2100-01-01T00:00:00Z')",
            ada.organization, bob.member
        ))
        .await;
    let writer = format!("SELECT xmin::text FROM presences WHERE member_id = '{}'", bob.member);
    let before = server.text(&writer).await;
    let socket = Socket::open(&server.ws_url(), &bob).await.expect("a socket");
    until("an older time that is written", async || (server.text(&writer).await != before).then_some(())).await;
    drop(socket);
    let gone = until("an end of his presence", async || {
        let shown = server.presence(&ada, &bob).await;
        (shown["status"] == "OFFLINE").then_some(shown)
    })
    .await;
    assert_eq!(gone["lastSeenAt"], "2100-01-01T00:00:00.000Z");
    server.stop().await;
}

#[tokio::test]
async fn what_a_member_shows_is_theirs_until_it_ends() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let mut bobs = server.watch(&bob, &[&bob]).await;
    bobs.until(&bob, is("ONLINE")).await;
    let mut feed = server.watch(&ada, &[&bob]).await;
    feed.until(&bob, is("ONLINE")).await;

    let answer = server.show(&bob, json!({ "status": "DO_NOT_DISTURB", "text": "  in a meeting " })).await;
    let mut wanted = json!({ "memberId": bob.member, "status": "DO_NOT_DISTURB", "text": "in a meeting",
                             "expiresAt": null, "lastSeenAt": null, "hidden": false });
    assert_eq!(data(&answer, "done.presence"), &wanted);
    assert_eq!(bobs.next().await, json!([wanted]), "his other devices hear of it");
    wanted["hidden"] = Value::Null;
    assert_eq!(feed.next().await, json!([wanted]));
    assert_eq!(server.presence(&ada, &bob).await, wanted);

    // What is left out stays, null clears.
    let answer = server.show(&bob, json!({ "status": "AWAY" })).await;
    assert_eq!(data(&answer, "done.presence.text"), "in a meeting");
    feed.until(&bob, is("AWAY")).await;
    // Not yet over when it comes, however busy the machine is.
    let ends = loop {
        let ends = Utc::now() + TimeDelta::seconds(1);
        let answer = server.show(&bob, json!({ "text": "soon back", "expiresAt": ends.to_rfc3339() })).await;
        if user_errors(&answer, "done").is_empty() {
            break ends;
        }
    };
    let over = feed.until(&bob, is("ONLINE")).await;
    assert_eq!((&over["text"], &over["expiresAt"]), (&Value::Null, &Value::Null), "nobody has said so");
    assert!(Utc::now() >= ends - TimeDelta::milliseconds(5));
    assert_eq!(server.presence(&ada, &bob).await, over);
    let answer = server.show(&bob, json!({ "text": "anew" })).await;
    let after = data(&answer, "done.presence");
    assert_eq!((&after["status"], &after["expiresAt"]), (&json!("ONLINE"), &Value::Null), "what has ended is over");
    let answer = server.show(&bob, json!({ "text": null })).await;
    assert_eq!(data(&answer, "done.presence.text"), &Value::Null);
}

#[tokio::test]
async fn who_hides_is_offline_to_all_others() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let mut bobs = server.watch(&bob, &[&bob]).await;
    let mut feed = server.watch(&ada, &[&bob]).await;
    feed.until(&bob, is("ONLINE")).await;
    server.show(&bob, json!({ "text": "working" })).await;
    feed.until(&bob, |told| told["text"] == "working").await;
    let answer = server.show(&bob, json!({ "hidden": true })).await;
    assert_eq!(data(&answer, "done.presence.status"), "ONLINE", "as he sees it himself");
    assert_eq!(data(&answer, "done.presence.hidden"), true);
    let nothing = json!({ "memberId": bob.member, "status": "OFFLINE", "text": null, "expiresAt": null,
                          "lastSeenAt": null, "hidden": null });
    assert_eq!(feed.until(&bob, is("OFFLINE")).await, nothing);
    assert_eq!(server.presence(&ada, &bob).await, nothing);
    bobs.until(&bob, |told| told["hidden"] == true && told["text"] == "working" && told["status"] == "ONLINE").await;
    server.show(&bob, json!({ "status": "AWAY", "text": "secretly" })).await;
    server.show(&bob, json!({ "hidden": false })).await;
    let back = feed.next().await;
    assert_eq!(
        (&back[0]["status"], &back[0]["text"]),
        (&json!("AWAY"), &json!("secretly")),
        "nothing in between: {back}"
    );
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused_whole() {
    let server = server().await;
    let ada = server.founder().await;
    let past = (Utc::now() - TimeDelta::minutes(1)).to_rfc3339();
    for (input, wanted) in [
        (json!({ "status": "OFFLINE" }), vec!["status UNSUPPORTED"]),
        (json!({ "status": null, "hidden": null }), vec!["status REQUIRED", "hidden REQUIRED"]),
        (json!({ "text": "x".repeat(101) }), vec!["text TOO_LONG"]),
        (json!({ "text": "two\nlines" }), vec!["text INVALID"]),
        (json!({ "text": "fine", "expiresAt": past }), vec!["expiresAt OUT_OF_RANGE"]),
    ] {
        let answer = server.show(&ada, input).await;
        assert_eq!(user_errors(&answer, "done"), wanted);
        assert_eq!(data(&answer, "done.presence"), &Value::Null);
    }
    assert_eq!(server.presence(&ada, &ada).await["text"], Value::Null);
    let answer = server.show(&ada, json!({ "text": "x".repeat(100) })).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0]);
    let mut last = Value::Null;
    // One comes back each second.
    for _ in 0..1000 {
        last = server.show(&ada, json!({})).await;
        if last.get("errors").is_some() {
            break;
        }
    }
    assert_eq!(code(&last), "RATE_LIMITED");
}

#[tokio::test]
async fn a_feed_is_of_members_whom_one_may_see() {
    let server = server().await;
    let (ada, eve) = (server.founder().await, server.founder().await);
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "guest", None).await);
    let talk = server.group(&ada, &[&cy]).await;
    let refused = |said: Said| match said {
        Said::Refused(code) => code,
        other => panic!("not refused: {other:?}"),
    };
    for (viewer, members, code) in
        [(&eve, vec![&ada, &bob], "NOT_FOUND"), (&cy, vec![&bob], "NOT_FOUND"), (&ada, vec![], "BAD_USER_INPUT")]
    {
        assert_eq!(refused(server.watch(viewer, &members).await.hear().await), code);
    }
    assert_eq!(refused(server.watch(&ada, &vec![&bob; 501]).await.hear().await), "BAD_USER_INPUT");
    let most = server.watch(&ada, &[&bob; 500]).await.next().await;
    assert_eq!(most[0]["memberId"], json!(bob.member), "as many as are promised");
    // Of those named, the ones whom the guest talks with.
    let mut feed = server.watch(&cy, &[&ada, &bob, &eve]).await;
    let first = feed.next().await;
    assert_eq!(first.as_array().expect("a list").len(), 1);
    assert_eq!(first[0]["memberId"], json!(ada.member));
    let leave = json!({ "id": talk.id });
    let left = server.participant(&cy, "conversationLeave", leave).await;
    assert_eq!(user_errors(&left, "conversationLeave"), [""; 0]);
    server.show(&ada, json!({ "text": "not for guests" })).await;
    assert_eq!(feed.hear().await, Said::Complete, "nobody is left whom they may see");
}

#[tokio::test]
async fn a_page_of_members_costs_one_query() {
    let server = server().await;
    let ada = server.founder().await;
    for _ in 0..3 {
        server.member(&ada, "member", None).await;
    }
    let query = "{ members { nodes { presence { status } manager { presence { status } } } } }";
    let run = crate::kit::statements::during(ada.organization, async {
        let answer = server.graphql(query, json!({}), Some(&ada)).await;
        assert_eq!(data(&answer, "members.nodes").as_array().expect("nodes").len(), 4);
    })
    .await;
    let reads = run.iter().filter(|statement| statement.contains("\"presences\"")).count();
    assert_eq!(reads, 1, "{run:#?}");
}

#[tokio::test]
async fn a_program_is_nobodys_presence() {
    let server = server().await;
    let ada = server.founder().await;
    let query = "mutation($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { key } }";
    let input = json!({ "name": "robot", "permissions": { "resource": "MEMBER", "action": "READ", "scope": "ALL" } });
    let answer = server.graphql(query, json!({ "input": input }), Some(&ada)).await;
    let key = data(&answer, "apiKeyCreate.key").as_str().expect("a key").to_owned();
    let mut feed = server.watch(&key, &[&ada]).await;
    assert_eq!(feed.next().await[0]["status"], "OFFLINE", "the feed of a key is no connection of its member");
    assert_eq!(code(&server.show(&key, json!({ "text": "I am a robot" })).await), "FORBIDDEN");
    let bobs = server.watch(&ada, &[&ada]).await;
    assert_eq!(feed.until(&ada, is("ONLINE")).await["lastSeenAt"], Value::Null);
    drop(bobs);
}

#[tokio::test]
async fn who_is_blocked_sees_nobody_there() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let mut bobs = server.watch(&bob, &[&bob]).await;
    bobs.until(&bob, is("ONLINE")).await;
    server.show(&bob, json!({ "text": "here" })).await;
    let (mut adas, mut eves) = (server.watch(&ada, &[&bob]).await, server.watch(&eve, &[&bob]).await);
    for feed in [&mut adas, &mut eves] {
        feed.until(&bob, |told| told["text"] == "here").await;
    }
    acted(server, &bob, "Block", &eve).await;
    let nothing = json!({ "memberId": bob.member, "status": "OFFLINE", "text": null, "expiresAt": null,
                          "lastSeenAt": null, "hidden": null });
    assert_eq!(eves.until(&bob, is("OFFLINE")).await, nothing);
    assert_eq!(server.presence(&eve, &bob).await, nothing);
    // The others see him as before, and she hears nothing more, also not when what he set ends or is changed.
    server.show(&bob, json!({ "text": "still here", "status": "AWAY" })).await;
    adas.until(&bob, |told| told["text"] == "still here").await;
    assert_eq!(server.presence(&eve, &bob).await, nothing);
    acted(server, &bob, "Unblock", &eve).await;
    let back = eves.next().await;
    assert_eq!((&back[0]["text"], &back[0]["status"]), (&json!("still here"), &json!("AWAY")), "{back}");
}
