//! A subscription under way: an answer an event. Invariant: between its events it has nothing in hand but its feed, and what
//! others were told of the very same event costs it neither the executor nor a wait. After a panic nothing follows.

use super::{
    Answer, Prepared, faults,
    run::{Run, said},
};
use crate::{
    error::Error,
    kit::{
        feed::{Item, Told, Turn},
        scope::{Caller, RequestInfo},
    },
};
use async_graphql::{Executor, Response, ServerError, Value};
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The answers of an operation as they come.
pub struct Subscription<S> {
    /// None: of an operation that answers once.
    asked: Option<Arc<Asked<S>>>,
    /// Once it is opened, and until it has ended.
    feed: Option<BoxStream<'static, Told<Item>>>,
    /// What the executor is at work on.
    working: Option<BoxFuture<'static, Worked>>,
}

/// What was asked, by whom.
struct Asked<S> {
    run: Arc<Run<S>>,
    prepared: Prepared,
    info: RequestInfo,
    caller: Option<Caller>,
}

/// What the executor's work came to.
enum Worked {
    Opened(BoxStream<'static, Told<Item>>),
    Nothing,
    Answer(Answer),
    Last(Answer),
}

impl<S: Executor> Subscription<S> {
    pub(super) fn of_one(answer: impl Future<Output = Answer> + Send + 'static) -> Self {
        Subscription { asked: None, feed: None, working: Some(answer.map(Worked::Last).boxed()) }
    }

    pub(super) fn open(run: Arc<Run<S>>, prepared: Prepared, info: RequestInfo, caller: Option<Caller>) -> Self {
        let asked = Arc::new(Asked { run, prepared, info, caller });
        Subscription { working: Some(asked.clone().open().boxed()), asked: Some(asked), feed: None }
    }

    fn end(&mut self, with: Option<Answer>) -> Poll<Option<Answer>> {
        self.feed = None;
        Poll::Ready(with)
    }
}

impl<S: Executor> Stream for Subscription<S> {
    type Item = Answer;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let this = self.get_mut();
        loop {
            if let Some(working) = &mut this.working {
                let worked = ready!(working.poll_unpin(context));
                this.working = None;
                match worked {
                    Worked::Opened(feed) => {
                        // Nobody else holds it: what has opened the feed is done.
                        if let Some(asked) = this.asked.as_mut().and_then(Arc::get_mut) {
                            asked.prepared.ready.forget_lists();
                        }
                        this.feed = Some(feed);
                    }
                    Worked::Nothing => return this.end(None),
                    Worked::Answer(answer) => return Poll::Ready(Some(answer)),
                    Worked::Last(answer) => return this.end(Some(answer)),
                }
            }
            let (Some(asked), Some(feed)) = (&this.asked, &mut this.feed) else { return Poll::Ready(None) };
            match catch_unwind(AssertUnwindSafe(|| feed.poll_next_unpin(context))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Some(Told::Again(body)))) => {
                    return Poll::Ready(Some(Answer { body, refused: None }));
                }
                Ok(Poll::Ready(Some(Told::Anew(item)))) => this.working = Some(asked.clone().tell(item).boxed()),
                Ok(Poll::Ready(None)) => return this.end(None),
                Err(panic) => {
                    let answer = asked.panicked(&*panic);
                    return this.end(Some(answer));
                }
            }
        }
    }
}

impl<S: Executor> Asked<S> {
    /// Asks the resolver to open its feed, once it is its turn: thousands come back together after a cut, and none of them is
    /// refused because it does not get a connection within the time that a query waits for one. It answers when there is no
    /// feed: most often, why.
    async fn open(self: Arc<Self>) -> Worked {
        // Cannot fail: it is never closed.
        let _place = self.run.opening.acquire().await;
        let turn = Arc::new(Turn::default());
        match self.execute(turn.clone()).await {
            Ok(None) => turn.opened().map_or(Worked::Nothing, Worked::Opened),
            Ok(Some(response)) if response.data == Value::Null && !response.errors.is_empty() => {
                Worked::Last(Answer::of_refusals(&self.told(response.errors)))
            }
            Ok(Some(response)) => Worked::Last(self.answer(response)),
            Err(answer) => Worked::Last(answer),
        }
    }

    async fn tell(self: Arc<Self>, item: Item) -> Worked {
        let response = match self.execute(Arc::new(Turn::telling(item))).await {
            Ok(Some(response)) => response,
            Ok(None) => return Worked::Nothing,
            Err(answer) => return Worked::Last(answer),
        };
        let sound = response.errors.is_empty();
        let answer = self.answer(response);
        if let Some(Caller::Member(scope)) = &self.caller
            && let Some(audience) = scope.loads.audience.get()
        {
            audience.tell(sound.then_some(&answer.body));
        }
        Worked::Answer(answer)
    }

    /// The error answers for a panic.
    async fn execute(&self, turn: Arc<Turn>) -> Result<Option<Response>, Answer> {
        let executed = self.run.turn(&self.prepared, self.caller.clone(), turn).await;
        executed.map_err(|fault| Answer::refusal(&fault, &self.info))
    }

    fn answer(&self, response: Response) -> Answer {
        let told = self.told(response.errors);
        Answer::of_data(&response.data, &told, None)
    }

    fn told(&self, errors: Vec<ServerError>) -> Vec<faults::Told> {
        faults::tell(errors, &self.info, self.prepared.name.as_deref())
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Answer {
        Answer::refusal(&Error::ours(said(panic)), &self.info)
    }
}
