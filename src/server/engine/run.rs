//! Preparing and executing over any schema. Invariant: a mutation that has begun ends, whoever still listens; a query
//! neither runs for ever nor takes anything down with it when it panics.

use super::{Answer, GraphqlRequest, OperationKind, Prepared, Subscription, answer::Spent, faults, nulls};
use crate::{
    config::{Config, millis},
    error::{Code, Error, Result},
    kit::{
        audience::{Answers, Audience},
        feed::Turn,
        plan::TableOf,
        round::Rounds,
        scope::{Caller, RequestInfo},
    },
    server::documents::Documents,
};
use async_graphql::{
    Executor, ObjectType, Request, Response, Schema, SchemaBuilder, SubscriptionType, ValidationMode, Value,
};
use futures_util::{FutureExt, StreamExt};
use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// A schema, what judges documents for it, and the mutations under way.
pub struct Run<S> {
    schema: S,
    sdl: String,
    documents: Documents,
    timeout: Duration,
    /// What queries may be read from without the executor.
    tables: &'static [TableOf],
    mutations: TaskTracker,
    /// Places for subscriptions that are being opened.
    pub(super) opening: Semaphore,
    /// What subscribers have been told, for those who are told the same.
    answers: Answers,
}

impl<Q, M, S> Run<Schema<Q, M, S>>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// An error of ours when the schema is not valid GraphQL.
    pub fn new(builder: SchemaBuilder<Q, M, S>, config: &Config, tables: &'static [TableOf]) -> Result<Self> {
        let (nullable, required) = nulls::Mark::both();
        // The documents have been validated and limited: the engine need not do it again for each request.
        let schema = builder
            .directive(nullable)
            .directive(required)
            .validation_mode(ValidationMode::Fast)
            .limit_recursive_depth(usize::MAX)
            .disable_suggestions()
            .finish();
        let sdl = schema.sdl_with_options(crate::graphql::sdl_options());
        let documents = Documents::new(&sdl, config.documents.clone())?;
        let timeout = millis(config.http.timeout_ms);
        // Half of the connections are left to everything else.
        let opening = Semaphore::new((config.database.pool / 2).max(1));
        let (mutations, answers) = (TaskTracker::new(), Answers::default());
        Ok(Run { schema, sdl, documents, timeout, tables, mutations, opening, answers })
    }
}

impl<S: Executor> Run<S> {
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    pub fn prepare(&self, request: &GraphqlRequest, info: &RequestInfo) -> Result<Prepared, Answer> {
        let text = request.query.as_deref().filter(|text| !text.trim().is_empty());
        let persisted = request.extensions.as_ref().and_then(|extensions| extensions.get("persistedQuery"));
        let verdict = match (persisted.filter(|persisted| !persisted.is_null()), text) {
            (Some(persisted), text) => self.documents.read_persisted(persisted, text),
            (None, Some(text)) => self.documents.read(text),
            (None, None) => {
                let error = Error::yours(Code::BadRequest, "The request has no `query`.");
                return Err(Answer::refusal(&error, info));
            }
        };
        let document = verdict.map_err(|refused| Answer::of_refused(&refused, info))?;
        self.documents
            .ready(&document, request.operation_name.as_deref(), request.variables.as_ref())
            .map(Prepared::new)
            .map_err(|refused| Answer::of_refused(&refused, info))
    }

    pub async fn execute(&self, prepared: Prepared, info: RequestInfo, caller: Option<Caller>) -> Answer {
        let spent = Spent { requested: prepared.cost(), maximum: self.documents.max_cost() };
        if let Some(answer) = self.read(&prepared, &info, caller.as_ref(), spent).await {
            return answer;
        }
        // In a box: as a part of this future it would be moved about with every query that does not come here.
        Box::pin(self.resolve(prepared, info, caller, spent)).await
    }

    /// The executor's answer.
    async fn resolve(&self, prepared: Prepared, info: RequestInfo, caller: Option<Caller>, spent: Spent) -> Answer {
        let name = prepared.name.clone();
        let rounds = rounds(caller.as_ref());
        let request = request(&prepared, caller);
        let executed = match prepared.kind {
            OperationKind::Query => {
                let run = AssertUnwindSafe(rounds.run(self.schema.execute(request))).catch_unwind();
                match tokio::time::timeout(self.timeout, run).await {
                    Ok(run) => run.map_err(|panic| Error::ours(said(&*panic))),
                    Err(late) => Err(Error::TooSlow(Code::Timeout, Arc::new(late))),
                }
            }
            OperationKind::Mutation => {
                let schema = self.schema.clone();
                self.track(async move { Ok(rounds.run(schema.execute(request)).await) }).await
            }
            OperationKind::Subscription => Err(Error::yours(
                Code::BadRequest,
                "Subscriptions need a WebSocket (graphql-transport-ws) or server-sent events.",
            )),
        };
        match executed {
            Ok(response) => {
                let told = faults::tell(response.errors, &info, name.as_deref());
                // Nothing came of it because the database is away, or the caller comes too often: that is no answer but a
                // reason to come again.
                let again = |told: &faults::Told| matches!(told.code(), Code::ServiceUnavailable | Code::RateLimited);
                if nothing(&response.data) && !told.is_empty() && told.iter().all(again) {
                    return Answer::of_refusals(&told);
                }
                Answer::of_data(&response.data, &told, Some(spent))
            }
            Err(error) => Answer::refusal(&error, &info),
        }
    }

    /// The answer to a query that needs no executor; None: let the executor answer, also where it can only say what is
    /// wrong.
    async fn read(
        &self,
        prepared: &Prepared,
        info: &RequestInfo,
        caller: Option<&Caller>,
        spent: Spent,
    ) -> Option<Answer> {
        let (OperationKind::Query, Some(Caller::Member(scope))) = (prepared.kind, caller) else { return None };
        let plan = prepared.ready.plan.reads(self.tables)?;
        match tokio::time::timeout(self.timeout, plan.run(scope, &prepared.ready.variables)).await {
            Ok(Ok(data)) => Some(Answer::of_text(&data, spent)),
            Ok(Err(fault @ Error::TooSlow(..))) => Some(Answer::refusal(&fault, info)),
            Ok(Err(_)) => None,
            Err(late) => Some(Answer::refusal(&Error::TooSlow(Code::Timeout, Arc::new(late)), info)),
        }
    }

    /// The answers of a subscription, one an event; of anything else, its one answer.
    pub fn subscribe(
        self: Arc<Self>,
        prepared: Prepared,
        info: RequestInfo,
        caller: Option<Caller>,
    ) -> Subscription<S> {
        if prepared.kind != OperationKind::Subscription {
            return Subscription::of_one(async move { self.execute(prepared, info, caller).await });
        }
        if let Some(Caller::Member(scope)) = &caller {
            scope.loads.audience.get_or_init(|| Audience::new(self.answers.clone(), prepared.ready.plan.id));
        }
        Subscription::open(self, prepared, info, caller)
    }

    /// What the executor makes of a subscription's root field at this turn; None: nothing. The error is a panic.
    pub(super) async fn turn(
        &self,
        prepared: &Prepared,
        caller: Option<Caller>,
        turn: Arc<Turn>,
    ) -> Result<Option<Response>> {
        let mut responses = self.schema.execute_stream(request(prepared, caller).data(turn), None);
        AssertUnwindSafe(responses.next()).catch_unwind().await.map_err(|panic| Error::ours(said(&*panic)))
    }

    /// Runs work that must end even if whoever asked for it has gone; a stop waits for it.
    pub async fn track<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        match self.mutations.spawn(work).await {
            Ok(done) => done,
            Err(ended) if ended.is_panic() => Err(Error::ours(said(&*ended.into_panic()))),
            Err(stopped) => Err(Error::unavailable(stopped)),
        }
    }

    pub async fn drain(&self) {
        self.mutations.close();
        self.mutations.wait().await;
    }
}

fn request(prepared: &Prepared, caller: Option<Caller>) -> Request {
    let ready = &prepared.ready;
    let mut request = Request::new("").variables(ready.variables.clone());
    request.set_parsed_query(ready.document());
    match caller {
        Some(caller) => request.data(caller),
        None => request,
    }
}

/// Those of the operation's loaders.
fn rounds(caller: Option<&Caller>) -> Rounds {
    match caller {
        Some(Caller::Member(scope)) => scope.loads.rounds(),
        _ => Rounds::default(),
    }
}

/// Whether no root field has a value.
fn nothing(data: &Value) -> bool {
    match data {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(|field| *field == Value::Null),
        _ => false,
    }
}

/// What a panic said, for the log.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a resolver panicked: {}", text.unwrap_or("without a word"))
}
