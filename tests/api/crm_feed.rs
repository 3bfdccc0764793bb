//! What happens to records: live, as a log to read, and as the history of one.

use crate::kit::{Founder, Server, code, data, server};
use crate::messaging::live::{Feed, Said};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A kind of record: the names that the schema has for it, what one needs to create one, and texts to change.
struct Kind {
    name: &'static str,
    one: &'static str,
    many: &'static str,
    new: fn(&str) -> Value,
    texts: [&'static str; 2],
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "Account",
        one: "account",
        many: "accounts",
        new: |n| json!({ "name": n }),
        texts: ["name", "industry"],
    },
    Kind { name: "Contact", one: "contact", many: "contacts", new: person, texts: ["firstName", "title"] },
    Kind { name: "Lead", one: "lead", many: "leads", new: person, texts: ["firstName", "company"] },
];

fn person(name: &str) -> Value {
    json!({ "firstName": name, "lastName": "Doe" })
}

impl Kind {
    fn entity(&self) -> String {
        self.name.to_uppercase()
    }

    /// The fields of the record that are no relations.
    async fn fields(&self, server: &Server, who: &Founder) -> String {
        let query = "query($name: String!) { __type(name: $name) { fields { name args { name } type { kind ofType { kind ofType { kind ofType { kind } } } } } } }";
        let answer = server.graphql(query, json!({ "name": self.name }), Some(who)).await;
        let fields = data(&answer, "__type.fields").as_array().expect("fields").clone();
        let leaf = |mut kind: &Value| loop {
            match kind["kind"].as_str() {
                Some("SCALAR" | "ENUM") => return true,
                Some("NON_NULL" | "LIST") => kind = &kind["ofType"],
                _ => return false,
            }
        };
        let leaves = fields.iter().filter(|field| field["args"] == json!([]) && leaf(&field["type"]));
        leaves.filter_map(|field| field["name"].as_str()).collect::<Vec<_>>().join(" ")
    }

    async fn follow(&self, server: &Server, who: &Founder, fields: &str, filter: &str, after: &str) -> Feed {
        let query = format!(
            "subscription($after: String) {{ recordEvents(entity: {}, after: $after {filter}) {{
                __typename ... on FeedEvent {{ cursor }} ... on RecordChanged {{ action recordId changes {{ field }}
                actor {{ id }} record {{ ... on {} {{ {fields} }} }} }} }} }}",
            self.entity(),
            self.name
        );
        Feed::open(&server.ws_url(), who, &query, json!({ "after": after })).await.expect("a server")
    }

    /// All that `who` can list, by id.
    async fn fetch(&self, server: &Server, who: &Founder, fields: &str, filter: &str) -> BTreeMap<String, Value> {
        let query =
            format!("{{ {}(first: 100 {filter}) {{ nodes {{ {fields} }} pageInfo {{ hasNextPage }} }} }}", self.many);
        let answer = server.graphql(&query, json!({}), Some(who)).await;
        let page = data(&answer, self.many);
        assert_eq!(page["pageInfo"]["hasNextPage"], false);
        let nodes = page["nodes"].as_array().expect("nodes").clone();
        nodes.into_iter().map(|node| (node["id"].as_str().expect("an id").to_owned(), node)).collect()
    }

    /// The answer of `leadUpdate` and its like.
    async fn mutate(&self, server: &Server, by: &Founder, verb: &str, input: Value) -> Value {
        let query = format!(
            "mutation($input: {0}{verb}Input!) {{ {1}{verb}(input: $input) {{ {1} {{ id version ownerId }} userErrors {{ field code }} }} }}",
            self.name, self.one
        );
        server.graphql(&query, json!({ "input": input }), Some(by)).await
    }

    async fn create(&self, server: &Server, by: &Founder, name: &str) -> Value {
        let answer = self.mutate(server, by, "Create", (self.new)(name)).await;
        data(&answer, &format!("{0}Create.{0}", self.one))["id"].clone()
    }
}

/// Where the log stands, for `changes` and for each feed.
async fn cursor(server: &Server, who: &Founder) -> String {
    let answer = server.graphql("{ changes { cursor events { action } } }", json!({}), Some(who)).await;
    assert_eq!(data(&answer, "changes.events"), &json!([]));
    data(&answer, "changes.cursor").as_str().expect("a cursor").to_owned()
}

/// Creates, changes, gives away, deletes, restores and purges records, or tries to.
async fn disturb(server: &Server, kind: &Kind, seed: u64, by: &Founder, owners: &[Uuid]) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut ids = vec![kind.create(server, by, "first").await];
    for turn in 0..24 {
        let id = ids[dice.random_range(0..ids.len())].clone();
        let word = format!("{seed} {turn}");
        match dice.random_range(0..10) {
            0..2 => ids.push(kind.create(server, by, &word).await),
            2..5 => {
                let field = kind.texts[dice.random_range(0..2)];
                kind.mutate(server, by, "Update", json!({ "id": id, field: word, "tags": [word] })).await;
            }
            5..7 => {
                let owner = owners[dice.random_range(0..owners.len())];
                kind.mutate(server, by, "Update", json!({ "id": id, "ownerId": owner })).await;
            }
            7 => _ = kind.mutate(server, by, "Delete", json!({ "id": id })).await,
            8 => _ = kind.mutate(server, by, "Restore", json!({ "id": id })).await,
            _ => _ = kind.mutate(server, by, "Purge", json!({ "id": id })).await,
        }
    }
}

/// Whoever sees all, and whoever sees their own; with a filter and without.
#[tokio::test]
async fn a_snapshot_and_its_events_are_a_fresh_fetch() {
    let server = server().await;
    join_all(KINDS.iter().enumerate().map(async |(number, kind)| {
        let ada = server.founder().await;
        let boss = server.member(&ada, "manager", None).await;
        let rep = server.member(&ada, "sales_rep", Some(boss.member)).await;
        let fields = kind.fields(server, &ada).await;
        let filter = format!("filter: {{ {}: {{ contains: \"1\" }} }}", kind.texts[0]);
        let of_feed = format!("filter: {{ {}: {{ {}: {{ contains: \"1\" }} }} }}", kind.one, kind.texts[0]);
        let views =
            [(&ada, "", ""), (&boss, "", ""), (&rep, "", ""), (&ada, &*filter, &*of_feed), (&rep, &*filter, &*of_feed)];
        let owners = [ada.member, boss.member, rep.member];
        let seed = number as u64 * 100;
        let disturbing = join_all((0..3).map(|writer| disturb(server, kind, seed + writer, &ada, &owners)));
        let looking = async {
            let mut snapshots = Vec::new();
            for (who, list, feed) in views.iter().cycle().take(10) {
                let start = cursor(server, who).await;
                snapshots.push((*who, *list, *feed, start, kind.fetch(server, who, &fields, list).await));
            }
            snapshots
        };
        let (_, snapshots) = tokio::join!(disturbing, looking);
        // The last of all, which everybody sees, ends the reading.
        let last = kind.create(server, &ada, "1 last").await;
        kind.mutate(server, &ada, "Update", json!({ "id": last, "ownerId": rep.member })).await;
        for (who, list, filter, start, mut shown) in snapshots {
            let mut feed = kind.follow(server, who, &fields, filter, &start).await;
            loop {
                let event = feed.next().await;
                let id = event["recordId"].as_str().expect("an id").to_owned();
                let record = &event["record"];
                if record.is_null() || !record["deletedAt"].is_null() {
                    shown.remove(&id);
                } else {
                    // An older event of a record that was fetched meanwhile is made good by the newer ones to come.
                    shown.insert(id, record.clone());
                }
                if event["recordId"] == last && record["ownerId"] == json!(rep.member) {
                    break;
                }
            }
            assert_eq!(shown, kind.fetch(server, who, &fields, list).await, "{} {seed}", kind.name);
        }
    }))
    .await;
}

#[tokio::test]
async fn whose_view_a_record_leaves_learns_no_more_than_that() {
    let server = server().await;
    let ada = server.founder().await;
    let boss = server.member(&ada, "manager", None).await;
    let rep = server.member(&ada, "sales_rep", Some(boss.member)).await;
    let [.., lead] = &KINDS;
    let (start, id) = (cursor(server, &rep).await, lead.create(server, &rep, "Mine").await);
    let change = async |input: Value| lead.mutate(server, &ada, "Update", input).await;
    change(json!({ "id": id, "company": "ACME" })).await;
    change(json!({ "id": id, "company": "Secret", "ownerId": ada.member })).await;
    change(json!({ "id": id, "company": "More secret" })).await;
    change(json!({ "id": id, "ownerId": boss.member })).await;
    change(json!({ "id": id, "ownerId": rep.member })).await;
    let fields = "id company ownerId";
    let brief =
        |event: &Value| (event["record"]["company"].clone(), event["changes"].as_array().expect("changes").len());
    let of_rep: Vec<_> = lead.follow(server, &rep, fields, "", &start).await.take(4).await.iter().map(brief).collect();
    let back = (json!("More secret"), 1);
    assert_eq!(of_rep, [(Value::Null, 0), (json!("ACME"), 1), (Value::Null, 0), back.clone()]);
    let of_boss: Vec<_> =
        lead.follow(server, &boss, fields, "", &start).await.take(5).await.iter().map(brief).collect();
    assert_eq!(of_boss, [(Value::Null, 0), (json!("ACME"), 1), (Value::Null, 0), back.clone(), back]);
}

#[tokio::test]
async fn what_a_feed_cannot_do_is_refused() {
    let server = server().await;
    let (ada, other) = (server.founder().await, server.founder().await);
    let support = server.member(&ada, "support", None).await;
    let [account, .., lead] = &KINDS;
    let (here, there) = (cursor(server, &ada).await, cursor(server, &other).await);
    for (filter, after, said) in [
        ("filter: { lead: { owner: { name: { eq: \"x\" } } } }", &here, "BAD_USER_INPUT"),
        ("filter: { lead: { and: [{ not: { account: { name: { eq: \"x\" } } } }] } }", &here, "BAD_USER_INPUT"),
        ("filter: { account: { name: { eq: \"x\" } } }", &here, "BAD_USER_INPUT"),
        ("", &there, "INVALID_CURSOR"),
        ("", &"nonsense".to_owned(), "INVALID_CURSOR"),
    ] {
        let heard = lead.follow(server, &ada, "id", filter, after).await.hear().await;
        assert_eq!(heard, Said::Refused(said.into()), "{filter}");
    }
    let heard = lead.follow(server, &support, "id", "", &here).await.hear().await;
    assert_eq!(heard, Said::Refused("FORBIDDEN".into()));
    account.create(server, &ada, "Visible").await;
    let mut feed = account.follow(server, &support, "name", "", &here).await;
    assert_eq!(feed.next().await["record"]["name"], "Visible");
}

/// The first to begin waits for a row and commits last: nobody skips it, neither live nor page by page.
#[tokio::test]
async fn the_slow_one_that_commits_last_is_not_skipped() {
    let server = server().await;
    let ada = server.founder().await;
    let [.., lead] = &KINDS;
    let (slow, quick) = (lead.create(server, &ada, "slow").await, lead.create(server, &ada, "quick").await);
    let start = cursor(server, &ada).await;
    let mut feed = lead.follow(server, &ada, "company", "", &start).await;
    let holder = server.session().await;
    let hold = format!("BEGIN; SELECT FROM leads WHERE id = '{}' FOR UPDATE", slow.as_str().expect("an id"));
    holder.batch_execute(&hold).await.expect("a lock");
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("a number").get(0);
    let waiting = lead.mutate(server, &ada, "Update", json!({ "id": slow, "company": "slow" }));
    let going_on = async {
        let blocked = format!("SELECT count(*) FROM pg_stat_activity WHERE {pid} = ANY(pg_blocking_pids(pid))");
        while server.count(&blocked).await == 0 {}
        lead.mutate(server, &ada, "Update", json!({ "id": quick, "company": "quick" })).await;
        assert_eq!(feed.next().await["record"]["company"], "quick");
        let page = changes(server, &ada, &start, "").await;
        assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
        holder.batch_execute("COMMIT").await.expect("released");
        page["cursor"].as_str().expect("a cursor").to_owned()
    };
    let (_, between) = tokio::join!(waiting, going_on);
    assert_eq!(feed.next().await["record"]["company"], "slow");
    for (after, ids) in [(&start, vec![&quick, &slow]), (&between, vec![&slow])] {
        let page = changes(server, &ada, after, "").await;
        let told: Vec<_> = page["events"].as_array().expect("events").iter().map(|event| &event["recordId"]).collect();
        assert_eq!(told, ids);
    }
}

async fn changes(server: &Server, who: &Founder, after: &str, arguments: &str) -> Value {
    let query = format!(
        "query($after: String) {{ changes(after: $after {arguments}) {{ cursor hasMore resyncRequired
            events {{ cursor action type recordId actor {{ name }} }} }} }}"
    );
    data(&server.graphql(&query, json!({ "after": after }), Some(who)).await, "changes").clone()
}

#[tokio::test]
async fn pages_of_changes_are_the_log() {
    let server = server().await;
    let ada = server.founder().await;
    let start = cursor(server, &ada).await;
    // All of a bulk have the same time, and ids in no order.
    let items: Vec<_> = (0..30).map(|number| person(&number.to_string())).collect();
    let bulk = "mutation($items: [LeadCreateInput!]!) { leadBulkCreate(input: { items: $items }) { results { lead { id } } } }";
    let writing = join_all(KINDS.iter().map(async |kind| {
        for number in 0..10 {
            kind.create(server, &ada, &number.to_string()).await;
        }
    }));
    let (bulked, _) = tokio::join!(server.graphql(bulk, json!({ "items": items }), Some(&ada)), writing);
    assert_eq!(data(&bulked, "leadBulkCreate.results").as_array().map(Vec::len), Some(30));
    for size in [1, 7, 100] {
        let (mut after, mut read) = (start.clone(), Vec::new());
        loop {
            let page = changes(server, &ada, &after, &format!("first: {size}")).await;
            let events = page["events"].as_array().expect("events");
            assert!(events.len() <= size && page["resyncRequired"] == json!([]));
            read.extend(events.iter().cloned());
            after = page["cursor"].as_str().expect("a cursor").to_owned();
            if page["hasMore"] == false {
                break;
            }
        }
        assert_eq!(read.len(), 60, "pages of {size}");
        for kind in &KINDS {
            let of_log =
                kind.follow(server, &ada, "id", "", &start).await.take(if kind.one == "lead" { 40 } else { 10 }).await;
            let of_log: Vec<_> = of_log.iter().map(|event| &event["cursor"]).collect();
            let of_pages: Vec<_> =
                read.iter().filter(|event| event["type"] == kind.entity()).map(|event| &event["cursor"]).collect();
            assert_eq!(of_pages, of_log, "{} in pages of {size}", kind.name);
        }
        assert!(read.iter().all(|event| event["actor"]["name"] == "Ada Founder"));
        assert_eq!(changes(server, &ada, &after, "").await["events"], json!([]));
    }
}

#[tokio::test]
async fn changes_that_cannot_be_continued_say_so_kind_by_kind() {
    let server = server().await;
    let (ada, other) = (server.founder().await, server.founder().await);
    for kind in &KINDS {
        kind.create(server, &ada, "one").await;
    }
    let start = cursor(server, &ada).await;
    let organization = ada.organization;
    for name in ["two", "three"] {
        KINDS[1].create(server, &ada, name).await;
    }
    server
        .sql(&format!(
            "UPDATE stream_heads SET floor_seq = 2 WHERE organization_id = '{organization}' AND stream_id IN
        (SELECT stream_id FROM events WHERE organization_id = '{organization}' AND entity = 'Contact')"
        ))
        .await;
    KINDS[0].create(server, &ada, "two").await;
    let page = changes(server, &ada, &start, "").await;
    assert_eq!(page["resyncRequired"], json!(["CONTACT"]));
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "the others go on");
    KINDS[1].create(server, &ada, "two").await;
    let page = changes(server, &ada, page["cursor"].as_str().expect("a cursor"), "").await;
    assert_eq!((&page["resyncRequired"], page["events"].as_array().map(Vec::len)), (&json!([]), Some(1)));
    // Whoever asked for one kind only has to fetch the others before they go on with them.
    let query = "{ changes(types: [LEAD]) { cursor } }";
    let answer = server.graphql(query, json!({}), Some(&ada)).await;
    let page = changes(server, &ada, data(&answer, "changes.cursor").as_str().expect("a cursor"), "").await;
    assert_eq!(page["resyncRequired"], json!(["ACCOUNT", "CONTACT"]));
    for (after, first) in [("nonsense", 1), ("", 1), (&cursor(server, &other).await, 1)] {
        let query = "query($after: String, $first: Int) { changes(after: $after, first: $first) { cursor } }";
        let answer = server.graphql(query, json!({ "after": after, "first": first }), Some(&ada)).await;
        assert_eq!(code(&answer), "INVALID_CURSOR", "{after}");
    }
    for first in ["0", "-1", "101"] {
        let answer =
            server.graphql(&format!("{{ changes(first: {first}) {{ cursor }} }}"), json!({}), Some(&ada)).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn the_history_of_a_record_is_read_on_behind_a_cursor() {
    let server = server().await;
    let ada = server.founder().await;
    let [account, _, lead] = &KINDS;
    let id = lead.create(server, &ada, "one").await;
    // A record of another kind with the same id has a history of its own.
    let twin = json!({ "id": id, "name": "Twin" });
    data(&account.mutate(server, &ada, "Create", twin).await, "accountCreate.account");
    for number in 2..=7 {
        lead.mutate(server, &ada, "Update", json!({ "id": id, "company": number.to_string() })).await;
    }
    let page = async |after: Value, first: i32| {
        let query =
            "query($id: ID!, $after: String, $first: Int) { lead(id: $id) { history(first: $first, after: $after) {
            cursor action changes { field old new } actor { name } } } }";
        server.graphql(query, json!({ "id": id, "after": after, "first": first }), Some(&ada)).await
    };
    let (mut after, mut told) = (Value::Null, Vec::new());
    loop {
        let answer = page(after, 2).await;
        let entries = data(&answer, "lead.history").as_array().expect("entries").clone();
        let Some(last) = entries.last() else { break };
        after = last["cursor"].clone();
        told.extend(entries.iter().map(|entry| {
            assert_eq!(entry["actor"]["name"], "Ada Founder");
            entry["changes"][0]["new"].as_str().unwrap_or(entry["action"].as_str().expect("an action")).to_owned()
        }));
    }
    assert_eq!(told, ["7", "6", "5", "4", "3", "2", "created"]);
    assert_eq!(code(&page(json!("nonsense"), 2).await), "INVALID_CURSOR");
    let many = "query($id: ID!) { lead(id: $id) { history(first: 101) { action } } }";
    assert_eq!(code(&server.graphql(many, json!({ "id": id }), Some(&ada)).await), "BAD_USER_INPUT");
}
