//! A database that goes away under a running server: whoever asks is told so within a second, with a code that says to
//! come again, and all goes on by itself when it is back.

use crate::{
    kit::{Server, code, data, server},
    socket::Client,
};
use reqwest::Client as Http;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use stoa::config::DatabaseConfig;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    sync::watch,
    task::JoinSet,
};

/// The wire to the database.
#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Whole,
    /// Connections break, and nobody answers new ones.
    Cut,
    /// Connections stay and carry nothing, as to a machine that was stopped.
    Silent,
}

/// A way to the database of the run that can be cut; its URL.
async fn wire() -> (watch::Sender<Wire>, String) {
    let direct = &server().await.database;
    let place = direct.split_once('@').expect("a user").1;
    let (socket, name) = place.split_once('/').expect("a database");
    let (folder, port) = socket.split_once(':').expect("a port");
    let folder = percent_encoding::percent_decode_str(folder).decode_utf8().expect("a path");
    let socket = format!("{folder}/.s.PGSQL.{port}");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("postgres://postgres@{}/{name}?sslmode=disable", listener.local_addr().expect("an address"));
    let (sender, mut state) = watch::channel(Wire::Whole);
    tokio::spawn(async move {
        let mut through = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut near, _) = accepted.expect("a connection");
                    let (socket, mut state) = (socket.clone(), state.clone());
                    through.spawn(async move {
                        if *state.borrow() == Wire::Cut { return }
                        let mut far = UnixStream::connect(socket).await.expect("PostgreSQL");
                        loop {
                            let now = *state.borrow_and_update();
                            tokio::select! {
                                _ = copy_bidirectional(&mut near, &mut far), if now == Wire::Whole => return,
                                _ = state.changed() => if *state.borrow() == Wire::Cut { return },
                            }
                        }
                    });
                }
                changed = state.changed() => if changed.is_err() { return },
                Some(_) = through.join_next() => {}
            }
        }
    });
    (sender, url)
}

/// What the server says to a request, and how long that took.
async fn told(server: &Server, query: &str, token: Option<&str>) -> (u16, Option<String>, Value, Duration) {
    let began = Instant::now();
    let request = Http::new().post(format!("{}/graphql", server.url())).json(&json!({ "query": query }));
    let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
    let response = request.send().await.expect("an answer");
    let retry = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    (response.status().as_u16(), retry, response.json().await.expect("JSON"), began.elapsed())
}

const LEADS: &str = "{ leads { nodes { id } } }";
const CREATE: &str =
    r#"mutation { leadCreate(input: { firstName: "Ada", lastName: "Away" }) { lead { id } userErrors { code } } }"#;

async fn goes_away_and_comes_back(how: Wire) {
    let (state, url) = wire().await;
    let server = Arc::new(Server::on(&url, |config| config.database.wait_ms = DatabaseConfig::default().wait_ms).await);
    let ada = server.founder().await;
    let login = format!(
        r#"mutation {{ login(input: {{ email: "{}", password: "nine purple otters juggle" }}) {{ session {{ accessToken }} }} }}"#,
        ada.email
    );
    let mut socket = Client::open(&server, Some(&ada)).await;
    // Warm connections, which would be used without a look at them.
    data(&server.graphql(LEADS, json!({}), Some(&ada)).await, "leads.nodes");
    data(&server.graphql(CREATE, json!({}), Some(&ada)).await, "leadCreate.lead.id");
    state.send(how).expect("a wire");

    let operations = [(LEADS, Some(&*ada)), (CREATE, Some(&*ada)), (&*login, None), ("{ version }", Some(&*ada))];
    for round in 0..2 {
        for (query, token) in operations {
            let (status, retry, answer, took) = told(&server, query, token).await;
            // Who was seen within the last second is still known.
            if query == "{ version }" && status == 200 {
                continue;
            }
            assert_eq!((status, code(&answer)), (503, "SERVICE_UNAVAILABLE"), "{round} {query}: {answer}");
            assert!(retry.is_some() && answer.get("data").is_none(), "{answer}");
            assert!(took < Duration::from_millis(1500), "{round} {query}: {took:?}");
        }
    }
    let began = Instant::now();
    socket.subscribe("1", json!({ "query": LEADS })).await;
    let error = socket.hear().await;
    assert_eq!(
        (&error["type"], &error["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("SERVICE_UNAVAILABLE"))
    );
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    let ready = Http::new().get(format!("{}/health/ready", server.url())).send().await.expect("an answer");
    assert_eq!(ready.status(), 503);
    // A stranger's query that needs no database is answered all the while.
    assert_eq!(told(&server, "{ version }", None).await.0, 200);

    state.send(Wire::Whole).expect("a wire");
    let back = async {
        while told(&server, LEADS, Some(&ada)).await.0 != 200 {}
        while told(&server, CREATE, Some(&ada)).await.0 != 200 {}
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("comes back by itself");
    socket.subscribe("2", json!({ "query": LEADS })).await;
    assert_eq!(socket.hear().await["type"], "next", "the socket was kept");
}

#[tokio::test]
async fn a_database_whose_connections_break() {
    goes_away_and_comes_back(Wire::Cut).await;
}

#[tokio::test]
async fn a_database_that_falls_silent() {
    goes_away_and_comes_back(Wire::Silent).await;
}
