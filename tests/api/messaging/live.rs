//! Live feeds as a client sees them: one subscription on a WebSocket of its own.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, Utf8Bytes, client::IntoClientRequest, http::Uri},
};

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a subscription says.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// The value of the subscription's field.
    Event(Value),
    /// The code of the error that it began or ended with.
    Refused(String),
    /// There is nothing more to come.
    Complete,
    /// The connection is gone.
    Gone,
}

/// A socket that has said who it is.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// None: nobody answers.
    pub async fn open(ws_url: &str, token: &str) -> Option<Self> {
        let uri: Uri = ws_url.parse().expect("a URL");
        let stream = TcpStream::connect(uri.authority()?.as_str()).await.ok()?;
        let mut request = uri.into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a value"));
        let (socket, _) = timeout(PATIENCE, client_async(request, stream)).await.expect("an answer").ok()?;
        let mut socket = Socket(socket);
        socket.say(json!({ "type": "connection_init", "payload": { "authorization": token } })).await?;
        let ack = socket.hear().await?;
        assert_eq!(ack["type"], "connection_ack", "{ack}");
        Some(socket)
    }

    /// None: the connection is gone.
    pub async fn say(&mut self, message: Value) -> Option<()> {
        self.0.send(Message::text(message.to_string())).await.ok()
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) -> Option<()> {
        let payload = json!({ "query": query, "variables": variables });
        self.say(json!({ "type": "subscribe", "id": id, "payload": payload })).await
    }

    /// The next message; None: the connection is gone.
    pub async fn hear(&mut self) -> Option<Value> {
        Some(serde_json::from_str(&self.hear_text().await?).expect("JSON"))
    }

    /// As it came, for those who hear millions.
    pub async fn hear_text(&mut self) -> Option<Utf8Bytes> {
        let heard = async {
            loop {
                match self.0.next().await?.ok()? {
                    Message::Text(text) => return Some(text),
                    Message::Ping(_) | Message::Pong(_) => {}
                    _ => return None,
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("something in time")
    }
}

/// A subscription.
pub struct Feed(Socket);

impl Feed {
    pub async fn open(ws_url: &str, token: &str, query: &str, variables: Value) -> Option<Self> {
        let mut socket = Socket::open(ws_url, token).await?;
        socket.subscribe("1", query, variables).await?;
        Some(Feed(socket))
    }

    pub async fn hear(&mut self) -> Said {
        self.0.hear().await.map_or(Said::Gone, |message| Said::of(&message))
    }
}

impl Said {
    /// What a message of a subscription says.
    pub fn of(message: &Value) -> Self {
        let payload = &message["payload"];
        let errors = if message["type"] == "error" { payload } else { &payload["errors"] };
        match message["type"].as_str() {
            Some("complete") => Said::Complete,
            _ if errors.is_array() => {
                Said::Refused(errors[0]["extensions"]["code"].as_str().expect("a code").to_owned())
            }
            Some("next") => {
                let data = payload["data"].as_object().unwrap_or_else(|| panic!("no data in {message}"));
                Said::Event(data.values().next().expect("a field").clone())
            }
            _ => panic!("not of a subscription: {message}"),
        }
    }
}
