//! An organization with every kind of record, and a word in every text that is found nowhere else.

use super::fill::{ANY, Extent, Filler, Selected, Source};
use crate::kit::{
    Founder, Server, connect, data,
    introspection::{list, name, reference},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub struct World {
    pub founder: Founder,
    /// Another member of the organization.
    pub colleague: Founder,
    /// In every text.
    pub marker: String,
    /// The ids of its records by kind.
    pub ids: BTreeMap<String, Vec<String>>,
    /// Every UUID in its rows.
    pub secrets: BTreeSet<String>,
    /// Cursors of its lists and feeds by root field.
    pub cursors: BTreeMap<String, BTreeSet<String>>,
}

impl Source for World {
    fn ids(&self, kind: &str, _focus: bool) -> Vec<String> {
        match kind {
            // Of each kind some: no more than `nodes` takes.
            ANY => self.ids.values().flat_map(|ids| ids.iter().take(100 / self.ids.len())).cloned().collect(),
            kind => self.ids.get(kind).cloned().unwrap_or_default(),
        }
    }

    fn cursors(&self, field: &str) -> Vec<String> {
        let own = self.cursors.get(field).into_iter().flatten();
        own.chain(self.cursors.values().flatten()).cloned().collect()
    }

    fn marker(&self) -> &str {
        &self.marker
    }
}

/// Makes records of a kind until all are made: those that others refer to come first.
fn creators<'a>(filler: &Filler<'a>) -> Vec<&'a Value> {
    let made = |field: &&Value| {
        (name(field).ends_with("Create") && !name(field).contains("Bulk"))
            || name(field).ends_with("Send")
            || ["reactionAdd", "teamMemberAdd", "userContactRequest"].contains(&name(field))
    };
    filler.types.fields("Mutation").iter().filter(made).collect()
}

impl World {
    pub async fn found(server: &Server, filler: &Filler<'_>) -> Self {
        let founder = server.founder().await;
        let colleague = server.member(&founder, "sales_rep", Some(founder.member)).await;
        let marker = format!("zq{}", &Uuid::new_v4().simple().to_string()[..12]);
        let mut world = World {
            founder,
            colleague,
            marker,
            ids: BTreeMap::new(),
            secrets: BTreeSet::new(),
            cursors: BTreeMap::new(),
        };
        let (organization, marker) = (world.founder.organization, &world.marker);
        server.sql(&format!(
            "UPDATE organizations SET name = '{marker} organization', slug = '{marker}' WHERE id = '{organization}';
             UPDATE users u SET full_name = '{marker} user', email = '{marker}-' || m.id || '@example.com'
                 FROM memberships m WHERE m.organization_id = '{organization}' AND m.user_id = u.id;
             UPDATE memberships SET name = '{marker} member', email = '{marker}-' || id || '@example.com', title = '{marker} title'
                 WHERE organization_id = '{organization}';
             INSERT INTO user_identities (id, user_id, issuer, subject, email)
                 SELECT gen_random_uuid(), user_id, '{marker} issuer', id, '{marker}@example.com' FROM memberships
                 WHERE organization_id = '{organization}';
             UPDATE sessions SET user_agent = '{marker} agent' WHERE organization_id = '{organization}'"
        )).await;
        // Dead, so that no worker changes it; what it holds must never be seen.
        server.sql(&format!(
            "INSERT INTO jobs (id, organization_id, kind, about, payload, status, max_attempts, last_error, finished_at, created_by)
                 SELECT gen_random_uuid(), '{organization}', kind, '{marker} about', '{{}}', 'dead', 3, '{marker} error', now(), '{}'
                 FROM unnest(ARRAY['mail', '{marker} kind']) AS kind", world.founder.member
        )).await;
        let members = vec![world.colleague.member.to_string(), world.founder.member.to_string()];
        world.ids.insert("Member".to_owned(), members);
        let begin = world.ask(server, "{ changes { cursor } }", json!({})).await;
        let begin = data(&begin, "changes.cursor").as_str().expect("a cursor").to_owned();
        world.cursors.entry("changes".to_owned()).or_default().insert(begin);
        // Of what the founder does themselves they are not notified.
        server.group(&world.colleague, &[&world.founder]).await;
        // Twice, so that references have something to name.
        for _ in 0..2 {
            for field in creators(filler) {
                world.create(server, filler, field).await;
            }
            stoa::messaging::notification::follow::catch_up(&server.app, organization).await.expect("caught up");
            world.look_up(server).await;
            // The contents were never sent; only what is whole can be attached.
            server
                .sql(&format!(
                "UPDATE files SET state = 'ready', object = id::text, checksum = repeat('0', 64), upload_until = NULL
                     WHERE organization_id = '{organization}'"
            ))
                .await;
        }
        world.harvest(server, filler).await;
        let missing: Vec<&str> =
            filler.types.entities().into_iter().filter(|entity| !world.ids.contains_key(*entity)).collect();
        assert!(missing.is_empty(), "the wall test has made no record of these kinds: {missing:?}");
        world
    }

    pub async fn ask(&self, server: &Server, document: &str, variables: Value) -> Value {
        server.graphql(document, variables, Some(&self.founder)).await
    }

    /// A record for each value of each enum of the input; what is refused of an optional field is left out.
    async fn create(&self, server: &Server, filler: &Filler<'_>, field: &Value) {
        let Some(first) = filler.arguments(field, Extent::Full, &[], self) else { return };
        let mut inputs = Vec::new();
        let of = reference(&field["args"][0]["type"]).name;
        for inner in filler.types.inputs(&of).into_iter().filter(|inner| filler.types.kind(&inner.of.name) == "ENUM") {
            for value in filler.types.values(&inner.of.name) {
                let mut input = filler.arguments(field, Extent::Full, &[], self).expect("as before");
                input["input"][&inner.name] = json!(value);
                inputs.push(input);
            }
        }
        if inputs.is_empty() {
            inputs.push(first);
        }
        for input in inputs {
            self.create_one(server, filler, field, input).await;
        }
    }

    pub async fn create_one(&self, server: &Server, filler: &Filler<'_>, field: &Value, mut input: Map<String, Value>) {
        loop {
            let (document, variables) =
                Selected::document("mutation", &[filler.select("Mutation", field, "made", input.clone(), 0)]);
            let answer = self.ask(server, &document, variables).await;
            let errors = list(&data(&answer, "made")["userErrors"]);
            if errors.is_empty() {
                return;
            }
            for error in errors {
                let path: Vec<&str> = list(&error["field"]).iter().filter_map(Value::as_str).collect();
                assert!(self.mended(&mut input["input"], &path), "the wall test cannot fill {}: {error}", name(field));
            }
        }
    }

    /// Takes back what was refused: a long text becomes a short one, everything else goes.
    fn mended(&self, input: &mut Value, path: &[&str]) -> bool {
        let Some((last, before)) = path.split_last() else { return false };
        let Some(Value::Object(parent)) =
            input.pointer_mut(&before.iter().map(|part| format!("/{part}")).collect::<String>())
        else {
            return false;
        };
        match parent.get_mut(*last) {
            Some(Value::String(text)) if text.starts_with(&self.marker) && *text != self.marker => {
                *text = self.marker.clone();
                true
            }
            _ => parent.remove(*last).is_some(),
        }
    }

    /// Finds out what there is, and of which kind.
    pub async fn look_up(&mut self, server: &Server) {
        let client = connect(&server.database).await;
        let columns = "SELECT a.attrelid::regclass::text, a.attname::text, a.attname = 'id' FROM pg_attribute a
            JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
            AND a.atttypid = 'uuid'::regtype AND EXISTS (SELECT FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attname = 'organization_id')";
        let organization = self.founder.organization;
        let (mut named, mut all) = (Vec::new(), BTreeSet::new());
        for row in client.query(columns, &[]).await.unwrap() {
            let (table, column, key): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
            let values = format!(
                "SELECT DISTINCT {column}::text FROM {table} WHERE organization_id = '{organization}' AND {column} IS NOT NULL"
            );
            let values: Vec<String> = client.query(&values, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
            if key {
                named.extend(values.iter().cloned());
            }
            all.extend(values);
        }
        self.secrets = all;
        for ids in named.chunks(100) {
            let answer = self
                .ask(server, "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", json!({ "ids": ids }))
                .await;
            for node in list(data(&answer, "nodes")).iter().filter(|node| !node.is_null()) {
                let ids = self.ids.entry(node["__typename"].as_str().expect("a type").to_owned()).or_default();
                let id = node["id"].as_str().expect("an id").to_owned();
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        let answer = self.ask(server, "{ sessions { id } }", json!({})).await;
        let sessions = list(data(&answer, "sessions")).iter().filter_map(|session| session["id"].as_str());
        self.ids.insert("Session".to_owned(), sessions.map(str::to_owned).collect());
        let query = "{ viewer { user { id } organization { id } identities { id } } }";
        let answer = self.ask(server, query, json!({})).await;
        let paths = [
            ("User", "viewer.user.id"),
            ("Organization", "viewer.organization.id"),
            ("LinkedIdentity", "viewer.identities.0.id"),
        ];
        for (kind, path) in paths {
            self.ids.insert(kind.to_owned(), vec![data(&answer, path).as_str().expect("an id").to_owned()]);
        }
    }

    /// Cursors of everything that can be paged.
    async fn harvest(&mut self, server: &Server, filler: &Filler<'_>) {
        for field in filler.types.fields("Query") {
            let places = filler.places(field, 0);
            let after = places.into_iter().find(|place| place[0] == "after").unwrap_or_default();
            let after = if self.cursors.contains_key(name(field)) { after } else { Vec::new() };
            let input = filler.arguments(field, Extent::Needed, &after, self).expect("records of all kinds");
            let (document, variables) = Selected::document("query", &[filler.select("Query", field, "all", input, 2)]);
            let answer = self.ask(server, &document, variables).await;
            assert!(answer.get("errors").is_none(), "{}: {answer:#}", name(field));
            let found = self.cursors.entry(name(field).to_owned()).or_default();
            cursors(&answer["data"], found);
        }
    }

    /// What of this organization stands in somebody else's answer, other than what they sent.
    pub fn seen_in(&self, answer: &Value, sent: &str) -> Vec<String> {
        let mut text = answer.to_string();
        strings(answer, &mut |string| {
            // Cursors are texts in disguise.
            if let Ok(bytes) = URL_SAFE_NO_PAD.decode(string) {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        });
        let mut seen = Vec::new();
        if text.contains(&self.marker) && !sent.contains(&self.marker) {
            seen.push(self.marker.clone());
        }
        seen.extend(uuids(&text).filter(|id| self.secrets.contains(*id) && !sent.contains(*id)).map(str::to_owned));
        seen
    }

    /// Its rows in every table, as one fingerprint a table.
    pub async fn rows(&self, server: &Server) -> BTreeMap<String, String> {
        let (client, organization) = (connect(&server.database).await, self.founder.organization);
        let tables =
            "SELECT c.relname::text, 'organization_id' FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attname = 'organization_id'
            UNION ALL SELECT 'organizations', 'id'";
        let mut rows = BTreeMap::new();
        for row in client.query(tables, &[]).await.unwrap() {
            let (table, key): (String, String) = (row.get(0), row.get(1));
            let all = format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t WHERE {key} = '{organization}'"
            );
            rows.insert(table, client.query_one(&all, &[]).await.unwrap().get(0));
        }
        let users = format!(
            "SELECT coalesce(md5(string_agg(u::text, '|' ORDER BY u.id)), '') FROM users u JOIN memberships m ON m.user_id = u.id WHERE m.organization_id = '{organization}'"
        );
        rows.insert("users".to_owned(), client.query_one(&users, &[]).await.unwrap().get(0));
        rows
    }
}

fn cursors(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| cursors(item, found)),
        Value::Object(members) => members.iter().for_each(|(key, inner)| match inner {
            Value::String(text) if key.to_lowercase().ends_with("cursor") && found.len() < 8 => {
                _ = found.insert(text.clone())
            }
            inner => cursors(inner, found),
        }),
        _ => {}
    }
}

fn strings(value: &Value, with: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => with(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, with)),
        Value::Object(members) => members.values().for_each(|inner| strings(inner, with)),
        _ => {}
    }
}

/// Everything in a text that has the form of a UUID.
pub fn uuids(text: &str) -> impl Iterator<Item = &str> {
    let form = |text: &&str| {
        text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
        })
    };
    (0..text.len().saturating_sub(35)).filter_map(move |start| text.get(start..start + 36)).filter(form)
}
