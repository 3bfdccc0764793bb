//! Preparing and executing over any schema. Invariant: a mutation that has begun ends, whoever still listens; a query
//! neither runs for ever nor takes anything down with it when it panics.

use super::{Answer, GraphqlRequest, OperationKind, Prepared, answer::Spent, faults, nulls};
use crate::{
    config::{Config, millis},
    error::{Code, Error, Result},
    kit::{
        audience::{Answers, Audience, again},
        plan::TableOf,
        scope::{Caller, RequestInfo},
    },
    server::documents::Documents,
};
use async_graphql::{
    Executor, ObjectType, Request, Response, Schema, SchemaBuilder, SubscriptionType, ValidationMode, Value,
};
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};
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
        Ok(Run { schema, sdl, documents, timeout, tables, mutations: TaskTracker::new(), answers: Answers::default() })
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
        let request = request(&prepared, caller);
        let executed = match prepared.kind {
            OperationKind::Query => {
                let run = AssertUnwindSafe(self.schema.execute(request)).catch_unwind();
                match tokio::time::timeout(self.timeout, run).await {
                    Ok(run) => run.map_err(|panic| Error::ours(said(&*panic))),
                    Err(late) => Err(Error::TooSlow(Code::Timeout, Arc::new(late))),
                }
            }
            OperationKind::Mutation => {
                let schema = self.schema.clone();
                self.track(async move { Ok(schema.execute(request).await) }).await
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

    pub fn subscribe(
        self: Arc<Self>,
        prepared: Prepared,
        info: RequestInfo,
        caller: Option<Caller>,
    ) -> BoxStream<'static, Answer> {
        if prepared.kind != OperationKind::Subscription {
            return stream::once(async move { self.execute(prepared, info, caller).await }).boxed();
        }
        let name = prepared.name.clone();
        let audience = match &caller {
            Some(Caller::Member(scope)) => {
                scope.loads.audience.get_or_init(|| Audience::new(self.answers.clone(), prepared.ready.plan.id));
                Some(scope.loads.clone())
            }
            _ => None,
        };
        let events = self.schema.execute_stream(request(&prepared, caller), None);
        let events = AssertUnwindSafe(events).catch_unwind().boxed();
        // The first answer decides whether there is a subscription at all; after a panic nothing follows.
        let state = Some((events, true));
        stream::unfold(state, move |state| {
            let (info, name, audience) = (info.clone(), name.clone(), audience.clone());
            async move {
                let (mut events, first) = state?;
                let response = match events.next().await? {
                    Ok(response) => response,
                    Err(panic) => return Some((Answer::refusal(&Error::ours(said(&*panic)), &info), None)),
                };
                let failed = first && response.data == Value::Null && !response.errors.is_empty();
                // A resolver that refuses to subscribe answers once and is done; an event that fails is followed by
                // more, or at least by a wait for more.
                let next = if failed { events.next().now_or_never() } else { None };
                if let Some(None) = next {
                    let told = faults::tell(response.errors, &info, name.as_deref());
                    return Some((Answer::of_refusals(&told), None));
                }
                if let Some(Some(second)) = next {
                    events = stream::iter([second]).chain(events).boxed();
                }
                if let Some(body) = again(&response.data) {
                    return Some((Answer { body, refused: None }, Some((events, false))));
                }
                let sound = response.errors.is_empty();
                let answer = answer(response, &info, name.as_deref());
                if let Some(audience) = audience.as_ref().and_then(|loads| loads.audience.get()) {
                    audience.tell(sound.then_some(&answer.body));
                }
                Some((answer, Some((events, false))))
            }
        })
        .boxed()
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

/// One event.
fn answer(response: Response, info: &RequestInfo, name: Option<&str>) -> Answer {
    let told = faults::tell(response.errors, info, name);
    Answer::of_data(&response.data, &told, None)
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
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a resolver panicked: {}", text.unwrap_or("without a word"))
}
