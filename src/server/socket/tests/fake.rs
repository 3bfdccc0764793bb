//! A stand-in for identity and the engine, and a client that says and hears raw messages.

use super::super::{
    Sockets, driver,
    handshake::{self, Greeting},
    operations::{Operations, Outcome, Started, refused},
};
use crate::{
    config::Config,
    error::{Code, Error, Result},
    identity,
    kit::{
        permission,
        scope::{Actor, Credential, RequestInfo},
    },
    platform::{
        presence::Here,
        standing::{Standings, Watch},
    },
    server::engine::OperationKind,
};
use axum::http::Request;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};
use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Clone)]
pub struct Fake(pub Arc<Inner>);

pub struct Inner {
    pub config: Config,
    pub sockets: Sockets,
    pub draining: CancellationToken,
    /// Whether sessions are revoked.
    pub revoked: AtomicBool,
    /// Whether identity is away.
    pub away: AtomicBool,
    pub standings: Standings,
    /// When a member was heard last; each connection holds one.
    pub here: Arc<AtomicU64>,
    /// How often a session was rechecked.
    pub rechecks: AtomicUsize,
    /// Lets `slow` operations answer.
    pub release: Notify,
    /// What `flood` has been asked for.
    pub pulled: AtomicUsize,
    /// The sending ends of `feed:…`.
    pub feeds: Mutex<HashMap<String, mpsc::UnboundedSender<Outcome>>>,
    /// Request id and member of each operation started.
    pub started: Mutex<Vec<(String, Option<u128>)>>,
}

impl Fake {
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Fake(Arc::new(Inner {
            config,
            sockets: Sockets::new(),
            draining: CancellationToken::new(),
            revoked: AtomicBool::new(false),
            away: AtomicBool::new(false),
            standings: Standings::unread(),
            here: Arc::default(),
            rechecks: AtomicUsize::new(0),
            release: Notify::new(),
            pulled: AtomicUsize::new(0),
            feeds: Mutex::default(),
            started: Mutex::default(),
        }))
    }

    /// Sends to a `feed:…`; false when nobody listens any more.
    pub fn publish(&self, feed: &str, data: Value) -> bool {
        let body = json!({ "data": data }).to_string();
        self.0.feeds.lock().get(feed).is_some_and(|feed| feed.send(Outcome::Next(body.into())).is_ok())
    }

    /// Ends a `feed:…` from the server's side.
    pub fn end(&self, feed: &str) {
        self.0.feeds.lock().remove(feed);
    }
}

fn member(member: u128, session: u128, lives: Duration) -> Actor {
    Actor {
        organization: Uuid::from_u128(9),
        member: Uuid::from_u128(member),
        user: Uuid::from_u128(member),
        credential: Credential::Session(Uuid::from_u128(session)),
        expires_at: chrono::Utc::now() + lives,
        role: permission::Role::Guest,
        role_name: "Guest".into(),
        permissions: identity::permissions(permission::Role::Guest),
        team: Arc::default(),
        unverified: false,
        time_zone: chrono_tz::UTC,
        currency: "EUR".into(),
    }
}

impl Operations for Fake {
    type Member = Arc<Actor>;

    fn config(&self) -> &Config {
        &self.0.config
    }

    fn sockets(&self) -> &Sockets {
        &self.0.sockets
    }

    fn draining(&self) -> &CancellationToken {
        &self.0.draining
    }

    fn actor(member: &Arc<Actor>) -> &Actor {
        member
    }

    async fn authenticate(&self, token: String, _: RequestInfo) -> Result<Arc<Actor>> {
        let hour = Duration::from_secs(3600);
        match token.as_str() {
            _ if self.0.away.load(SeqCst) => Err(Error::unavailable("away")),
            "alice" => Ok(Arc::new(member(1, 1, hour))),
            "alice, briefly" => Ok(Arc::new(member(1, 1, Duration::from_millis(200)))),
            "alice, slowly" => {
                self.0.release.notified().await;
                Ok(Arc::new(member(1, 1, hour)))
            }
            "alice elsewhere" => Ok(Arc::new(member(1, 2, hour))),
            "bob" => Ok(Arc::new(member(2, 3, hour))),
            "old" => Err(Error::unauthenticated("EXPIRED", "Ended.")),
            _ => Err(Error::unauthenticated("INVALID", "Unreadable.")),
        }
    }

    fn watch(&self, member: &Arc<Actor>) -> Watch {
        self.0.standings.watch([member.organization, member.member, member.user, member.credential.id()])
    }

    fn arrive(&self, _: &Arc<Actor>) -> Option<Here> {
        Some(Here::observed(self.0.here.clone()))
    }

    async fn recheck(&self, _: Arc<Actor>) -> Result<()> {
        self.0.rechecks.fetch_add(1, SeqCst);
        match () {
            () if self.0.away.load(SeqCst) => Err(Error::unavailable("away")),
            () if self.0.revoked.load(SeqCst) => Err(Error::unauthenticated("REVOKED", "Signed out.")),
            () => Ok(()),
        }
    }

    fn refusal(&self, error: &Error, request: &RequestInfo) -> Bytes {
        let extensions = json!({"code": error.code().as_str(), "requestId": *request.id});
        json!([{"message": error.to_string(), "extensions": extensions}]).to_string().into()
    }

    fn start(&self, payload: Map<String, Value>, who: Option<&Arc<Actor>>, info: RequestInfo) -> Result<Started> {
        self.0.started.lock().push((info.id.to_string(), who.map(|actor| actor.member.as_u128())));
        let query = payload.get("query").and_then(Value::as_str).unwrap_or_default().to_owned();
        let subscription = |answers| Started { kind: OperationKind::Subscription, answers };
        let next = |data: Value| Outcome::Next(json!({ "data": data }).to_string().into());
        let inner = self.0.clone();
        Ok(match query.split_once(':').unwrap_or((&query, "")) {
            ("query", _) => Started {
                kind: OperationKind::Query,
                answers: stream::iter([next(json!(who.map(|actor| actor.member.as_u128() as u64)))]).boxed(),
            },
            ("slow", _) => Started {
                kind: OperationKind::Mutation,
                answers: stream::once(async move {
                    inner.release.notified().await;
                    next(json!("done"))
                })
                .boxed(),
            },
            // Has nothing to say, and wants to be asked again at once.
            ("restless", _) => subscription(
                stream::poll_fn(|context| {
                    context.waker().wake_by_ref();
                    Poll::Pending
                })
                .boxed(),
            ),
            ("bad", _) => refused(r#"[{"message":"no such field"}]"#.into()),
            ("shape", _) => return Err(Error::yours(Code::BadRequest, "`variables` must be an object.")),
            ("big", size) => Started {
                kind: OperationKind::Query,
                answers: stream::iter([next(json!("x".repeat(size.parse().unwrap_or_default())))]).boxed(),
            },
            ("flood", _) => subscription(
                stream::repeat_with(move || {
                    inner.pulled.fetch_add(1, SeqCst);
                    next(json!("x".repeat(1000)))
                })
                .boxed(),
            ),
            ("feed", name) => {
                let (sender, receiver) = mpsc::unbounded_channel();
                self.0.feeds.lock().insert(name.to_owned(), sender);
                subscription(
                    stream::unfold(receiver, |mut feed| async { feed.recv().await.map(|it| (it, feed)) }).boxed(),
                )
            }
            _ => panic!("no such stand-in: {query}"),
        })
    }
}

/// The greeting of a client that speaks our subprotocol.
pub fn greeting(cookie: Option<&str>) -> Greeting {
    let request = Request::get("/graphql")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", handshake::SUBPROTOCOL)
        .body(());
    let mut greeting = handshake::greet(&request.expect("a request"), &[]).expect("a good handshake");
    greeting.cookie = cookie.map(str::to_owned);
    greeting
}

pub fn info() -> RequestInfo {
    RequestInfo { id: "socket".into(), ..RequestInfo::default() }
}

/// A raw client; everything it waits for comes within seconds or fails the test.
pub struct Client {
    pub socket: WebSocketStream<DuplexStream>,
}

impl Client {
    /// Before `connection_init`, over a wire that holds `wire` bytes in each direction.
    pub async fn over(fake: &Fake, cookie: Option<&str>, wire: usize) -> Self {
        let (near, far) = tokio::io::duplex(wire);
        fake.0.sockets.spawn(driver::drive(fake.clone(), (far, Vec::new()), greeting(cookie), info()));
        Client { socket: WebSocketStream::from_raw_socket(near, Role::Client, None).await }
    }

    pub async fn silent(fake: &Fake) -> Self {
        Self::over(fake, None, 64 * 1024).await
    }

    /// After `connection_ack`.
    pub async fn open(fake: &Fake, token: Option<&str>) -> Self {
        let mut client = Self::silent(fake).await;
        client.init(token).await;
        client
    }

    pub async fn init(&mut self, token: Option<&str>) {
        self.say(json!({"type": "connection_init", "payload": {"authorization": token}})).await;
        assert_eq!(self.hear().await, json!({"type": "connection_ack"}));
    }

    pub async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub async fn send(&mut self, message: Message) {
        timeout(Duration::from_secs(5), self.socket.send(message)).await.expect("in time").expect("an open socket");
    }

    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    async fn receive(&mut self) -> Message {
        loop {
            let message = timeout(Duration::from_secs(5), self.socket.next()).await.expect("in time");
            match message.expect("a message before the end").expect("a sound socket") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub async fn hear(&mut self) -> Value {
        match self.receive().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")),
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The server says nothing for a while.
    pub async fn quiet(&mut self) {
        let heard = timeout(Duration::from_millis(50), self.socket.next()).await;
        assert!(heard.is_err(), "heard {heard:?}");
    }

    /// The next thing heard is the end.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.receive().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Reads on until the end: what was heard before, and the end.
    pub async fn rest(&mut self) -> (usize, (u16, String)) {
        let mut heard = 0;
        loop {
            match self.receive().await {
                Message::Close(Some(frame)) => return (heard, (frame.code.into(), frame.reason.to_string())),
                Message::Close(None) => panic!("closed without a word"),
                _ => heard += 1,
            }
        }
    }

    /// Makes sure that everything said before has been handled.
    pub async fn settle(&mut self) {
        self.say(json!({"type": "ping", "payload": {"settle": true}})).await;
        assert_eq!(self.hear().await, json!({"type": "pong", "payload": {"settle": true}}));
    }
}

/// Waits until something holds.
pub async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come to be");
}
