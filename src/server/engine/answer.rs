//! What a client is told. Invariant: serialised once; every error has a code and the request's id, and nothing that only
//! the log may know.

use super::faults::Told;
use crate::{
    error::{Code, Error},
    kit::scope::RequestInfo,
    server::documents::Refused,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An answer, serialised: `{"data":…,"errors":…,"extensions":…}`.
#[derive(Clone, Debug)]
pub struct Answer {
    pub body: Bytes,
    /// Set when the request failed before execution, where there is no `data`; SERVICE_UNAVAILABLE also when all of it
    /// came to nothing because the database is away.
    pub refused: Option<Code>,
}

/// What an operation cost, as `extensions.cost`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spent {
    pub requested: u64,
    pub maximum: u64,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a async_graphql::Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Told],
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions>,
}

#[derive(Serialize)]
struct Extensions {
    cost: Spent,
}

impl Answer {
    /// The answer that says why a request was not executed: one error, no `data`. An error that is the server's is logged.
    pub fn refusal(error: &Error, request: &RequestInfo) -> Self {
        super::faults::log(error, request, &[], None);
        Self::of_errors(error.code(), &[Told::of(error, request)])
    }

    /// The answer for a document or variables that were not executed.
    pub(super) fn of_refused(refused: &Refused, request: &RequestInfo) -> Self {
        let told: Vec<Told> = refused.faults.iter().map(|fault| Told::of_fault(fault, refused, request)).collect();
        Self::of_errors(refused.code, &told)
    }

    /// The answer of a subscription that did not come about.
    pub(super) fn of_refusals(told: &[Told]) -> Self {
        Self::of_errors(told.first().map_or(Code::InternalServerError, Told::code), told)
    }

    fn of_errors(code: Code, errors: &[Told]) -> Self {
        Answer { body: serialised(&Body { data: None, errors, extensions: None }), refused: Some(code) }
    }

    /// The answer of an operation that was executed.
    pub(super) fn of_data(data: &async_graphql::Value, errors: &[Told], spent: Option<Spent>) -> Self {
        let extensions = spent.map(|cost| Extensions { cost });
        Answer { body: serialised(&Body { data: Some(data), errors, extensions }), refused: None }
    }

    /// The answer of a query that was read without the executor.
    pub(super) fn of_text(data: &str, cost: Spent) -> Self {
        let extensions = serde_json::to_string(&Extensions { cost }).unwrap_or_default();
        Answer { body: format!("{{\"data\":{data},\"extensions\":{extensions}}}").into(), refused: None }
    }

    /// The `errors` array of `body` alone, for the WebSocket `error` message; `[]` when there is none.
    pub fn errors(&self) -> Bytes {
        #[derive(Deserialize)]
        struct Errors<'a> {
            #[serde(borrow)]
            errors: &'a RawValue,
        }
        match serde_json::from_slice::<Errors<'_>>(&self.body) {
            Ok(found) => self.body.slice_ref(found.errors.get().as_bytes()),
            Err(_) => Bytes::from_static(b"[]"),
        }
    }
}

/// What JSON cannot hold was let out of the engine by mistake: the client is told that much.
fn serialised(body: &Body<'_>) -> Bytes {
    match serde_json::to_vec(body) {
        Ok(bytes) => bytes.into(),
        Err(fault) => {
            tracing::error!(%fault, "an answer cannot be written as JSON");
            Bytes::from_static(
                br#"{"errors":[{"message":"Something went wrong on the server.","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#,
            )
        }
    }
}
