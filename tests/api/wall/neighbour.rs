//! A member of another organization who knows every id and every cursor of the first one. They learn nothing with
//! them (an id of the first organization answers as one that nobody has), and change nothing there.

use super::{
    fill::{Extent, Filler, Place, Selected, Source},
    loosened,
    world::{World, uuids},
};
use crate::kit::{
    Server, database,
    introspection::{Types, list, name},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Root fields in one document.
const TOGETHER: usize = 40;

/// Values of the neighbour's: the place in focus is the first organization's, the others are the neighbour's own.
struct Theirs<'a> {
    theirs: &'a World,
    own: &'a World,
    /// Nothing is one's own.
    all: bool,
}

impl Source for Theirs<'_> {
    fn ids(&self, kind: &str, focus: bool) -> Vec<String> {
        if focus || self.all { self.theirs.ids(kind, focus) } else { self.own.ids(kind, focus) }
    }

    fn cursors(&self, field: &str) -> Vec<String> {
        self.theirs.cursors(field)
    }

    fn marker(&self) -> &str {
        self.own.marker()
    }
}

pub struct Walk<'a> {
    pub server: &'a Server,
    pub filler: &'a Filler<'a>,
    theirs: &'a World,
    own: &'a World,
    /// Ids that nobody has in the place of theirs.
    nobodys: BTreeMap<String, String>,
    faults: Vec<String>,
    asked: usize,
    /// What the neighbour has sent in mutations: with a client's id a record of theirs may have it by now.
    sent: String,
}

impl<'a> Walk<'a> {
    pub fn new(server: &'a Server, filler: &'a Filler<'a>, theirs: &'a World, own: &'a World) -> Self {
        let nobodys = theirs.secrets.iter().map(|id| (id.clone(), Uuid::now_v7().to_string())).collect();
        Walk { server, filler, theirs, own, nobodys, faults: Vec::new(), asked: 0, sent: String::new() }
    }

    async fn ask(&mut self, document: &str, variables: &Value) -> Value {
        self.asked += 1;
        let answer = self.server.graphql(document, variables.clone(), Some(&self.own.founder)).await;
        if document.starts_with("mutation") {
            self.sent.push_str(&variables.to_string());
        }
        let seen = self.theirs.seen_in(&answer, &format!("{variables}{}", self.sent));
        if !seen.is_empty() {
            self.faults
                .push(format!("{seen:?} of the other organization are in the answer to\n{document}\n{variables}"));
        }
        let codes = list(&answer["errors"]).iter().map(|error| &error["extensions"]["code"]);
        let ours =
            ["INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"];
        for broken in codes.filter(|code| code.as_str().is_none_or(|code| ours.contains(&code))) {
            self.faults.push(format!("{broken} for\n{document}\n{variables}\n{}", answer["errors"]));
        }
        answer
    }

    /// With ids of nobody in the place of theirs.
    fn without(&self, variables: &Value) -> Value {
        let mut text = variables.to_string();
        for id in uuids(&variables.to_string()) {
            if let Some(nobodys) = self.nobodys.get(id) {
                text = text.replace(id, nobodys);
            }
        }
        serde_json::from_str(&text).expect("JSON as before")
    }

    /// Asks with their ids and with nobody's: the two answers must be alike in `view`.
    async fn compare(&mut self, document: &str, variables: &Value, view: fn(&Value) -> Value) {
        let theirs = self.ask(document, variables).await;
        let replaced = self.without(variables);
        if replaced == *variables {
            return;
        }
        let nobodys = self.ask(document, &replaced).await;
        let (theirs, nobodys) = (view(&theirs), view(&nobodys));
        if theirs != nobodys {
            let apart = apart(&theirs, &nobodys, "");
            self.faults.push(format!("their ids answer otherwise than nobody's: {apart}\n{variables}\n{document}"));
        }
    }

    async fn queries(&mut self) {
        let mut light = Vec::new();
        for field in self.filler.types.fields("Query") {
            let source = Theirs { theirs: self.theirs, own: self.own, all: true };
            let input = self.filler.arguments(field, Extent::Needed, &[], &source).expect("values");
            let (document, variables) =
                Selected::document("query", &[self.filler.select("Query", field, "all", input, 2)]);
            self.compare(&document, &variables, whole).await;
            for place in self.filler.places(field, 3) {
                let input = self.filler.arguments(field, Extent::Needed, &place, &source).expect("values");
                light.push(self.filler.select("Query", field, &format!("a{}", light.len()), input, 0));
            }
        }
        for fields in light.chunks(TOGETHER) {
            let (document, variables) = Selected::document("query", fields);
            self.compare(&document, &variables, whole).await;
        }
    }

    async fn mutations(&mut self) {
        let mut fields: Vec<&Value> = self.filler.types.fields("Mutation").iter().collect();
        // What is created with an id of theirs is one's own from then on, so that comes late; signing out comes last.
        fields.sort_by_key(|field| (list(&field["args"]).is_empty(), name(field).ends_with("Create")));
        for field in fields {
            let places: Vec<Place> = std::iter::once(Vec::new()).chain(self.filler.places(field, 5)).collect();
            for place in places {
                let source = Theirs { theirs: self.theirs, own: self.own, all: place.is_empty() };
                let input = self.filler.arguments(field, Extent::Needed, &place, &source).expect("values");
                let (document, variables) =
                    Selected::document("mutation", &[self.filler.select("Mutation", field, "done", input, 1)]);
                self.compare(&document, &variables, verdict).await;
            }
        }
    }

    /// The neighbour finds all that is their own: otherwise finding nothing would say nothing.
    async fn own_things_are_found(&mut self) {
        let mut found = String::new();
        for field in self.filler.types.fields("Query") {
            let input = self.filler.arguments(field, Extent::Needed, &[], self.own).expect("values");
            let (document, variables) =
                Selected::document("query", &[self.filler.select("Query", field, "own", input, 2)]);
            let answer = self.ask(&document, &variables).await;
            if !list(&answer["errors"]).is_empty() {
                self.faults.push(format!("{}: {}", name(field), answer["errors"]));
            }
            found.push_str(&answer["data"].to_string());
        }
        for (kind, ids) in &self.own.ids {
            if !ids.iter().any(|id| found.contains(id)) {
                self.faults.push(format!("no query answers a {kind}"));
            }
        }
        assert!(found.contains(&self.own.marker));
    }
}

/// Where two answers differ first, and how.
fn apart(a: &Value, b: &Value, path: &str) -> String {
    let below = |key: String, a: &Value, b: &Value| (a != b).then(|| apart(a, b, &format!("{path}/{key}")));
    let found = match (a, b) {
        (Value::Object(a), Value::Object(_)) => a.iter().find_map(|(key, inner)| below(key.clone(), inner, &b[key])),
        (Value::Array(a), Value::Array(many)) if a.len() == many.len() => {
            a.iter().zip(many).enumerate().find_map(|(place, (a, b))| below(place.to_string(), a, b))
        }
        _ => None,
    };
    found.unwrap_or_else(|| format!("{path}: {a} and {b}"))
}

/// The data, and the codes of errors with their places.
fn whole(answer: &Value) -> Value {
    json!({ "data": answer["data"], "errors": codes(answer) })
}

/// Whether and why it was refused.
fn verdict(answer: &Value) -> Value {
    let told = |payload: &Value| -> Vec<Value> {
        let per_item = list(&payload["results"]).iter().flat_map(|result| list(&result["userErrors"]));
        list(&payload["userErrors"])
            .iter()
            .chain(per_item)
            .map(|error| json!([error["field"], error["code"]]))
            .collect()
    };
    json!({ "userErrors": told(&answer["data"]["done"]), "none": answer["data"]["done"].is_null(), "errors": codes(answer) })
}

fn codes(answer: &Value) -> Vec<Value> {
    list(&answer["errors"]).iter().map(|error| json!([error["path"], error["extensions"]["code"]])).collect()
}

/// The whole walk, on a server of its own.
pub async fn nothing_crosses(server: &Server) {
    let types = Types::read().await;
    let filler = Filler::new(&types);
    let (theirs, own) = (World::found(server, &filler).await, World::found(server, &filler).await);
    let mut walk = Walk::new(server, &filler, &theirs, &own);
    walk.own_things_are_found().await;
    walk.queries().await;
    super::feed::nothing_crosses(&mut walk.faults, server, &filler, &theirs, &own).await;
    // Queries and feeds cannot write; in the feeds' test the first organization goes on itself.
    let before = theirs.rows(server).await;
    walk.mutations().await;
    let after = theirs.rows(server).await;
    let touched: Vec<&String> =
        before.iter().filter(|(table, rows)| after.get(*table) != Some(rows)).map(|(table, _)| table).collect();
    assert!(touched.is_empty(), "the neighbour has changed rows of {touched:?}");
    let faults = walk.faults;
    let shown: Vec<String> = faults.iter().take(12).map(|fault| fault.chars().take(3000).collect()).collect();
    assert!(faults.is_empty(), "{} faults in {} requests:\n{}", faults.len(), walk.asked, shown.join("\n\n"));
    let missed = filler.missed();
    assert!(missed.is_empty(), "no document of the wall test selects {missed:?}");
}

/// Stoa connects as a superuser and takes the role of requests.
#[tokio::test]
async fn a_neighbour_finds_nothing_under_a_superuser() {
    let server = Server::with(loosened).await;
    nothing_crosses(&server).await;
    server.stop().await;
}

/// Stoa connects as a plain owner who may not take the role of requests: FORCE holds the wall.
#[tokio::test]
async fn a_neighbour_finds_nothing_under_a_plain_owner() {
    let url = database("plain_owner", "plain").await;
    let server = Server::on(&url, loosened).await;
    nothing_crosses(&server).await;
    server.stop().await;
}

/// Without row level security the conditions of the statements hold alone.
#[tokio::test]
async fn a_neighbour_finds_nothing_without_row_level_security() {
    let url = database("no_policies", "postgres").await;
    let server = Server::on(&url, loosened).await;
    server
        .sql(
            "DO $$ DECLARE walled record; BEGIN
        FOR walled IN SELECT oid::regclass AS name FROM pg_class WHERE relrowsecurity LOOP
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', walled.name);
        END LOOP; END $$",
        )
        .await;
    nothing_crosses(&server).await;
    server.stop().await;
}
