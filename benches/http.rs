//! The load generator: HTTP/1.1 over a few connections that stay open, bytes in and bytes out, so that it takes as
//! little as possible of the processors that it shares with what it measures.

use super::operations::Operation;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection to the server.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A POST of a GraphQL request.
pub fn request(token: Option<&str>, body: &str) -> Vec<u8> {
    let mut text = String::from("POST /graphql HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n");
    if let Some(token) = token {
        text.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Connection { stream, buffer: Vec::with_capacity(256 * 1024) }
    }

    /// Sends a request and reads the body of its answer, which must be a 200.
    pub async fn exchange(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("a request sent");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
            assert!(read > 0, "the server has closed the connection");
            let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = head + 4;
            let text = std::str::from_utf8(&self.buffer[..head]).expect("a head in ASCII");
            let ok = text.starts_with("HTTP/1.1 200 ");
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let whole = head + length.and_then(|length| length.parse::<usize>().ok()).expect("a content length");
            while self.buffer.len() < whole {
                let read = self.stream.read_buf(&mut self.buffer).await.expect("an answer");
                assert!(read > 0, "the server has closed the connection");
            }
            let body = &self.buffer[head..whole];
            assert!(ok, "{}", String::from_utf8_lossy(body));
            return body;
        }
    }
}

/// What a round of load came to.
#[derive(Default, Clone)]
pub struct Load {
    pub requests: u64,
    pub seconds: f64,
    /// In microseconds, of all requests or of a sample.
    pub latencies: Vec<u32>,
}

/// Sends an operation over and over, on each connection the next when the one before is answered.
pub async fn load(address: &str, token: &str, operation: &Operation, connections: u64, time: Duration) -> Load {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|number| {
            let (address, token, operation) = (address.to_owned(), token.to_owned(), *operation);
            tokio::spawn(async move {
                let mut random = Random(number + 1 + begin.elapsed().subsec_nanos() as u64);
                let mut connection = Connection::open(&address).await;
                let mut latencies = Vec::with_capacity(100_000);
                while begin.elapsed() < time {
                    let request = request(Some(&token), &operation.body(&mut random));
                    let sent = Instant::now();
                    let answer = connection.exchange(&request).await;
                    latencies.push(sent.elapsed().as_micros() as u32);
                    let sound = answer.starts_with(operation.answer.as_bytes()) && answer.len() > operation.least;
                    assert!(sound, "{}: {}", operation.name, String::from_utf8_lossy(answer));
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a connection's load"));
    }
    Load { requests: latencies.len() as u64, seconds: begin.elapsed().as_secs_f64(), latencies }
}

/// Numbers that look random enough (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (value ^ (value >> 31)) % limit
    }
}
