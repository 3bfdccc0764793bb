//! Mail servers and providers that tests start: they keep what they are given, and answer well or badly as they are
//! told; and a server with a worker, on a database of its own.

use super::{RUNTIME, Server, postgres};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use stoa::config::{Config, MailTransport, SmtpSecurity};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use uuid::Uuid;

/// A server whose worker is busy, with everything that waits made short.
pub async fn working(change: impl FnOnce(&mut Config)) -> Server {
    let name = format!("jobs_{}", Uuid::new_v4().simple());
    let url = postgres::database(&name, "postgres").await;
    working_on(&url, change).await
}

/// As `working`, on a database that is there.
pub async fn working_on(url: &str, change: impl FnOnce(&mut Config)) -> Server {
    let folder = postgres::folder().join(Uuid::new_v4().simple().to_string());
    std::fs::create_dir(&folder).expect("a folder");
    let server = Server::on(url, |config| {
        config.data_dir = folder;
        config.jobs.workers = 4;
        config.jobs.poll_ms = 20;
        config.jobs.retry_ms = 10;
        config.jobs.retry_most_ms = 40;
        config.jobs.lease_ms = 1000;
        config.mail.timeout_ms = 500;
        config.mail.smtp_security = SmtpSecurity::None;
        change(config);
    })
    .await;
    server.sql(UNWELCOME).await;
    server
}

/// Every founder is welcomed by mail: tests of other mails count without. Those of the welcome itself read it from the
/// queue.
const UNWELCOME: &str = "
    CREATE OR REPLACE FUNCTION unwelcome() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.about LIKE 'welcome to %' THEN RETURN NULL; END IF; RETURN NEW; END $$;
    DROP TRIGGER IF EXISTS unwelcome ON jobs;
    CREATE TRIGGER unwelcome BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION unwelcome()";

/// Waits until there is something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(15), "there never was {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The text of the newest mail to somebody that waits in the queue.
pub async fn letter(server: &Server, to: &str) -> String {
    let newest = "SELECT payload->'letter'->>'text' FROM jobs";
    server.text(&format!("{newest} WHERE payload->'letter'->>'to' = '{to}' ORDER BY created_at DESC LIMIT 1")).await
}

/// How the other side behaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Manner {
    Accepts,
    /// Says this to every recipient.
    Says(&'static str),
    /// Takes connections and says nothing.
    Hangs,
    /// Says what no mail server says.
    Babbles,
    /// An HTTP status with a body.
    Answers(u16, &'static str),
}

/// A mail as it came over the wire.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub auth: Option<String>,
    pub data: String,
}

/// An SMTP server.
pub struct Smtp {
    pub address: SocketAddr,
    pub manner: Arc<Mutex<Manner>>,
    pub mails: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Smtp {
    pub async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        let (manner, mails) = (Arc::new(Mutex::new(Manner::Accepts)), Arc::<Mutex<Vec<_>>>::default());
        let shared = (manner.clone(), mails.clone());
        let listening = RUNTIME.spawn(async move { TcpListener::bind(address).await.expect("a port") });
        let listener = listening.await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let task = RUNTIME.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (manner, mails) = shared.clone();
                tokio::spawn(async move { converse(stream, manner, mails).await });
            }
        });
        Smtp { address, manner, mails, task }
    }

    /// The settings that lead here.
    pub fn settings(&self, config: &mut Config) {
        config.mail.transport = MailTransport::Smtp;
        config.mail.smtp_host = Some("127.0.0.1".into());
        config.mail.smtp_port = Some(self.address.port());
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    /// The first mail.
    pub async fn mail(&self) -> Received {
        until("a mail", async || self.mails.lock().first().cloned()).await
    }

    pub fn stop(&self) {
        self.task.abort();
    }
}

async fn converse(stream: TcpStream, manner: Arc<Mutex<Manner>>, mails: Arc<Mutex<Vec<Received>>>) -> Option<()> {
    let manner = manner.lock().clone();
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    match manner {
        Manner::Hangs => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return None;
        }
        Manner::Babbles => {
            write.write_all(b"HTTP/1.1 200 OK\r\n\r\n<html>\r\n").await.ok()?;
            return None;
        }
        _ => {}
    }
    write.write_all(b"220 test ESMTP\r\n").await.ok()?;
    let mut mail = Received::default();
    while let Ok(Some(line)) = lines.next_line().await {
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let answer = match word.as_str() {
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "AUTH" => {
                mail.auth = line.split(' ').nth(2).map(str::to_owned);
                "235 welcome"
            }
            "MAIL" => {
                mail.from = line;
                "250 ok"
            }
            "RCPT" => {
                mail.to.push(line);
                match &manner {
                    Manner::Says(words) => words,
                    _ => "250 ok",
                }
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.data.push('\n');
                }
                mails.lock().push(std::mem::take(&mut mail));
                "250 queued as 42"
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await.ok()?;
                return Some(());
            }
            _ => "250 ok",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    Some(())
}

/// A request as a provider got it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// A provider with an HTTP interface.
#[derive(Clone)]
pub struct Provider {
    pub url: String,
    /// The answers to come, the last of which stays.
    answers: Arc<Mutex<Vec<Manner>>>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

impl Provider {
    pub async fn start(answers: &[Manner]) -> Self {
        let listener = RUNTIME.spawn(async { TcpListener::bind("127.0.0.1:0").await.expect("a port") });
        let listener = listener.await.expect("a listener");
        let provider = Provider {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            answers: Arc::new(Mutex::new(answers.to_vec())),
            asked: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(provider.clone());
        RUNTIME.spawn(async { axum::serve(listener, router).await });
        provider
    }

    /// Waits for so many requests.
    pub async fn asked(&self, count: usize) -> Vec<Asked> {
        until("enough requests", async || Some(self.asked.lock().clone()).filter(|asked| asked.len() >= count)).await
    }
}

async fn answer(State(provider): State<Provider>, uri: Uri, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let body = serde_json::from_str(&body).unwrap_or_default();
    provider.asked.lock().push(Asked { path: uri.path().to_owned(), headers, body });
    let next = {
        let mut answers = provider.answers.lock();
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
    };
    match next {
        Manner::Answers(status, body) => (StatusCode::from_u16(status).expect("a status"), body.to_owned()),
        _ => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            (StatusCode::OK, String::new())
        }
    }
}
