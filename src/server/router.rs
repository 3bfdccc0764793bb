//! What answers where: the table of contents of the outside.
//! Invariant: a path that is not listed here does not exist; both mistakes of the caller, the wrong path and the
//! wrong method, are told as JSON.

use super::{
    Server, client, explorer,
    fault::{Fault, Media},
    files, health, http,
};
use crate::error::Code;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use std::sync::Arc;

/// The routes. What every answer has in common (ids, CORS, headers, compression) is added by `edge`.
pub fn routes(server: Arc<Server>) -> Router {
    Router::new()
        .route("/graphql", get(http::graphql).post(http::graphql))
        .route("/graphql/assets/{*path}", get(explorer_asset))
        .route("/files/{organization}/{file}", get(files::get).put(files::put))
        .route("/files/{organization}/{file}/{thumbnail}", get(files::get))
        .route("/files/avatars/{user}/{avatar}", get(files::get))
        .route("/files/emojis/{organization}/{picture}", get(files::get))
        .route("/files/pictures/{organization}/{picture}", get(files::get))
        .route("/files/exports/{organization}/{grant}", get(files::get))
        .route("/files/conversations/{organization}/{grant}", get(files::get))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/.well-known/jwks.json", get(health::jwks))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(server)
}

/// What the explorer's page loads.
async fn explorer_asset(State(server): State<Arc<Server>>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/graphql/assets/").filter(|_| server.explores());
    match path.and_then(explorer::asset) {
        Some(asset) => asset,
        None => no_such_path(request).await,
    }
}

async fn no_such_path(request: Request) -> Response {
    Fault::new(StatusCode::NOT_FOUND, Code::NotFound, "There is nothing here. GraphQL is at /graphql.")
        .response(Media::Json, &client::info_of(&request))
}

/// axum adds `Allow`.
async fn no_such_method(request: Request) -> Response {
    Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::BadRequest,
        "This path does not take that method; see the Allow header.",
    )
    .response(Media::Json, &client::info_of(&request))
}
