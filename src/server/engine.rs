//! One way in for every transport: a request is read, judged, limited, executed and answered here.
//! Invariant: what reaches the executor has been validated; what leaves has been worded by Stoa.

use crate::{
    app::App,
    error::{Code, Error, Result},
    kit::scope::{Caller, RequestInfo},
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A GraphQL request as it came over any transport.
#[derive(Clone, Debug, Default)]
pub struct GraphqlRequest {
    pub query: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Option<Map<String, Value>>,
    pub extensions: Option<Map<String, Value>>,
}

impl GraphqlRequest {
    /// From a JSON object; BAD_REQUEST in Stoa's words when a member has the wrong shape.
    pub fn from_json(_value: Value) -> Result<Self> {
        todo!()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

/// A request that may be executed.
pub struct Prepared {
    pub kind: OperationKind,
    /// The operation's name, for logs and metrics.
    pub name: Option<Arc<str>>,
}

/// An answer, serialised: `{"data":…,"errors":…,"extensions":…}`.
#[derive(Clone, Debug)]
pub struct Answer {
    pub body: Bytes,
    /// Set when the request failed before execution: there is no `data`.
    pub refused: Option<Code>,
}

impl Answer {
    /// The answer that says why a request was not executed: one error, no `data`.
    pub fn refusal(_error: &Error, _request: &RequestInfo) -> Self {
        todo!()
    }

    /// The `errors` array of `body` alone, for the WebSocket `error` message.
    pub fn errors(&self) -> Bytes {
        todo!()
    }
}

/// The schema with everything around it.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    pub fn new(_app: Arc<App>) -> Self {
        todo!()
    }

    /// The SDL, as in `schema.graphql`.
    pub fn sdl(&self) -> String {
        todo!()
    }

    /// Reads, judges and limits a request. The error is the finished answer.
    pub fn prepare(&self, _request: GraphqlRequest, _caller: &Caller) -> Result<Prepared, Answer> {
        todo!()
    }

    /// Executes a query or a mutation (the latter in a task of its own that outlives the caller's connection).
    pub async fn execute(&self, _prepared: Prepared, _caller: Caller) -> Answer {
        todo!()
    }

    /// Executes a subscription. An answer with `refused` set ends the stream.
    pub fn subscribe(&self, _prepared: Prepared, _caller: Caller) -> BoxStream<'static, Answer> {
        todo!()
    }
}
