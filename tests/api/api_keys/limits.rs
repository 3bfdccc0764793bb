//! How many API keys there may be, for how long, and how much they may do.

use super::{change, may, viewer};
use crate::{
    kit::{Server, code, data, user_errors},
    socket::Client,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

#[tokio::test]
async fn settings_limit_number_time_and_rate() {
    let server = Server::with(|config| {
        config.api_keys.per_member = 2;
        config.api_keys.per_organization = 3;
        config.api_keys.max_days = 30;
        config.api_keys.operations_per_minute = 5;
    })
    .await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "admin", None).await;
    let soon = (chrono::Utc::now() + chrono::TimeDelta::days(29)).to_rfc3339();
    let late = (chrono::Utc::now() + chrono::TimeDelta::days(31)).to_rfc3339();
    let create = async |who: &str, expires: Value| {
        let input = json!({ "name": "x", "permissions": may(&["LEAD READ ALL"]), "expiresAt": expires });
        change(&server, who, "apiKeyCreate", input).await
    };
    assert_eq!(user_errors(&create(&ada, json!(null)).await, "done"), ["expiresAt REQUIRED"]);
    assert_eq!(user_errors(&create(&ada, json!(late)).await, "done"), ["expiresAt OUT_OF_RANGE"]);
    let many = join_all((0..6).map(|_| create(&ada, json!(soon)))).await;
    let good: Vec<&Value> = many.iter().filter(|answer| user_errors(answer, "done").is_empty()).collect();
    assert_eq!(good.len(), 2);
    let full = many.iter().find(|answer| !user_errors(answer, "done").is_empty()).unwrap();
    assert_eq!(user_errors(full, "done"), [" LIMIT_EXCEEDED"]);
    assert!(user_errors(&create(&bob, json!(soon)).await, "done").is_empty());
    assert_eq!(user_errors(&create(&bob, json!(soon)).await, "done"), [" LIMIT_EXCEEDED"], "the organization's");
    let (id, key) = (data(good[0], "done.apiKey.id").clone(), data(good[0], "done.key").as_str().unwrap().to_owned());
    let null = change(&server, &ada, "apiKeyRotate", json!({ "id": id, "expiresAt": null })).await;
    assert_eq!(user_errors(&null, "done"), ["expiresAt REQUIRED"]);

    let request = async |body: Value| {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.url())).bearer_auth(&key);
        request.json(&body).send().await.unwrap()
    };
    // Operations count, whatever carries them: a batch of three, two on a socket, and no more.
    let one = json!({ "query": "{ version }" });
    assert_eq!(request(json!([one, one, one])).await.status(), 200);
    let mut socket = Client::open(&server, Some(&key)).await;
    for id in ["1", "2"] {
        socket.subscribe(id, one.clone()).await;
        assert_eq!(socket.hear().await["type"], "next");
        assert_eq!(socket.hear().await["type"], "complete");
    }
    socket.subscribe("3", one.clone()).await;
    let refused = socket.hear().await;
    assert_eq!(
        (&refused["type"], &refused["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("RATE_LIMITED"))
    );
    let refused = request(one).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    data(&viewer(&server, &ada).await, "viewer.role");
    assert!(user_errors(&change(&server, &ada, "apiKeyRevoke", json!({ "id": id })).await, "done").is_empty());
    assert!(user_errors(&create(&ada, json!(soon)).await, "done").is_empty(), "what does not work does not count");
    server.stop().await;
}

/// Like whoever tries passwords: who sends many keys that are none has to wait, and no longer costs the database anything.
#[tokio::test]
async fn an_address_that_tries_keys_has_to_wait() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let mut told = Vec::new();
    for _ in 0..24 {
        let tries = (0..25).map(|_| async {
            let key = stoa::platform::tokens::ApiKeyToken::new(ada.organization).unwrap().1;
            code(&viewer(&server, &key).await).to_owned()
        });
        told.extend(join_all(tries).await);
    }
    assert!(told[..400].iter().all(|told| told == "UNAUTHENTICATED"));
    assert!(told.contains(&"RATE_LIMITED".to_owned()));
    data(&viewer(&server, &ada).await, "viewer.role");
    server.stop().await;
}
