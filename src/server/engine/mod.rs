//! One way in for every transport: a request is read, judged, limited, executed and answered here.
//! Invariant: what reaches the executor has been validated; what leaves has been worded by Stoa.

mod answer;
mod faults;
mod nulls;
mod request;
mod run;
mod subscription;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use request::GraphqlRequest;
pub use subscription::Subscription;

use crate::{
    app::App,
    error::Result,
    graphql::StoaSchema,
    identity,
    kit::{
        idempotency::{self, Claim},
        scope::{Caller, RequestInfo, Scope},
    },
    server::documents::Ready,
};
use async_graphql::parser::types::OperationType;
use run::Run;
use sha2::{Digest, Sha256};
use std::sync::Arc;

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
    ready: Ready,
    /// What makes it the same request as another; only where an idempotency key asks for it.
    fingerprint: Option<[u8; 32]>,
}

impl Prepared {
    fn new(ready: Ready) -> Self {
        let kind = match ready.kind {
            OperationType::Query => OperationKind::Query,
            OperationType::Mutation => OperationKind::Mutation,
            OperationType::Subscription => OperationKind::Subscription,
        };
        Prepared { kind, name: ready.name.clone(), ready, fingerprint: None }
    }

    /// What it may cost at most, counted before execution.
    pub fn cost(&self) -> u64 {
        self.ready.cost
    }
}

/// The schema with everything around it.
#[derive(Clone)]
pub struct Engine {
    run: Arc<Run<StoaSchema>>,
}

impl Engine {
    /// # Panics
    /// When Stoa's own schema is not valid GraphQL; a test holds that it is.
    pub fn new(app: Arc<App>) -> Self {
        let run = Run::new(crate::graphql::builder(), &app.config, crate::graphql::TABLES);
        match run {
            Ok(run) => Engine { run: Arc::new(run) },
            Err(fault) => panic!("Stoa's schema cannot be used: {fault:?}"),
        }
    }

    /// The SDL, as in `schema.graphql`.
    pub fn sdl(&self) -> String {
        self.run.sdl().to_owned()
    }

    /// Reads, judges and limits a request. The error is the finished answer. It counts as one of the API key's operations.
    pub fn prepare(&self, request: GraphqlRequest, caller: &Caller) -> Result<Prepared, Answer> {
        let mut prepared = self.run.prepare(&request, info(caller))?;
        if info(caller).idempotency_key.is_some() {
            prepared.fingerprint = Some(fingerprint(&request));
        }
        if let Caller::Member(scope) = caller {
            identity::allow_operation(scope).map_err(|refused| Answer::refusal(&refused, info(caller)))?;
        }
        Ok(prepared)
    }

    /// Executes a query or a mutation (the latter in a task of its own that outlives the caller's connection). A query
    /// that takes longer than `http.timeout_ms` is stopped: TIMEOUT.
    pub async fn execute(&self, prepared: Prepared, caller: Caller) -> Answer {
        let request = info(&caller).clone();
        let caller = idempotency::apart(caller.fresh());
        if let (OperationKind::Mutation, Some(fingerprint), Some(key), Caller::Member(scope)) =
            (prepared.kind, prepared.fingerprint, &info(&caller).idempotency_key, &caller)
        {
            // Whole in a task of its own: a client that hangs up comes again for this very answer.
            let once = once(self.run.clone(), prepared, fingerprint, key.clone(), scope.clone());
            let done = Box::pin(self.run.track(once)).await;
            return done.unwrap_or_else(|fault| Answer::refusal(&fault, &request));
        }
        self.run.execute(prepared, request, Some(caller)).await
    }

    /// Executes a subscription. An answer with `refused` set ends the stream. Events do not repeat what the subscription
    /// cost. Queries and mutations are executed as well and end after their one answer.
    pub fn subscribe(&self, prepared: Prepared, caller: Caller) -> Subscription<StoaSchema> {
        let request = info(&caller).clone();
        self.run.clone().subscribe(prepared, request, Some(caller.fresh()))
    }

    /// Waits for the mutations that are still running; none may be started any more. For a graceful stop.
    pub async fn drain(&self) {
        self.run.drain().await;
    }
}

/// Carries a mutation out unless its key says that it was carried out before.
async fn once(
    run: Arc<Run<StoaSchema>>,
    prepared: Prepared,
    fingerprint: [u8; 32],
    key: Arc<str>,
    scope: Scope,
) -> Result<Answer> {
    match idempotency::claim(&scope, &key, &fingerprint).await? {
        Claim::Answered(body) => Ok(Answer { body, refused: None }),
        Claim::Ours => {
            let request = scope.request.clone();
            let answer = run.execute(prepared, request.clone(), Some(Caller::Member(scope.clone()))).await;
            // Its answer is this client's whatever becomes of the copy.
            let kept = answer.refused.is_none() && scope.loads.secret.get().is_none();
            if let Err(fault) = idempotency::settle(&scope, &key, kept.then_some(&*answer.body)).await {
                tracing::error!(request_id = %request.id, ?fault, "cannot keep the answer of an idempotent request");
            }
            Ok(answer)
        }
    }
}

/// The same for the same document, operation and variables.
fn fingerprint(request: &GraphqlRequest) -> [u8; 32] {
    let parts = serde_json::json!([request.query, request.operation_name, request.variables, request.extensions]);
    Sha256::digest(parts.to_string()).into()
}

fn info(caller: &Caller) -> &RequestInfo {
    match caller {
        Caller::Stranger { request, .. } => request,
        Caller::Member(scope) => &scope.request,
    }
}
