//! GraphQL over HTTP at `/graphql`: POST, GET, batches, event streams.
//! Invariant: a browser never executes anything for a page that may not ask, and a request is executed only when
//! all of it was understood.

pub mod negotiation;
pub mod origin;
pub mod read;
pub mod sse;

#[cfg(test)]
mod tests;

use super::{
    Server,
    client::{self, Credential},
    engine::{Answer, GraphqlRequest, OperationKind},
    explorer,
    fault::{self, Fault, Media, respond, status_of},
    socket,
};
use crate::{
    error::{Code, Error},
    kit::scope::{Caller, RequestInfo},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use negotiation::Accept;
use read::Sent;
use std::sync::Arc;

/// Answers whatever comes to `/graphql` by GET (HEAD) or POST.
pub async fn graphql(State(server): State<Arc<Server>>, request: Request) -> Response {
    let asks = request.method() != Method::POST;
    if asks && socket::is_upgrade(&request) {
        return Box::pin(socket::upgrade(server, request)).await;
    }
    let accept = Accept::of(request.headers());
    if asks && server.explores() && accept.page_load(request.headers(), read::asks_query(request.uri().query())) {
        return explorer::revalidated(request.headers(), explorer::html(server.app.config.demo));
    }
    let mut info = client::info_of(&request);
    // In a box: all layers around it would copy it whole.
    match Box::pin(answer(&server, request, accept, &mut info)).await {
        Ok(response) => response,
        Err(fault) => fault.response(accept.media().unwrap_or(Media::Json), &info),
    }
}

async fn answer(
    server: &Arc<Server>,
    request: Request,
    accept: Accept,
    info: &mut RequestInfo,
) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let limits = &server.limits;
    let credential = match judge(server, &head, accept, info) {
        Ok(credential) => credential,
        Err(fault) => {
            // A client that is still writing reads the answer only afterwards.
            read::discard(body, &head.headers, server.app.config.http.max_body).await;
            return Err(fault);
        }
    };
    let sent = match head.method {
        Method::POST => {
            let config = &server.app.config.http;
            let mut permit = limits.body();
            let body = read::body(body, &head.headers, config.max_body, &mut permit).await?;
            read::post(&body, config.max_batch)?
        }
        _ => Sent::One(read::get(head.uri.query())?),
    };
    let _in_flight = limits.request()?;
    let caller = server.unless_away(client::caller(&server.app, credential, info.clone())).await??;
    let mut response = match sent {
        Sent::One(request) => one(server, request, caller, head.method != Method::POST, accept).await,
        Sent::Batch(requests) => batch(server, requests, caller, accept, info).await,
    }?;
    for cookie in info.cookies.iter().flat_map(|cookies| cookies.take()) {
        response.headers_mut().extend(HeaderValue::from_str(&cookie).map(|cookie| (header::SET_COOKIE, cookie)));
    }
    Ok(response)
}

/// What can be told from the head alone; takes the idempotency key, the device and the cookies into `info`.
fn judge(server: &Server, head: &Parts, accept: Accept, info: &mut RequestInfo) -> Result<Credential, Fault> {
    if accept.media().is_none() {
        return Err(Fault::new(
            StatusCode::NOT_ACCEPTABLE,
            Code::BadRequest,
            "Answers are application/graphql-response+json, application/json or text/event-stream; Accept one of them.",
        ));
    }
    if head.method == Method::POST {
        read::content_type(&head.headers)?;
    }
    info.idempotency_key = client::idempotency_key(&head.headers)?;
    let credential = Credential::of(&head.headers)?;
    (info.cookies, info.device) = client::kept(&head.headers, info.secure || server.app.config.production)?;
    if matches!(credential, Credential::Cookie(_)) || info.cookies.is_some() {
        origin::judge(&head.method, &head.headers, authority(&head.uri, &head.headers), &server.cors)?;
    }
    Ok(credential)
}

/// The host that the client means: `:authority` in HTTP/2, `Host` in HTTP/1.
pub fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority().map(|authority| authority.as_str()).or_else(|| headers.get(header::HOST)?.to_str().ok())
}

/// One request.
async fn one(
    server: &Arc<Server>,
    request: GraphqlRequest,
    caller: Caller,
    by_get: bool,
    accept: Accept,
) -> Result<Response, Fault> {
    let media = accept.media().unwrap_or(Media::Json);
    let prepared = match server.engine.prepare(request, &caller) {
        Ok(prepared) => prepared,
        Err(refusal) => return Ok(finish(media, &refusal)),
    };
    match prepared.kind {
        OperationKind::Mutation if by_get => Err(Fault {
            status: StatusCode::METHOD_NOT_ALLOWED,
            error: Error::yours(Code::BadRequest, "A mutation changes something: send it by POST."),
            allow: Some("POST"),
        }),
        OperationKind::Subscription if !accept.streams() => Err(Fault::new(
            StatusCode::NOT_ACCEPTABLE,
            Code::BadRequest,
            "A subscription is answered as a stream: send `Accept: text/event-stream`, or use a WebSocket.",
        )),
        OperationKind::Subscription => {
            let permit = server.limits.stream(&caller)?;
            let answers = Box::pin(server.engine.subscribe(prepared, caller.clone()));
            let here = sse::here(&caller);
            Ok(sse::stream(answers, server.draining.clone(), sse::session(caller), (permit, here)))
        }
        OperationKind::Query | OperationKind::Mutation => Ok(finish(media, &server.execute(prepared, caller).await)),
    }
}

/// Several requests in one body: mutations and what stands among them in order, queries alone side by side.
async fn batch(
    server: &Arc<Server>,
    requests: Vec<GraphqlRequest>,
    caller: Caller,
    accept: Accept,
    info: &RequestInfo,
) -> Result<Response, Fault> {
    let media = match accept.media() {
        Some(media @ (Media::Json | Media::ResponseJson)) => media,
        _ => return Err(Fault::new(StatusCode::NOT_ACCEPTABLE, Code::BadRequest, "A batch is answered as JSON.")),
    };
    let prepared: Vec<_> = requests
        .into_iter()
        .enumerate()
        .map(|(place, request)| {
            let caller = at_place(&caller, place);
            let prepared = server.engine.prepare(request, &caller)?;
            if prepared.kind == OperationKind::Subscription {
                let error = Error::yours(Code::BadRequest, "A subscription cannot be part of a batch.");
                return Err(Answer::refusal(&error, info));
            }
            Ok((prepared, caller))
        })
        .collect();
    let mutates = prepared.iter().flatten().any(|(prepared, _)| prepared.kind == OperationKind::Mutation);
    let answers = prepared.into_iter().map(|item| async {
        match item {
            Ok((prepared, caller)) => server.execute(prepared, caller).await,
            Err(refusal) => refusal,
        }
    });
    let answers = if mutates {
        let mut done = Vec::with_capacity(answers.len());
        for answer in answers {
            done.push(answer.await);
        }
        done
    } else {
        join_all(answers).await
    };
    Ok(respond(StatusCode::OK, media, join(&answers)))
}

/// An idempotency key names one mutation: in a batch each gets its own, the same one at every repetition.
fn at_place(caller: &Caller, place: usize) -> Caller {
    let mut caller = caller.clone();
    let request = match &mut caller {
        Caller::Stranger { request, .. } => request,
        Caller::Member(scope) => &mut scope.request,
    };
    request.idempotency_key = numbered(request, place);
    caller
}

fn numbered(request: &RequestInfo, place: usize) -> Option<Arc<str>> {
    request.idempotency_key.as_ref().map(|key| format!("{key} {place}").into())
}

/// The HTTP form of an answer.
fn finish(media: Media, answer: &Answer) -> Response {
    let status = status(media, answer.refused);
    if media == Media::EventStream {
        // A fault of the document travels in the stream (graphql-sse); one of the caller or the server has its status.
        if status.is_success() {
            return respond(status, media, sse::once(answer));
        }
        return explained(respond(status, Media::Json, answer.body.clone()), answer);
    }
    explained(respond(status, media, answer.body.clone()), answer)
}

/// The status of an answer: what failed before execution is an error of the request, but clients of
/// `application/json` look into the body for it.
fn status(media: Media, refused: Option<Code>) -> StatusCode {
    match refused {
        None => StatusCode::OK,
        Some(code) => status_of(code).unwrap_or(match media {
            Media::ResponseJson => StatusCode::BAD_REQUEST,
            Media::Json | Media::EventStream => StatusCode::OK,
        }),
    }
}

/// Adds what a status asks for. What the engine refused is known by its body only; this is rare enough to read it.
fn explained(mut response: Response, answer: &Answer) -> Response {
    let extension = |name: &str| -> Option<serde_json::Value> {
        let mut body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        body.pointer_mut(&format!("/errors/0/extensions/{name}")).map(serde_json::Value::take)
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => {
            fault::challenge(&mut response, extension("reason").is_some_and(|reason| reason == "MISSING"));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            fault::retry_after(&mut response, extension("retryAfter").and_then(|seconds| seconds.as_u64()));
        }
        StatusCode::SERVICE_UNAVAILABLE => fault::retry_after(&mut response, None),
        _ => {}
    }
    response
}

/// The answers of a batch as one array.
fn join(answers: &[Answer]) -> Bytes {
    let size = answers.iter().map(|answer| answer.body.len() + 1).sum::<usize>() + 1;
    let mut body = BytesMut::with_capacity(size);
    for (place, answer) in answers.iter().enumerate() {
        body.put_u8(if place == 0 { b'[' } else { b',' });
        body.put_slice(&answer.body);
    }
    body.put_u8(b']');
    body.freeze()
}
