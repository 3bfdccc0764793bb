//! What a socket needs of the rest of Stoa: who asks, and answers to what is asked. A trait, so that the protocol
//! can be tested without a database. Invariant: every operation runs as the caller the socket has at that moment.

use super::Sockets;
use crate::{
    config::Config,
    error::{Code, Error, Result},
    identity,
    kit::scope::{Actor, Caller, RequestInfo, Scope},
    platform::{presence::Here, standing::Watch},
    server::{
        Server,
        engine::{Answer, GraphqlRequest, OperationKind},
    },
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::ready,
    stream::{BoxStream, once},
};
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// One message of an operation.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An answer, to be sent as it is.
    Next(Bytes),
    /// The list of errors for which the request was not executed. Nothing follows.
    Refused(Bytes),
}

/// An operation under way.
pub(super) struct Started {
    pub kind: OperationKind,
    pub answers: BoxStream<'static, Outcome>,
}

pub(super) trait Operations: Clone + Send + Sync + 'static {
    /// Somebody signed in.
    type Member: Clone + Send + Sync + Unpin + 'static;

    fn config(&self) -> &Config;
    fn sockets(&self) -> &Sockets;
    fn draining(&self) -> &CancellationToken;
    fn actor(member: &Self::Member) -> &Actor;
    fn authenticate(&self, token: String, request: RequestInfo) -> impl Future<Output = Result<Self::Member>> + Send;
    /// Tells when what the member may do here has to be asked again.
    fn watch(&self, member: &Self::Member) -> Watch;
    /// One more connection of the member; None for a program.
    fn arrive(&self, member: &Self::Member) -> Option<Here>;
    fn recheck(&self, member: Self::Member) -> impl Future<Output = Result<()>> + Send;
    /// The list of errors that says why something was not executed.
    fn refusal(&self, error: &Error, request: &RequestInfo) -> Bytes;
    /// Starts an operation; the error is a payload of the wrong shape.
    fn start(
        &self,
        payload: Map<String, Value>,
        member: Option<&Self::Member>,
        request: RequestInfo,
    ) -> Result<Started>;
}

impl Operations for Arc<Server> {
    type Member = Scope;

    fn config(&self) -> &Config {
        &self.app.config
    }

    fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    fn actor(member: &Scope) -> &Actor {
        &member.actor
    }

    async fn authenticate(&self, token: String, request: RequestInfo) -> Result<Scope> {
        self.unless_away(identity::authenticate(&self.app, &token, request)).await?
    }

    fn watch(&self, member: &Scope) -> Watch {
        identity::watch(member)
    }

    fn arrive(&self, member: &Scope) -> Option<Here> {
        identity::presence::arrive(member)
    }

    async fn recheck(&self, member: Scope) -> Result<()> {
        self.unless_away(identity::recheck(&member)).await?
    }

    fn refusal(&self, error: &Error, request: &RequestInfo) -> Bytes {
        Answer::refusal(error, request).errors()
    }

    fn start(&self, payload: Map<String, Value>, member: Option<&Scope>, mut info: RequestInfo) -> Result<Started> {
        let request = GraphqlRequest::from_json(Value::Object(payload))?;
        info.idempotency_key = match idempotency_key(&request) {
            Ok(key) => key,
            Err(error) => return Ok(refused(self.refusal(&error, &info))),
        };
        let caller = match member {
            Some(scope) => Caller::Member(Scope { request: info, ..scope.clone() }),
            None => Caller::Stranger { app: self.app.clone(), request: info },
        };
        Ok(match self.engine.prepare(request, &caller) {
            Err(answer) => refused(answer.errors()),
            Ok(prepared) => {
                let kind = prepared.kind;
                let answers = match kind {
                    OperationKind::Subscription => self.engine.subscribe(prepared, caller).map(outcome).boxed(),
                    OperationKind::Query | OperationKind::Mutation => {
                        let server = self.clone();
                        once(async move { outcome(server.execute(prepared, caller).await) }).boxed()
                    }
                };
                Started { kind, answers }
            }
        })
    }
}

fn outcome(answer: Answer) -> Outcome {
    match answer.refused {
        None => Outcome::Next(answer.body),
        Some(_) => Outcome::Refused(answer.errors()),
    }
}

/// An operation that ends before it begins. (It counts as a query: it ends by itself.)
pub(super) fn refused(errors: Bytes) -> Started {
    Started { kind: OperationKind::Query, answers: once(ready(Outcome::Refused(errors))).boxed() }
}

/// `extensions.idempotencyKey`, where HTTP has the header `Idempotency-Key`.
fn idempotency_key(request: &GraphqlRequest) -> Result<Option<Arc<str>>> {
    match request.extensions.as_ref().and_then(|extensions| extensions.get("idempotencyKey")) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(key)) if (1..=255).contains(&key.len()) && key.bytes().all(|it| it.is_ascii_graphic()) => {
            Ok(Some(key.as_str().into()))
        }
        Some(_) => Err(Error::yours(
            Code::BadRequest,
            "`extensions.idempotencyKey` must be a string of 1 to 255 visible ASCII characters.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_idempotency_key_is_a_short_visible_text() {
        let key = |value: Value| {
            let extensions = json!({"idempotencyKey": value}).as_object().cloned();
            idempotency_key(&GraphqlRequest { extensions, ..GraphqlRequest::default() })
        };
        assert_eq!(key(json!("a-1")).ok().flatten().as_deref(), Some("a-1"));
        assert_eq!(key(json!(null)).ok(), Some(None));
        for bad in [json!(1), json!(""), json!("a b"), json!("ä"), json!("x".repeat(256))] {
            assert_eq!(key(bad).map_err(|error| error.code()), Err(Code::BadRequest));
        }
    }
}
