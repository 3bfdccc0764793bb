//! Sockets that listen to conversations, and who says something there. The sockets belong to twenty members.

use super::{
    http::{Connection, request},
    world::{CONVERSATION, digits},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};

/// In one conversation.
pub const SOCKETS: u64 = 1000;
/// Of so many sockets one may be slow.
pub const ONE_SLOW_OF: u64 = 20;
/// The conversation that an audience listens to.
pub const TALK: u64 = 7;
/// What is said most often.
pub const WORDS: &str = "A message about something that matters to all of us.";

/// How long a message may take to reach everybody.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages sent and not yet with everybody: as many conversations as are busy at once.
const UNDER_WAY: u64 = 8;

/// Subscribers of one conversation; they leave when it is dropped.
pub struct Audience {
    heard: Arc<Heard>,
    /// Those who are waited for.
    sockets: u64,
    slow: watch::Sender<bool>,
    _listeners: JoinSet<()>,
}

#[derive(Default)]
pub struct Heard {
    total: AtomicU64,
    /// Tells whoever waits when the total gets here.
    goal: AtomicU64,
    reached: Notify,
    /// When the message at hand was sent, in microseconds since `BEGIN`; 0: nobody asks.
    sent: AtomicU64,
    latencies: parking_lot::Mutex<Vec<u32>>,
}

/// What the fan-out came to.
pub struct FanOut {
    pub deliveries: u64,
    pub seconds: f64,
}

impl Audience {
    /// Opens a thousand sockets and waits until each has its subscription. With `slow`, one of twenty can be told to read
    /// nothing, and is never waited for.
    pub async fn gather(address: &str, tokens: &[String], slow: bool) -> Self {
        let (heard, unheard) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
        let (told, _) = watch::channel(false);
        let (mut sockets, mut listeners) = (0, JoinSet::new());
        for number in 0..SOCKETS {
            let token = &tokens[number as usize % tokens.len()];
            if slow && number % ONE_SLOW_OF == 0 {
                let stream = subscribe(address, token, TALK, None, true).await;
                listeners.spawn(listen(stream, unheard.clone(), Some(told.subscribe())));
            } else {
                let stream = subscribe(address, token, TALK, None, false).await;
                listeners.spawn(listen(stream, heard.clone(), None));
                sockets += 1;
            }
        }
        let audience = Audience { heard, sockets, slow: told, _listeners: listeners };
        // A subscription has no acknowledgement: messages are sent until one reaches everybody.
        let mut sender = Sender::open(address, &tokens[0], TALK, WORDS).await;
        for _ in 0..100 {
            let goal = audience.aim(1);
            sender.send().await;
            if timeout(Duration::from_millis(300), audience.heard.wait(goal)).await.is_ok() {
                return audience;
            }
        }
        panic!("not all sockets hear what is said");
    }

    /// Whether those who may be slow read nothing.
    pub fn stall(&self, slow: bool) {
        self.slow.send_replace(slow);
    }

    /// Sets the goal of that many messages more, for everybody.
    fn aim(&self, messages: u64) -> u64 {
        let goal = self.heard.total.load(Ordering::SeqCst) + messages * self.sockets;
        self.heard.goal.store(goal, Ordering::SeqCst);
        goal
    }

    /// One message at a time: from the sending of each, or from its acknowledgement, to its arrival at each socket, in
    /// microseconds. What arrives before the acknowledgement counts as 0.
    pub async fn one_by_one(&self, sender: &mut Sender, messages: u64, acknowledged: bool, begin: Instant) -> Vec<u32> {
        let mut latencies = Vec::new();
        for _ in 0..messages {
            let goal = self.aim(1);
            let sent = begin.elapsed().as_micros() as u64;
            self.heard.sent.store(sent, Ordering::SeqCst);
            sender.send().await;
            let answered = begin.elapsed().as_micros() as u64;
            timeout(PATIENCE, self.heard.wait(goal)).await.expect("a message reaches everybody");
            let before = if acknowledged { (answered - sent) as u32 } else { 0 };
            let times = std::mem::take(&mut *self.heard.latencies.lock());
            latencies.extend(times.into_iter().map(|time| time.saturating_sub(before)));
        }
        self.heard.sent.store(0, Ordering::SeqCst);
        latencies
    }

    /// Messages one after the other without waiting for each to arrive, as long as it takes.
    pub async fn flood(&self, address: &str, token: &str, time: Duration) -> FanOut {
        let mut sender = Sender::open(address, token, TALK, WORDS).await;
        let (begin, before) = (Instant::now(), self.heard.total.load(Ordering::SeqCst));
        let mut sent = 0;
        while begin.elapsed() < time {
            let behind = before + (sent + 1_u64).saturating_sub(UNDER_WAY) * self.sockets;
            self.heard.goal.store(behind, Ordering::SeqCst);
            timeout(PATIENCE, self.heard.wait(behind)).await.expect("messages reach everybody");
            sender.send().await;
            sent += 1;
        }
        let goal = before + sent * self.sockets;
        self.heard.goal.store(goal, Ordering::SeqCst);
        timeout(PATIENCE, self.heard.wait(goal)).await.expect("messages reach everybody");
        FanOut { deliveries: sent * self.sockets, seconds: begin.elapsed().as_secs_f64() }
    }

    /// What many say at once, so many times each: from the first sending to the last arrival.
    pub async fn burst(&self, senders: Vec<Sender>, each: u64) -> FanOut {
        let messages = senders.len() as u64 * each;
        let (goal, begin) = (self.aim(messages), Instant::now());
        let mut saying = JoinSet::new();
        for mut sender in senders {
            saying.spawn(async move {
                for _ in 0..each {
                    sender.send().await;
                }
            });
        }
        saying.join_all().await;
        timeout(PATIENCE, self.heard.wait(goal)).await.expect("messages reach everybody");
        FanOut { deliveries: messages * self.sockets, seconds: begin.elapsed().as_secs_f64() }
    }
}

impl Heard {
    /// By those who are done after so many.
    pub fn until(goal: u64) -> Self {
        Heard { goal: goal.into(), ..Heard::default() }
    }

    /// Until so many have come, all together.
    pub async fn wait(&self, goal: u64) {
        loop {
            let reached = self.reached.notified();
            if self.total.load(Ordering::SeqCst) >= goal {
                return;
            }
            reached.await;
        }
    }

    fn hear(&self, messages: u64, begin: Instant) {
        let sent = self.sent.load(Ordering::Relaxed);
        if sent > 0 {
            self.latencies.lock().push((begin.elapsed().as_micros() as u64).saturating_sub(sent) as u32);
        }
        let before = self.total.fetch_add(messages, Ordering::SeqCst);
        let goal = self.goal.load(Ordering::SeqCst);
        if before < goal && before + messages >= goal {
            self.reached.notify_one();
        }
    }
}

/// The clock that latencies are measured by.
pub fn begin() -> Instant {
    static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *BEGIN.get_or_init(Instant::now)
}

/// Says the same in a conversation, over and over.
pub struct Sender {
    connection: Connection,
    request: Vec<u8>,
}

impl Sender {
    pub async fn open(address: &str, token: &str, talk: u64, words: &str) -> Self {
        let query =
            "mutation($input: MessageSendInput!) { messageSend(input: $input) { message { id } userErrors { code } } }";
        let body = format!(
            r#"{{"query":"{query}","variables":{{"input":{{"conversationId":"{CONVERSATION}{}","body":"{words}"}}}}}}"#,
            digits(talk)
        );
        Sender { connection: Connection::open(address).await, request: request(Some(token), &body) }
    }

    pub async fn send(&mut self) {
        let answer = self.connection.exchange(&self.request).await;
        let sound = answer.starts_with(br#"{"data":{"messageSend":{"message":{"id":"#);
        assert!(sound, "{}", String::from_utf8_lossy(answer));
    }
}

const UPGRADE: &str = "GET /graphql HTTP/1.1\r\nhost: bench\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

/// Opens a socket, signs in and subscribes to a conversation, from now on or behind a cursor. Whoever will be slow takes in
/// little at once.
pub async fn subscribe(address: &str, token: &str, talk: u64, after: Option<&str>, slow: bool) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    if slow {
        socket.set_recv_buffer_size(4096).expect("a small buffer");
    }
    let mut stream = socket.connect(address.parse().expect("an address")).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.write_all(UPGRADE.as_bytes()).await.expect("an upgrade sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "no upgrade");
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    let init = format!(r#"{{"type":"connection_init","payload":{{"authorization":"Bearer {token}"}}}}"#);
    stream.write_all(&frame(0x1, init.as_bytes())).await.expect("an init sent");
    let mut ack = [0; 256];
    let read = stream.read(&mut ack).await.expect("an ack");
    assert!(String::from_utf8_lossy(&ack[..read]).contains("connection_ack"), "no ack");
    let query = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) { ... on MessageSent { cursor message { id seq body createdAt senderId } } } }";
    let after = after.map_or("null".to_owned(), |after| format!("\"{after}\""));
    let subscribe = format!(
        r#"{{"id":"1","type":"subscribe","payload":{{"query":"{query}","variables":{{"id":"{CONVERSATION}{}","after":{after}}}}}}}"#,
        digits(talk)
    );
    stream.write_all(&frame(0x1, subscribe.as_bytes())).await.expect("a subscription sent");
    stream
}

/// A frame of a client: masked, by a key of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Counts what arrives, and answers pings; reads nothing while it is told to be slow.
pub async fn listen(mut stream: TcpStream, heard: Arc<Heard>, mut slow: Option<watch::Receiver<bool>>) {
    // Grows where more comes: those who only wait are many.
    let mut buffer: Vec<u8> = Vec::new();
    let begin = begin();
    loop {
        if let Some(slow) = &mut slow
            && slow.wait_for(|slow| !slow).await.is_err()
        {
            return;
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let (mut at, mut messages) = (0, 0);
        while let Some((opcode, from, upto)) = next(&buffer, at) {
            match opcode {
                0x1 => {
                    let text = &buffer[from..upto];
                    let event = text.starts_with(br#"{"id":"1","type":"next""#) && text.ends_with(b"}}}}}");
                    assert!(event, "{}", String::from_utf8_lossy(text));
                    messages += 1;
                }
                0x9 => stream.write_all(&frame(0xA, &buffer[from..upto])).await.expect("a pong sent"),
                // It was too slow, or the server ends.
                0x8 => return,
                other => panic!("a frame with opcode {other}: {}", String::from_utf8_lossy(&buffer[from..upto])),
            }
            at = upto;
        }
        buffer.drain(..at);
        if messages > 0 {
            heard.hear(messages, begin);
        }
    }
}

/// The next whole frame of a server: its opcode and where its payload lies.
fn next(buffer: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let head = buffer.get(at..at + 2)?;
    let (length, from) = match head[1] {
        126 => (usize::from(u16::from_be_bytes(buffer.get(at + 2..at + 4)?.try_into().ok()?)), at + 4),
        127 => panic!("a frame too large"),
        length => (usize::from(length), at + 2),
    };
    (buffer.len() >= from + length).then_some((head[0] & 0x0F, from, from + length))
}
