//! Through a real listener: the handshake with hyper, frames that a well-behaved client cannot send, and memory.

use super::{
    super::accept,
    fake::{Fake, until},
};
use axum::{Router, body::Body, http::Request, routing::get};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

async fn serve(fake: &Fake) -> SocketAddr {
    let fake = fake.clone();
    let router =
        Router::new().route("/graphql", get(move |request: Request<Body>| async move { accept(fake, request) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

const HANDSHAKE: &str = "GET /graphql HTTP/1.1\r\nHost: stoa\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n";

/// Sends text, gives what comes within the time, or until the end.
async fn exchange(address: SocketAddr, sent: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(HANDSHAKE.as_bytes()).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for part in sent {
        stream.write_all(part).await.expect("written");
    }
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut heard)).await.expect("an end");
    heard
}

/// A close frame as the server writes it.
fn close(code: u16, reason: &str) -> Vec<u8> {
    [&[0x88, 2 + reason.len() as u8], code.to_be_bytes().as_slice(), reason.as_bytes()].concat()
}

#[tokio::test]
async fn a_socket_through_hyper() {
    let address = serve(&Fake::new(|_| {})).await;
    let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("a value"));
    request.headers_mut().insert("cookie", "stoa_access=alice".parse().expect("a value"));
    request.headers_mut().insert("origin", format!("http://{address}").parse().expect("a value"));
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut socket, response) = client_async(request, stream).await.expect("a handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], "graphql-transport-ws");
    for said in
        [json!({"type": "connection_init"}), json!({"type": "subscribe", "id": "1", "payload": {"query": "query"}})]
    {
        socket.send(Message::text(said.to_string())).await.expect("sent");
        let heard = socket.next().await.expect("a message").expect("sound").to_string();
        if heard.contains("next") {
            assert_eq!(heard, r#"{"id":"1","type":"next","payload":{"data":1}}"#);
        }
    }
    let heard = socket.next().await.expect("a message").expect("sound").to_string();
    assert_eq!(heard, r#"{"id":"1","type":"complete"}"#);
}

#[tokio::test]
async fn handshakes_are_refused_in_json() {
    let address = serve(&Fake::new(|_| {})).await;
    let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-version", "8".parse().expect("a value"));
    let stream = TcpStream::connect(address).await.expect("a connection");
    let Err(Error::Http(response)) = client_async(request, stream).await else { panic!("a refusal") };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["sec-websocket-version"]),
        (426, &"13".parse().expect("it"))
    );
    let client = reqwest::Client::new();
    let response = client.get(format!("http://{address}/graphql")).send().await.expect("an answer");
    assert_eq!(response.status(), 400);
    let body: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}

#[tokio::test]
async fn another_subprotocol_is_4406() {
    let address = serve(&Fake::new(|_| {})).await;
    for asked in [Some("graphql-ws"), None] {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
        if let Some(asked) = asked {
            request.headers_mut().insert("sec-websocket-protocol", asked.parse().expect("a value"));
        }
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (mut socket, response) = client_async(request, stream).await.expect("a handshake");
        assert_eq!(response.headers().get("sec-websocket-protocol").map(|it| it.as_bytes()), asked.map(str::as_bytes));
        let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("a close") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4406, "Subprotocol not acceptable"));
    }
}

#[tokio::test]
async fn what_is_not_websocket_has_codes_of_its_own() {
    let fake = Fake::new(|config| config.socket.max_message = 1000);
    let address = serve(&fake).await;
    // Masked with zeros, so that the payload is as it stands.
    let text = |bytes: &[u8]| [&[0x81, 0x80 | bytes.len() as u8, 0, 0, 0, 0], bytes].concat();
    assert_eq!(exchange(address, &[&text(b"\"\xff\"")]).await, close(1007, "Text must be UTF-8"));
    assert_eq!(exchange(address, &[b"\x81\x02{}"]).await, close(1002, "Not the WebSocket protocol"));
    // Too long by its header, with the rest of it on the way: the close frame must not be lost to a reset.
    let mut long = vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    long.extend([b'x'; 65_536]);
    assert_eq!(exchange(address, &[&long]).await, close(1009, "Message too long"));
    // In fragments, each of which is short enough.
    let fragment = |first: u8| [&[first, 0xfe, 0x03, 0x00, 0, 0, 0, 0], [b'x'; 768].as_slice()].concat();
    assert_eq!(exchange(address, &[&fragment(0x01), &fragment(0x80)]).await, close(1009, "Message too long"));
    until(|| fake.0.sockets.count() == 0).await;
}
