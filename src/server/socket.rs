//! GraphQL over WebSocket (`graphql-transport-ws`).

use super::{
    Server, client,
    fault::{Fault, Media},
};
use crate::error::Code;
use axum::{
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use std::sync::Arc;

/// Answers the upgrade of `GET /graphql`.
pub async fn upgrade(_server: Arc<Server>, request: Request<Body>) -> Response {
    Fault::new(StatusCode::UPGRADE_REQUIRED, Code::BadRequest, "This build does not speak WebSocket.")
        .response(Media::Json, &client::info_of(&request))
}
