//! What a request leaves behind: nothing. Lists within lists are fetched ahead and kept until the operation ends.

use crate::kit::{Server, data};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn what_was_fetched_ahead_goes_with_the_operation() {
    let server = Server::start().await;
    let founder = server.founder().await;
    let create = "mutation($input: AccountCreateInput!) { accountCreate(input: $input) { account { id } } }";
    let answer = server.graphql(create, json!({ "input": { "name": "Acme" } }), Some(&founder)).await;
    data(&answer, "accountCreate.account.id");
    let nested =
        "{ accounts { nodes { name contacts(first: 5) { nodes { id owner { id } } } children { nodes { id } } } } }";
    // Every scope has the application, and every page that is fetched ahead could hold its scope.
    let mut held = Vec::new();
    for _ in 0..8 {
        data(&server.graphql(nested, json!({}), Some(&founder)).await, "accounts.nodes.0.contacts.nodes");
        held.push(Arc::strong_count(&server.app));
    }
    let before = held[0];
    let gone = async {
        while Arc::strong_count(&server.app) > before {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), gone).await.unwrap_or_else(|_| panic!("scopes are kept: {held:?}"));
}
