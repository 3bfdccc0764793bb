//! Somebody who has not signed in: every root field says so, save for those that are listed with a reason in
//! `wall-exceptions.txt`.

use super::{
    feed::Feed,
    fill::{Extent, Filler, Selected},
    loosened,
    world::World,
};
use crate::kit::{
    Server,
    introspection::{Types, list, name},
};
use std::{collections::BTreeSet, time::Duration};

/// `Query.version` from `Query.version: why`.
fn exceptions() -> BTreeSet<&'static str> {
    let lines =
        include_str!("../wall-exceptions.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (field, why) = line.split_once(": ").unwrap_or_else(|| panic!("{line}: without a reason"));
            assert!(why.len() > 5, "{line}: without a reason");
            field
        })
        .collect()
}

#[tokio::test]
async fn a_stranger_is_asked_to_sign_in() {
    let server = Server::with(loosened).await;
    let types = Types::read().await;
    let filler = Filler::new(&types);
    let world = World::found(&server, &filler).await;
    let before = world.rows(&server).await;
    let (mut faults, mut open) = (Vec::new(), BTreeSet::new());
    for (root, kind) in [("Query", "query"), ("Mutation", "mutation"), ("Subscription", "subscription")] {
        for field in types.fields(root) {
            let input = filler.arguments(field, Extent::Needed, &[], &world).expect("values");
            let (document, variables) = Selected::document(kind, &[filler.select(root, field, "asked", input, 3)]);
            let answers = if kind == "subscription" {
                let mut feed = Feed::open(&server, &document, &variables, None).await;
                feed.read(Duration::from_secs(10)).await;
                assert!(feed.ended, "{}: a stranger's feed goes on", name(field));
                feed.answers()
            } else {
                vec![server.graphql(&document, variables.clone(), None).await]
            };
            let refused = !answers.is_empty()
                && answers.iter().all(|answer| {
                    let errors = list(&answer["errors"]);
                    errors.len() == 1
                        && errors[0]["extensions"]["code"] == "UNAUTHENTICATED"
                        && errors[0]["extensions"]["reason"] == "MISSING"
                        && answer["data"]["asked"].is_null()
                });
            if !refused {
                open.insert(format!("{root}.{}", name(field)));
                if let Some(error) = answers.iter().find_map(|answer| answer["errors"].get(0)) {
                    println!("{root}.{}: {error:.1000}", name(field));
                }
            }
            for answer in &answers {
                let seen = world.seen_in(answer, &variables.to_string());
                if !seen.is_empty() {
                    faults.push(format!("{root}.{} shows a stranger {seen:?}", name(field)));
                }
            }
        }
    }
    let listed = exceptions();
    faults.extend(
        open.iter().filter(|field| !listed.contains(field.as_str())).map(|field| format!("{field} answers a stranger")),
    );
    faults.extend(
        listed
            .iter()
            .filter(|field| !open.contains(**field))
            .map(|field| format!("{field} is listed and refuses strangers")),
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(world.rows(&server).await, before, "a stranger has changed something");
    server.stop().await;
}
