//! A schema that fails in every way a schema can.

use crate::{
    error::{Code, Error, Result},
    kit::feed::{Feed, Told, feed},
};
use async_graphql::{
    Context, ID, InputObject, InputValueError, InputValueResult, Interface, MaybeUndefined, Object, OneofObject,
    Scalar, ScalarType, SimpleObject, Subscription, Union, Value as Const,
};
use futures_util::{Stream, StreamExt, stream};
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub fn yours() -> Error {
    Error::yours_with(Code::NotFound, "There is no such thing.", vec![("reason", "GONE".into())])
}

/// A resolver that does not come back.
fn nowhere<T>() -> T {
    panic!("at the disco")
}

/// A date of this test.
pub struct Day(u32);

#[Scalar]
impl ScalarType for Day {
    fn parse(value: Const) -> InputValueResult<Self> {
        match value {
            Const::Number(number) if number.as_u64().is_some_and(|day| day <= 31) => {
                Ok(Day(number.as_u64().unwrap() as u32))
            }
            Const::Number(_) => Err(InputValueError::custom("there is no such day.")),
            value => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Const {
        self.0.into()
    }
}

#[derive(InputObject)]
pub struct Change {
    name: MaybeUndefined<String>,
    #[graphql(default = 7)]
    size: i32,
    tags: Option<Vec<String>>,
}

#[derive(OneofObject)]
pub enum By {
    Id(ID),
    Number(i32),
}

#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID"), field(name = "twin", ty = "Option<Box<Thing>>"))]
pub enum Node {
    Thing(Thing),
    Other(Other),
}

#[derive(Union)]
pub enum Either {
    Thing(Thing),
    Other(Other),
}

#[derive(SimpleObject, Clone)]
#[graphql(complex)]
pub struct Other {
    note: String,
}

#[async_graphql::ComplexObject]
impl Other {
    async fn id(&self) -> ID {
        "other".into()
    }
    async fn twin(&self) -> Option<Box<Thing>> {
        None
    }
}

/// No entity: every leaf of it may fail.
pub struct Summary;

#[Object]
impl Summary {
    async fn sum(&self) -> async_graphql::Result<Option<i32>> {
        Err(yours().into())
    }
    async fn count(&self) -> i32 {
        1
    }
}

#[derive(Clone)]
pub struct Thing(i32);

thread_local! {
    /// How often `twin` was resolved, in this test.
    pub static RUNS: Cell<usize> = const { Cell::new(0) };
    /// How many numbers `given` was asked with last, in this test.
    pub static GIVEN: Cell<usize> = const { Cell::new(0) };
}

#[Object]
impl Thing {
    async fn id(&self) -> ID {
        self.0.into()
    }
    async fn twin(&self) -> Option<Box<Thing>> {
        RUNS.set(RUNS.get() + 1);
        Some(Box::new(Thing(self.0)))
    }
    async fn name(&self) -> Option<String> {
        Some(format!("thing {}", self.0))
    }
    async fn bad_leaf(&self) -> async_graphql::Result<i32> {
        Err(yours().into())
    }
    async fn maybe_bad(&self, #[graphql(default = false)] ok: bool) -> async_graphql::Result<Option<i32>> {
        if ok { Ok(Some(1)) } else { Err(yours().into()) }
    }
    async fn bad_child(&self) -> async_graphql::Result<Option<Thing>> {
        Err(yours().into())
    }
    async fn hard_child(&self) -> async_graphql::Result<Thing> {
        if self.0 == 1 { Err(yours().into()) } else { Ok(Thing(self.0)) }
    }
    async fn children(&self, #[graphql(default = 3)] first: i32) -> Vec<Thing> {
        (0..first).map(Thing).collect()
    }
    async fn maybe_children(&self) -> Vec<Option<Thing>> {
        vec![Some(Thing(0)), None, Some(Thing(1))]
    }
}

pub struct Query;

#[Object]
impl Query {
    async fn thing(&self) -> Option<Thing> {
        Some(Thing(1))
    }
    async fn things(&self) -> Vec<Thing> {
        vec![Thing(0), Thing(1)]
    }
    async fn summaries(&self) -> Vec<Summary> {
        vec![Summary, Summary]
    }
    async fn bad(&self) -> async_graphql::Result<Option<Thing>> {
        Err(yours().into())
    }
    async fn shared(&self) -> async_graphql::Result<Option<Thing>> {
        Err(Arc::new(yours()).into())
    }
    async fn ours(&self) -> async_graphql::Result<Option<i32>> {
        Err(Error::ours("relation \"secrets\" does not exist").into())
    }
    async fn late(&self) -> async_graphql::Result<Option<i32>> {
        Err(Error::unavailable("connection refused to 10.0.0.1").into())
    }
    async fn foreign(&self) -> async_graphql::Result<Option<i32>> {
        Err(std::io::Error::other("/etc/passwd").into())
    }
    async fn panics(&self) -> Option<i32> {
        nowhere()
    }
    async fn sleeps(&self) -> i32 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        1
    }
    async fn on_day(&self, day: Day) -> i32 {
        day.0 as i32
    }
    async fn by(&self, by: By) -> String {
        match by {
            By::Id(id) => id.to_string(),
            By::Number(number) => number.to_string(),
        }
    }
    async fn change(&self, input: Option<Change>, #[graphql(default = 5)] times: i32) -> String {
        match input {
            None => format!("nothing {times}"),
            Some(Change { name, size, tags }) => format!("{name:?} {size} {tags:?} {times}"),
        }
    }
    async fn node(&self, id: ID) -> Option<Node> {
        Some(if id == "other" { Node::Other(Other { note: "n".into() }) } else { Node::Thing(Thing(1)) })
    }
    async fn either(&self) -> Vec<Either> {
        vec![Either::Thing(Thing(1)), Either::Other(Other { note: "n".into() })]
    }
}

#[derive(Default)]
pub struct Mutation {
    pub count: Arc<AtomicUsize>,
}

#[Object]
impl Mutation {
    async fn add(&self) -> Option<Thing> {
        Some(Thing(self.count.fetch_add(1, Ordering::SeqCst) as i32))
    }
    async fn fail(&self) -> async_graphql::Result<Option<Thing>> {
        Err(yours().into())
    }
    async fn slow(&self) -> Option<bool> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.count.fetch_add(100, Ordering::SeqCst);
        Some(true)
    }
    async fn panics(&self) -> Option<bool> {
        nowhere()
    }
}

fn anew<T>(item: T) -> Result<Told<T>> {
    Ok(Told::Anew(item))
}

pub struct Subscriptions;

#[Subscription]
impl Subscriptions {
    async fn count(&self, ctx: &Context<'_>, to: i32) -> async_graphql::Result<Feed<i32>> {
        feed(ctx, async || Ok(stream::iter((0..to).map(anew)))).await
    }
    async fn refused(&self, ctx: &Context<'_>) -> async_graphql::Result<Feed<i32>> {
        feed(ctx, async || Err::<stream::Empty<_>, _>(yours())).await
    }
    async fn things(&self, ctx: &Context<'_>) -> async_graphql::Result<Feed<Option<Thing>>> {
        feed(ctx, async || Ok(stream::iter([Some(Thing(1)), None, Some(Thing(2))].map(anew)))).await
    }
    async fn failing(&self, ctx: &Context<'_>) -> async_graphql::Result<Feed<i32>> {
        feed(ctx, async || Ok(stream::iter([Err(yours()), anew(2)]))).await
    }
    async fn panics(&self, ctx: &Context<'_>) -> async_graphql::Result<Feed<i32>> {
        feed(ctx, async || Ok(stream::iter(0..2).map(|n| if n == 1 { panic!("at the disco") } else { anew(n) }))).await
    }
    /// Takes a moment to open, and tells how many did at the same time.
    async fn crowded(&self, ctx: &Context<'_>) -> async_graphql::Result<Feed<i32>> {
        static HERE: AtomicUsize = AtomicUsize::new(0);
        feed(ctx, async || {
            let here = HERE.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            HERE.fetch_sub(1, Ordering::SeqCst);
            Ok(stream::iter([anew(here as i32)]))
        })
        .await
    }
    /// Tells how many numbers it was opened with.
    async fn given(&self, ctx: &Context<'_>, numbers: Vec<i32>) -> async_graphql::Result<Feed<i32>> {
        GIVEN.set(numbers.len());
        feed(ctx, async || Ok(stream::iter([anew(numbers.len() as i32)]))).await
    }
    /// Opens nothing.
    async fn at_once(&self) -> impl Stream<Item = i32> {
        stream::iter(0..2)
    }
}
