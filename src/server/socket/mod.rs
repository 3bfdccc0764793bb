//! GraphQL over WebSocket: the subprotocol `graphql-transport-ws`, as Apollo Client, urql and `graphql-ws` speak it.
//! Invariant: a socket that the server ends is closed with a code that tells a client the right thing: come
//! back at once (1012, 1013), come back with a fresh token (4403), or mend the program (the other 44xx).
//!
//! | code | when |
//! |---|---|
//! | 1002 | not WebSocket (RFC 6455): unmasked frames, reserved bits, … |
//! | 1007 | text that is not UTF-8 |
//! | 1009 | a message longer than `socket.max_message` |
//! | 1012 | the server restarts |
//! | 1013 | slow reader · no answer to pings · too many sockets of the session · too many messages · what signs in is away |
//! | 4400 | a message that the protocol does not have, or has in another shape |
//! | 4401 | `subscribe` before `connection_ack` |
//! | 4403 | token refused, expired or revoked |
//! | 4406 | another subprotocol |
//! | 4408 | no `connection_init` in time |
//! | 4409 | an operation id that is in use |
//! | 4429 | a second `connection_init` |

mod budget;
mod calls;
mod driver;
mod farewell;
mod handshake;
mod operations;
mod outbox;
mod protocol;
mod running;
mod seats;
mod sign_in;
#[cfg(test)]
mod tests;
mod wire;

pub use seats::Sockets;

use crate::{
    error::{Code, Error},
    kit::scope::RequestInfo,
    server::{Server, serve::Counted},
};
use axum::{
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use hyper_util::{
    rt::TokioIo,
    server::conn::auto::upgrade::{Parts, downcast},
};
use operations::Operations;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Answers a WebSocket handshake on `/graphql` and serves the socket in a task of its own (owned by
/// `Server::sockets`). Who asks is taken from the request's extensions when a layer put a `RequestInfo` there.
pub async fn upgrade(server: Arc<Server>, request: Request<Body>) -> Response<Body> {
    accept(server, request)
}

/// Whether a request wants to become a WebSocket.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    handshake::asks(request.headers())
}

fn accept<O: Operations>(operations: O, mut request: Request<Body>) -> Response<Body> {
    let info = request.extensions().get::<RequestInfo>().cloned().unwrap_or_else(|| handshake::unannounced(&request));
    let greeting = match handshake::greet(&request, &operations.config().http.cors_origins) {
        Ok(greeting) => greeting,
        Err(fault) => return refuse(&operations, &info, fault),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let response = greeting.response();
    let sockets = operations.sockets().clone();
    sockets.spawn(async move {
        match upgraded.await.map(downcast::<TokioIo<Counted<TcpStream>>>) {
            // Out of what it was wrapped in while it was not known what would be spoken.
            Ok(Ok(Parts { io, read_buf, .. })) => {
                let read = read_buf.to_vec();
                // With it the 8 KiB in which hyper has read the request.
                drop(read_buf);
                driver::drive(operations, (io.into_inner(), read), greeting, info).await;
            }
            Ok(Err(other)) => driver::drive(operations, (TokioIo::new(other), Vec::new()), greeting, info).await,
            Err(fault) => tracing::debug!(request = %info.id, %fault, "a handshake was not completed"),
        }
    });
    response
}

fn refuse<O: Operations>(operations: &O, info: &RequestInfo, fault: handshake::Fault) -> Response<Body> {
    let errors = operations.refusal(&Error::yours(Code::BadRequest, fault.message), info);
    let body = [b"{\"errors\":".as_slice(), &errors, b"}"].concat();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = fault.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json; charset=utf-8"));
    if fault.status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
    }
    response
}
