//! One socket, one task: reads, answers, watches the clock, and writes, in turns. Invariant: nothing piles up for a
//! client that does not read: while a write stalls, operations are worked on until each has one answer (the hub keeps their
//! place behind it), these and replies to the client's own messages are bounded, and then the socket is closed with a code to
//! come back on.

mod poll;

use super::{
    budget::Budget,
    calls::Calls,
    farewell::{End, farewell},
    handshake::Greeting,
    operations::{Operations, refused},
    outbox::Outbox,
    protocol::{self, ClientMessage, Close},
    running::Running,
    sign_in::{Member, Phase, turned_away},
    wire::Wire,
};
use crate::{
    config::{SocketConfig, millis},
    error::{Code, Error, Result as Answered},
    kit::scope::RequestInfo,
    platform::standing::{AGAIN, SPREAD},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Map, Value, value::RawValue};
use std::{future::poll_fn, pin::pin, sync::Arc, task::Waker, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until},
};
use tungstenite::{Message, protocol::WebSocketConfig};

/// Pings that may go unanswered.
const MISSED: u8 = 2;

/// Serves a socket from its first message to its last; `read` was read of it behind the request.
pub(super) async fn drive<O: Operations>(
    operations: O,
    (stream, read): (impl AsyncRead + AsyncWrite + Send + Unpin, Vec<u8>),
    greeting: Greeting,
    request: RequestInfo,
) {
    // tungstenite keeps, and fills with zeros, what it is told here: its defaults are 128 KiB a socket. What clients send is
    // mostly smaller than this, and larger messages come in several reads.
    let limit = Some(operations.config().socket.max_message);
    let config = WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_message_size(limit)
        .max_frame_size(limit);
    let socket = Wire::new(stream, read, config);
    if !greeting.speaks {
        let close = Close::new(4406, "Subprotocol not acceptable");
        return Box::pin(farewell(socket, Outbox::default(), close)).await;
    }
    // In a box: this future would have room for each of its parts twice, before and after it is taken apart.
    let mut driver = Box::new(Driver::new(operations, socket, greeting.cookie, request));
    let end = driver.run().await;
    let (socket, outbox, request) = driver.leave();
    if let End::Close(close) = end {
        tracing::debug!(request = %request.id, code = close.code, reason = %close.reason, "closing a socket");
        // In a box, so that what is only needed at the end does not weigh on every open socket.
        Box::pin(farewell(socket, outbox, close)).await;
    }
}

/// What asking identity came to.
enum Verdict<M> {
    Admitted(Answered<M>),
    Refreshed(Answered<M>, Option<Box<RawValue>>),
    Rechecked(Answered<()>),
}

/// What can happen to a socket.
enum Event<M> {
    Gone(tungstenite::Error),
    Alarm,
    /// More waits for a client that does not read than may.
    Slow,
    /// The member's session may have ended.
    Rung,
    /// The server stops.
    Drain,
    /// Nothing is owed any more to a socket of a server that stops.
    Drained,
    Verdict(Verdict<M>),
    Read(Option<Result<Message, tungstenite::Error>>),
}

struct Driver<O: Operations, S> {
    operations: O,
    socket: Wire<S>,
    outbox: Outbox,
    running: Running,
    calls: Arc<Calls>,
    /// Calls for everything but the operations.
    rest: Waker,
    /// Whether everything but the operations is to be looked at.
    look: bool,
    phase: Phase<O::Member>,
    /// The one question to identity under way.
    asking: Option<BoxFuture<'static, Verdict<O::Member>>>,
    /// Whether that question is about a new token: what the client sends after it waits for the answer.
    refreshing: bool,
    cookie: Option<String>,
    request: RequestInfo,
    operations_started: u64,
    budget: Budget,
    unanswered: u8,
    ping_at: Instant,
    init_by: Instant,
    /// When a write that stalls has stalled for too long.
    write_by: Option<Instant>,
    /// When a stop no longer waits for answers.
    drain_by: Option<Instant>,
}

impl<O: Operations, S: AsyncRead + AsyncWrite + Send + Unpin> Driver<O, S> {
    fn new(operations: O, socket: Wire<S>, cookie: Option<String>, request: RequestInfo) -> Self {
        let now = Instant::now();
        let config = &operations.config().socket;
        let calls = Arc::<Calls>::default();
        Driver {
            budget: Budget::new(config.messages_per_second, config.message_burst, now),
            running: Running::new(calls.clone(), operations.sockets().clone()),
            rest: calls.clone().into(),
            calls,
            look: true,
            // Sockets that come back together after a restart do not ping together.
            ping_at: operations
                .sockets()
                .beat(now + millis(config.ping_ms).mul_f32(0.5 + rand::random::<f32>() / 2.0), config.ping_ms),
            init_by: now + millis(config.init_timeout_ms),
            operations,
            socket,
            outbox: Outbox::default(),
            phase: Phase::Silent,
            asking: None,
            refreshing: false,
            cookie,
            request,
            operations_started: 0,
            unanswered: 0,
            write_by: None,
            drain_by: None,
        }
    }

    fn config(&self) -> &SocketConfig {
        &self.operations.config().socket
    }

    async fn run(&mut self) -> End {
        let mut alarm = pin!(sleep_until(self.deadline()));
        let mut draining = pin!(self.operations.draining().clone().cancelled_owned());
        loop {
            let event = poll_fn(|context| self.poll(context.waker(), alarm.as_mut(), draining.as_mut())).await;
            if let Err(end) = self.on(event) {
                return end;
            }
        }
    }

    /// Ends the operations and frees the session's place; what the farewell needs is left.
    fn leave(self) -> (Wire<S>, Outbox, RequestInfo) {
        (self.socket, self.outbox, self.request)
    }

    fn on(&mut self, event: Event<O::Member>) -> Result<(), End> {
        match event {
            Event::Gone(fault) => Err(fault.into()),
            Event::Alarm => Ok(self.on_alarm(Instant::now())?),
            Event::Slow => Err(self.too_slow().into()),
            Event::Rung => {
                self.recheck_within(SPREAD);
                Ok(())
            }
            Event::Drain => {
                // A little less than the server waits: a socket that is cut is told nothing.
                let wait = millis(self.operations.config().http.drain_ms).mul_f32(0.9);
                self.drain_by = Some(Instant::now() + wait);
                self.running.stop_subscriptions();
                Ok(())
            }
            Event::Drained => Err(Close::new(1012, "Service restart").into()),
            Event::Verdict(verdict) => Ok(self.on_verdict(verdict)?),
            Event::Read(None) => Err(End::Gone),
            Event::Read(Some(message)) => self.on_message(message?),
        }
    }

    fn on_alarm(&mut self, now: Instant) -> Result<(), Close> {
        if self.write_by.is_some_and(|by| by <= now) {
            return Err(self.too_slow());
        }
        if self.drain_by.is_some_and(|by| by <= now) {
            return Err(Close::new(1012, "Service restart"));
        }
        match &mut self.phase {
            Phase::Silent | Phase::Admitting if self.init_by <= now => {
                return Err(Close::new(4408, "Connection initialisation timeout"));
            }
            Phase::Member(member) if member.expires_at <= now => return Err(Close::expired()),
            Phase::Member(member) if member.recheck_at.is_some_and(|at| at <= now) => {
                member.recheck_at = None;
                if self.asking.is_none() {
                    let (operations, who) = (self.operations.clone(), member.who.clone());
                    self.asking = Some(async move { Verdict::Rechecked(operations.recheck(who).await) }.boxed());
                }
            }
            _ => {}
        }
        if self.ping_at <= now {
            let next = now.max(self.ping_at + millis(self.config().ping_ms));
            self.ping_at = self.operations.sockets().beat(next, self.config().ping_ms);
            if self.unanswered >= MISSED {
                return Err(Close::again("No answer to pings"));
            }
            // While something waits, it is the write time-out that watches.
            if self.outbox.is_empty() && self.write_by.is_none() {
                // At the level of WebSocket: browsers and every library answer by themselves, also while the
                // page's own code is busy or was written without a thought of pings.
                self.outbox.ping();
                self.unanswered += 1;
            }
        }
        Ok(())
    }

    fn too_slow(&mut self) -> Close {
        self.outbox.clear();
        Close::again("Slow reader")
    }

    fn on_message(&mut self, message: Message) -> Result<(), End> {
        self.unanswered = 0;
        if let Phase::Member(Member { here: Some(here), .. }) = &self.phase {
            here.answers();
        }
        if !self.budget.take(Instant::now()) {
            return Err(Close::again("Too many messages").into());
        }
        match message {
            Message::Text(text) => Ok(self.on_client(ClientMessage::parse(&text)?)?),
            Message::Binary(_) => Err(Close::bad("Messages are text, not binary.").into()),
            // tungstenite answers both by itself; the answer leaves with the next flush.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            // The next flush sends the answer that tungstenite has made, the next read then ends the socket.
            Message::Close(_) => {
                self.outbox.clear();
                Ok(())
            }
            Message::Frame(_) => Err(End::Gone),
        }
    }

    fn on_client(&mut self, message: ClientMessage) -> Result<(), Close> {
        match (message, &self.phase) {
            (ClientMessage::ConnectionInit { token }, Phase::Silent) => {
                match token.or_else(|| self.cookie.take()) {
                    None => self.admit(Phase::Stranger),
                    Some(token) => {
                        let (operations, request) = (self.operations.clone(), self.request.clone());
                        self.phase = Phase::Admitting;
                        self.asking = Some(
                            async move { Verdict::Admitted(operations.authenticate(token, request).await) }.boxed(),
                        );
                    }
                }
                Ok(())
            }
            (ClientMessage::ConnectionInit { .. }, _) => Err(Close::new(4429, "Too many initialisation requests")),
            (ClientMessage::Ping { token: Some(token), payload }, Phase::Member(_)) => {
                let (operations, request) = (self.operations.clone(), self.request.clone());
                // In the place of a recheck that may be under way: this one asks more.
                self.asking = Some(
                    async move { Verdict::Refreshed(operations.authenticate(token, request).await, payload) }.boxed(),
                );
                self.refreshing = true;
                Ok(())
            }
            // Nobody has signed in here, so a token cannot be of the same member.
            (ClientMessage::Ping { token: Some(_), .. }, Phase::Stranger) => Err(Close::forbidden()),
            (ClientMessage::Ping { payload, .. }, _) => {
                self.outbox.text(protocol::pong(payload.as_deref()));
                Ok(())
            }
            (ClientMessage::Pong, _) => Ok(()),
            (ClientMessage::Subscribe { .. }, Phase::Silent | Phase::Admitting) => {
                Err(Close::new(4401, "Unauthorized"))
            }
            (ClientMessage::Subscribe { id, payload }, _) => self.subscribe(id, payload),
            (ClientMessage::Complete { id }, _) => {
                self.running.stop(&id);
                Ok(())
            }
        }
    }

    fn subscribe(&mut self, id: Arc<str>, payload: Map<String, Value>) -> Result<(), Close> {
        if self.running.contains(&id) {
            return Err(Close::new(4409, format!("Subscriber for {id} already exists")));
        }
        if self.drain_by.is_some() {
            // Nothing new is begun; the client asks again where the 1012 sends it.
            return Ok(());
        }
        self.operations_started += 1;
        let request = RequestInfo {
            id: format!("{}-{}", self.request.id, self.operations_started).into(),
            ..self.request.clone()
        };
        let limit = self.config().max_operations;
        let operation = if self.running.len() >= limit {
            let message = format!("At most {limit} operations may run on one socket. Complete one first.");
            refused(self.operations.refusal(&Error::yours(Code::SubscriptionLimit, message), &request))
        } else {
            let who = match &self.phase {
                Phase::Member(member) => Some(&member.who),
                Phase::Silent | Phase::Admitting | Phase::Stranger => None,
            };
            self.operations.start(payload, who, request).map_err(|error| Close::bad(error.to_string()))?
        };
        self.running.start(id, operation);
        Ok(())
    }

    fn on_verdict(&mut self, verdict: Verdict<O::Member>) -> Result<(), Close> {
        match verdict {
            Verdict::Admitted(who) => {
                let who = who.map_err(|error| turned_away(&error, &self.request))?;
                let member = Member::new(&self.operations, who, None)?;
                self.admit(Phase::Member(member));
            }
            Verdict::Refreshed(who, payload) => {
                let who = who.map_err(|error| turned_away(&error, &self.request))?;
                let Phase::Member(before) = std::mem::replace(&mut self.phase, Phase::Stranger) else {
                    return Err(Close::forbidden());
                };
                self.phase = Phase::Member(before.refreshed(&self.operations, who)?);
                self.outbox.text(protocol::pong(payload.as_deref()));
            }
            Verdict::Rechecked(Ok(())) => {}
            Verdict::Rechecked(Err(error @ Error::Yours(_))) => return Err(turned_away(&error, &self.request)),
            // What could say is away. It is asked again soon, and the token ends all the same.
            Verdict::Rechecked(Err(error)) => {
                self.recheck_within(AGAIN);
                tracing::warn!(request = %self.request.id, ?error, "a session could not be rechecked");
            }
        }
        Ok(())
    }

    /// Not all sockets in the same millisecond.
    fn recheck_within(&mut self, limit: Duration) {
        if let Phase::Member(member) = &mut self.phase {
            member.recheck_at = Some(Instant::now() + limit.mul_f32(rand::random::<f32>()));
        }
    }

    fn admit(&mut self, phase: Phase<O::Member>) {
        self.phase = phase;
        self.cookie = None;
        self.outbox.text(protocol::ACK);
    }
}
