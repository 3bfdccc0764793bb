//! What those who run Stoa ask it: is it alive, may it get traffic, how is it doing.
//! Invariant: asking costs next to nothing, however often and by whomever.

use super::{Server, fault::Media};
use crate::app::App;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use metrics::gauge;
use parking_lot::Mutex;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A database that takes longer than this does not count as there.
const DATABASE_PATIENCE: Duration = Duration::from_millis(500);
/// How long a verdict about the database is believed.
const VERDICT_LASTS: Duration = Duration::from_millis(500);

/// The process runs and answers. Says nothing about the database: restarting Stoa would not mend it.
pub async fn live() -> Response {
    status(StatusCode::OK, &json!({ "status": "live" }))
}

/// The public keys that access tokens are signed with (RFC 7517), for services that check tokens themselves.
pub async fn jwks(State(server): State<Arc<Server>>) -> Response {
    status(StatusCode::OK, &server.app.tokens.jwks())
}

/// Whether to send requests here, and if not, why: 200 or 503.
pub async fn ready(State(server): State<Arc<Server>>) -> Response {
    let migrated = server.is_migrated();
    let serving = !server.draining.is_cancelled();
    let database = server.probe.answers(&server.app).await;
    let ready = migrated && serving && database;
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "parts": {
            "database": if database { "up" } else { "down" },
            "migrations": if migrated { "done" } else { "pending" },
            "serving": if serving { "yes" } else { "draining" },
        },
    });
    status(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

/// Counters for Prometheus, in its text format 0.0.4.
pub async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let Some(handle) = &server.metrics else {
        return status(StatusCode::NOT_FOUND, &json!({ "status": "nothing is recorded" }));
    };
    let config = &server.app.config.http;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    {
        let open = config.max_connections.saturating_sub(server.limits.connections.available_permits());
        gauge!("stoa_http_connections").set(open as f64);
        gauge!("stoa_http_in_flight").set(server.limits.in_flight(config.max_in_flight) as f64);
        gauge!("stoa_http_streams").set(server.limits.streams_open() as f64);
        gauge!("stoa_writes_waiting").set(server.app.combiner.waiting() as f64);
    }
    let mut response = Response::new(Body::from(handle.render()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

fn status(status: StatusCode, body: &serde_json::Value) -> Response {
    super::fault::respond(status, Media::Json, body.to_string().into())
}

/// The last verdict about the database, kept for a moment so that a flood of questions is one query.
#[derive(Default)]
pub struct Probe(Mutex<Option<(Instant, bool)>>);

impl Probe {
    async fn answers(&self, app: &App) -> bool {
        if let Some((at, verdict)) = *self.0.lock()
            && at.elapsed() < VERDICT_LASTS
        {
            return verdict;
        }
        let verdict = matches!(tokio::time::timeout(DATABASE_PATIENCE, ask(app)).await, Ok(true));
        *self.0.lock() = Some((Instant::now(), verdict));
        verdict
    }
}

async fn ask(app: &App) -> bool {
    use diesel_async::RunQueryDsl;
    match app.database.of_nobody().await {
        Ok(mut connection) => diesel::sql_query("SELECT 1").execute(&mut *connection).await.is_ok(),
        Err(_) => false,
    }
}
