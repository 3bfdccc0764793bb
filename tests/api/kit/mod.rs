//! The server that tests talk to: one for all, on a PostgreSQL of the run's own, over HTTP and WebSocket as clients do.
//! Every test makes organizations of its own, so that all run at once and each proves the wall as well.

pub mod command;
pub mod introspection;
pub mod mail;
pub mod mirror;
pub mod oidc;
mod postgres;
pub mod redis;
mod sign_in;
pub mod statements;

#[allow(unused_imports, reason = "words for whichever test needs them")]
pub use postgres::{connect, database};
pub use sign_in::{Founder, PASSWORD};

use reqwest::Client;
use serde_json::{Value, json};
use std::{
    ops::Deref,
    sync::{Arc, LazyLock},
};
use stoa::{
    app::App,
    config::Config,
    server::{self, engine::Engine},
};
use tokio::{net::TcpListener, runtime::Runtime, sync::OnceCell, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where servers run: a test's own runtime ends with the test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(stoa::commands::worker_stack(Config::default().documents.max_depth))
        .enable_all()
        .build()
        .expect("a runtime")
});

static SHARED: OnceCell<Server> = OnceCell::const_new();

/// The server of all tests that need no other.
pub async fn server() -> &'static Server {
    SHARED.get_or_init(Server::start).await
}

/// A running server. It stops when it is dropped, be it by a test that fails; `stop` waits for it.
pub struct Server {
    pub app: Arc<App>,
    /// How a superuser gets to its database.
    pub database: String,
    url: String,
    /// Keeps no connection: one belongs to the runtime of the test that opened it.
    client: Client,
    stop: DropGuard,
    served: JoinHandle<()>,
}

impl Server {
    /// A server of one's own.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// A server with other settings. Limits of sign-ins are out of the way unless set, and hundreds at once on a machine that is
    /// busy with other tests get their connections.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(&postgres::url().await, change).await
    }

    /// A server on another database.
    pub async fn on(database: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { data_dir: postgres::folder().join("data"), ..Config::default() };
        config.identity.sign_ins_per_minute = 100_000;
        config.identity.argon2_memory_kib = 64;
        config.identity.argon2_passes = 1;
        config.identity.hash_queue = 1000;
        config.database.pool = 8;
        config.database.wait_ms = 10_000;
        // Servers share a database: jobs are for those tests that have one of their own.
        config.jobs.workers = 0;
        change(&mut config);
        statements::watch();
        let url = database.to_owned();
        let starting = RUNTIME.spawn(async move {
            let app = App::new(config, &url).await.expect("an application");
            let server = server::Server::new(app.clone(), Engine::new(app.clone()), None).expect("sound settings");
            server.migrated();
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let stop = CancellationToken::new();
            let serving = server::serve(Arc::new(server), listener, stop.clone());
            let served = tokio::spawn(async { serving.await.expect("served") });
            (app, format!("http://{address}"), stop.drop_guard(), served)
        });
        let (app, url, stop, served) = starting.await.expect("a server");
        Server { app, database: postgres::as_superuser(database), url, client: client(), stop, served }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `ws://127.0.0.1:port/graphql`.
    pub fn ws_url(&self) -> String {
        format!("{}/graphql", self.url.replacen("http", "ws", 1))
    }

    /// Nothing that was found in the database a moment ago is believed any more, as after a second.
    pub fn forget(&self) {
        self.app.standings.forget_all();
    }

    /// Stops the server and waits until it has.
    pub async fn stop(self) {
        drop(self.stop);
        self.served.await.expect("an end");
    }

    /// The answer to an operation, whatever its status.
    pub async fn graphql(&self, query: &str, variables: Value, token: Option<&str>) -> Value {
        let mut request =
            self.client.post(format!("{}/graphql", self.url)).json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        // A connection that is used again must not end with the test that opened it.
        let answer = RUNTIME.spawn(async { request.send().await?.json().await });
        answer.await.expect("no panic").expect("an answer in JSON")
    }

    /// Runs SQL as the superuser, outside the wall.
    pub async fn sql(&self, sql: &str) {
        connect(&self.database).await.batch_execute(sql).await.expect("sound SQL");
    }

    /// From now on the database refuses this, such as `DELETE ON leads`, where that is true of the row, such as `OLD.id = …`. For a
    /// server on a database of its own.
    pub async fn refuse(&self, what: &str, of: &str) {
        self.sql(&format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE {what} FOR EACH ROW WHEN ({of}) EXECUTE FUNCTION refuse()"
        ))
        .await;
    }

    /// What it refuses of a table, it refuses no more.
    pub async fn allow(&self, table: &str) {
        self.sql(&format!("DROP TRIGGER refuse ON {table}")).await;
    }

    /// What a query for one text answers, outside the wall.
    pub async fn text(&self, sql: &str) -> String {
        connect(&self.database).await.query_one(sql, &[]).await.expect("sound SQL").get(0)
    }

    /// A session of the superuser, outside the wall, that can hold locks.
    pub async fn session(&self) -> tokio_postgres::Client {
        connect(&self.database).await
    }

    /// What a query for one number answers, outside the wall.
    pub async fn count(&self, sql: &str) -> i64 {
        connect(&self.database).await.query_one(sql, &[]).await.expect("sound SQL").get(0)
    }
}

/// Keeps no connection for later: it would belong to the runtime of the test that opened it, and end with that test in
/// the middle of another's request.
fn client() -> Client {
    Client::builder().pool_max_idle_per_host(0).build().expect("a client")
}

/// The members of `path` in an answer that has no errors.
pub fn data<'a>(answer: &'a Value, path: &str) -> &'a Value {
    assert!(answer.get("errors").is_none(), "{answer:#}");
    answer["data"].pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or_else(|| panic!("no {path} in {answer:#}"))
}

/// What came of a mutation that is called `done`: that word, the code of the error, or the user errors.
pub fn verdict(answer: &Value) -> String {
    if answer.get("errors").is_some() {
        return code(answer).to_owned();
    }
    match user_errors(answer, "done").join(", ") {
        none if none.is_empty() => "done".to_owned(),
        errors => errors,
    }
}

/// The code of the only error of an answer.
pub fn code(answer: &Value) -> &str {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("no errors in {answer:#}"));
    assert_eq!(errors.len(), 1, "{answer:#}");
    errors[0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("no code in {answer:#}"))
}

/// The user errors below `path` as `field.path CODE`.
pub fn user_errors(answer: &Value, path: &str) -> Vec<String> {
    let errors = data(answer, path)["userErrors"].as_array().expect("user errors");
    let told = errors.iter().map(|error| {
        let field = error["field"].as_array().cloned().unwrap_or_default();
        let field: Vec<&str> = field.iter().filter_map(Value::as_str).collect();
        format!("{} {}", field.join("."), error["code"].as_str().unwrap_or_default())
    });
    told.collect()
}

impl Deref for Founder {
    type Target = str;

    /// The access token.
    fn deref(&self) -> &str {
        &self.token
    }
}
