//! S1: one message to a thousand sockets, each a subscriber of the conversation. The sockets belong to twenty members.

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
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

pub const SOCKETS: u64 = 1000;

/// How long a message may take to reach everybody.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages sent and not yet with everybody: as many conversations as are busy at once.
const UNDER_WAY: u64 = 8;

/// A thousand subscribers.
pub struct Audience {
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
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
    /// Opens the sockets and waits until each has its subscription.
    pub async fn gather(address: &str, tokens: &[String]) -> Self {
        let heard = Arc::new(Heard::default());
        for number in 0..SOCKETS {
            let token = &tokens[number as usize % tokens.len()];
            let stream = subscribe(address, token).await;
            tokio::spawn(listen(stream, heard.clone()));
        }
        let audience = Audience { heard };
        // A subscription has no acknowledgement: messages are sent until one reaches everybody.
        let mut sender = Sender::open(address, &tokens[0]).await;
        for _ in 0..100 {
            let goal = audience.aim(1);
            sender.send().await;
            if timeout(Duration::from_millis(300), audience.heard.wait(goal)).await.is_ok() {
                return audience;
            }
        }
        panic!("not all sockets hear what is said");
    }

    /// Sets the goal of that many messages more, for everybody.
    fn aim(&self, messages: u64) -> u64 {
        let goal = self.heard.total.load(Ordering::SeqCst) + messages * SOCKETS;
        self.heard.goal.store(goal, Ordering::SeqCst);
        goal
    }

    /// One message at a time: from the sending of each to its arrival at each socket, in microseconds.
    pub async fn one_by_one(&self, address: &str, token: &str, messages: u64, begin: Instant) -> Vec<u32> {
        let mut sender = Sender::open(address, token).await;
        for _ in 0..messages {
            let goal = self.aim(1);
            self.heard.sent.store(begin.elapsed().as_micros() as u64, Ordering::SeqCst);
            sender.send().await;
            timeout(PATIENCE, self.heard.wait(goal)).await.expect("a message reaches everybody");
        }
        self.heard.sent.store(0, Ordering::SeqCst);
        std::mem::take(&mut self.heard.latencies.lock())
    }

    /// Messages one after the other without waiting for each to arrive, as long as it takes.
    pub async fn flood(&self, address: &str, token: &str, time: Duration) -> FanOut {
        let mut sender = Sender::open(address, token).await;
        let (begin, before) = (Instant::now(), self.heard.total.load(Ordering::SeqCst));
        let mut sent = 0;
        while begin.elapsed() < time {
            let behind = before + (sent + 1_u64).saturating_sub(UNDER_WAY) * SOCKETS;
            self.heard.goal.store(behind, Ordering::SeqCst);
            timeout(PATIENCE, self.heard.wait(behind)).await.expect("messages reach everybody");
            sender.send().await;
            sent += 1;
        }
        let goal = before + sent * SOCKETS;
        self.heard.goal.store(goal, Ordering::SeqCst);
        timeout(PATIENCE, self.heard.wait(goal)).await.expect("messages reach everybody");
        FanOut { deliveries: sent * SOCKETS, seconds: begin.elapsed().as_secs_f64() }
    }
}

impl Heard {
    async fn wait(&self, goal: u64) {
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

/// Says something in the conversation.
struct Sender {
    connection: Connection,
    request: Vec<u8>,
}

impl Sender {
    async fn open(address: &str, token: &str) -> Self {
        let query =
            "mutation($input: MessageSendInput!) { messageSend(input: $input) { message { id } userErrors { code } } }";
        let body = format!(
            r#"{{"query":"{query}","variables":{{"input":{{"conversationId":"{CONVERSATION}{}","body":"A message about something that matters to all of us."}}}}}}"#,
            digits(7)
        );
        Sender { connection: Connection::open(address).await, request: request(Some(token), &body) }
    }

    async fn send(&mut self) {
        let answer = self.connection.exchange(&self.request).await;
        let sound = answer.starts_with(br#"{"data":{"messageSend":{"message":{"id":"#);
        assert!(sound, "{}", String::from_utf8_lossy(answer));
    }
}

const UPGRADE: &str = "GET /graphql HTTP/1.1\r\nhost: bench\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

/// Opens a socket, signs in and subscribes.
async fn subscribe(address: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
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
    let query = "subscription($id: ID!) { conversationEvents(conversationId: $id) { ... on MessageSent { cursor message { id seq body createdAt senderId } } } }";
    let subscribe = format!(
        r#"{{"id":"1","type":"subscribe","payload":{{"query":"{query}","variables":{{"id":"{CONVERSATION}{}"}}}}}}"#,
        digits(7)
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

/// Counts what arrives, and answers pings.
async fn listen(mut stream: TcpStream, heard: Arc<Heard>) {
    let mut buffer: Vec<u8> = Vec::with_capacity(4096);
    let begin = begin();
    loop {
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
