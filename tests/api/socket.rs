//! GraphQL over WebSocket against a running server, with a raw client: that the driver, the engine and identity are
//! joined as the protocol says. The protocol itself, row by row, is tested beside the driver.

use crate::kit::{Server, data};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::Uri},
};

/// What it asks for that speaks our protocol.
const PROTOCOL: [(&str, &str); 1] = [("sec-websocket-protocol", "graphql-transport-ws")];

pub struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// Shakes hands and asks for a subprotocol.
    pub async fn connect(server: &Server, headers: &[(&'static str, &str)]) -> Result<Self, tungstenite::Error> {
        Self::over(TcpSocket::new_v4().expect("a socket"), server, headers).await
    }

    async fn over(
        socket: TcpSocket,
        server: &Server,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let uri: Uri = server.ws_url().parse().expect("a URL");
        let authority = uri.authority().expect("a host and a port").as_str();
        let address: SocketAddr = authority.parse().expect("an address");
        let mut request = uri.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let stream = socket.connect(address).await.expect("a connection");
        client_async(request, stream).await.map(|(socket, _)| Client(socket))
    }

    pub async fn silent(server: &Server) -> Self {
        Self::connect(server, &PROTOCOL).await.expect("a handshake")
    }

    pub async fn open(server: &Server, token: Option<&str>) -> Self {
        let mut client = Self::silent(server).await;
        client.init(token).await;
        client
    }

    /// Signed in, over a connection that takes in little while nobody reads.
    pub async fn narrow(server: &Server, token: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let mut client = Self::over(socket, server, &PROTOCOL).await.expect("a handshake");
        client.init(Some(token)).await;
        client
    }

    async fn init(&mut self, token: Option<&str>) {
        self.say(json!({"type": "connection_init", "payload": {"authorization": token}})).await;
        assert_eq!(self.hear().await, json!({"type": "connection_ack"}));
    }

    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.expect("an open socket");
    }

    pub async fn subscribe(&mut self, id: &str, payload: Value) {
        self.say(json!({"type": "subscribe", "id": id, "payload": payload})).await;
    }

    pub async fn receive(&mut self) -> Message {
        loop {
            let message = timeout(Duration::from_secs(10), self.0.next()).await.expect("an answer in time");
            match message.expect("a message before the end").expect("a sound socket") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub async fn hear(&mut self) -> Value {
        let message = self.receive().await;
        let Message::Text(text) = &message else { panic!("not a text: {message:?}") };
        serde_json::from_str(text).expect("JSON")
    }

    /// Reads on until it is closed: what was heard before, and with which code and reason it was.
    pub async fn rest(&mut self) -> (Vec<Value>, (u16, String)) {
        let mut heard = Vec::new();
        loop {
            match self.receive().await {
                Message::Text(text) => heard.push(serde_json::from_str(&text).expect("JSON")),
                Message::Close(Some(frame)) => return (heard, (frame.code.into(), frame.reason.to_string())),
                other => panic!("neither a text nor a reason: {other:?}"),
            }
        }
    }

    pub async fn closed(&mut self) -> u16 {
        match self.receive().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not closed: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_operation_over_a_socket() {
    let server = Server::start().await;
    let token = server.token().await;
    let mut client = Client::open(&server, Some(&format!("Bearer {token}"))).await;
    let query =
        json!({"query": "query Name($on: Boolean!) { __typename @include(if: $on) }", "variables": {"on": true}});
    for _ in 0..2 {
        client.subscribe("same id", query.clone()).await;
        let next = client.hear().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!("same id")), "{next}");
        assert_eq!(next["payload"]["data"], json!({"__typename": "Query"}));
        assert_eq!(client.hear().await, json!({"id": "same id", "type": "complete"}));
    }
}

#[tokio::test]
async fn a_request_error_is_an_error_without_complete() {
    let server = Server::start().await;
    let mut client = Client::open(&server, None).await;
    for (query, code) in [("{ noSuchField }", "GRAPHQL_VALIDATION_FAILED"), ("{", "GRAPHQL_PARSE_FAILED")] {
        client.subscribe("1", json!({"query": query})).await;
        let error = client.hear().await;
        assert_eq!(error["type"], "error", "{error}");
        assert_eq!(error["payload"][0]["extensions"]["code"], code);
        assert!(error["payload"][0]["extensions"]["requestId"].is_string());
    }
    client.say(json!({"type": "ping"})).await;
    assert_eq!(client.hear().await, json!({"type": "pong"}), "nothing came in between");
}

#[tokio::test]
async fn tokens_sign_in_refresh_in_place_and_are_refused_with_4403() {
    let server = Server::start().await;
    let mut refused = Client::silent(&server).await;
    refused.say(json!({"type": "connection_init", "payload": {"authorization": "Bearer nonsense"}})).await;
    assert_eq!(refused.closed().await, 4403);
    let token = server.token().await;
    let mut member = Client::open(&server, Some(&token)).await;
    member.say(json!({"type": "ping", "payload": {"authorization": &token}})).await;
    assert_eq!(member.hear().await["type"], "pong");
    member.say(json!({"type": "ping", "payload": {"authorization": "nonsense"}})).await;
    assert_eq!(member.closed().await, 4403);
}

#[tokio::test]
async fn the_protocol_closes_with_its_codes() {
    let server = Server::start().await;
    let mut early = Client::silent(&server).await;
    early.subscribe("1", json!({"query": "{ __typename }"})).await;
    assert_eq!(early.closed().await, 4401);
    for (message, code) in [
        (json!({"type": "connection_init"}), 4429),
        (json!({"type": "start", "id": "1", "payload": {"query": "{ __typename }"}}), 4400),
        (json!({"type": "subscribe", "id": "1", "payload": {}}), 4400),
        (json!({"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}), 4400),
    ] {
        let mut client = Client::open(&server, None).await;
        client.say(message.clone()).await;
        assert_eq!(client.closed().await, code, "{message}");
    }
}

#[tokio::test]
async fn the_handshake_is_checked() {
    let server = Server::start().await;
    let mut other = Client::connect(&server, &[("sec-websocket-protocol", "graphql-ws")]).await.expect("a handshake");
    assert_eq!(other.closed().await, 4406);
    match Client::connect(&server, &[("sec-websocket-version", "8")]).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 426),
        _ => panic!("a version that nobody speaks was accepted"),
    }
}

#[tokio::test]
async fn one_message_reaches_everybody_as_each_has_asked() {
    let server = Server::start().await;
    let founder = server.founder().await;
    let member = server.member(&founder, "member", None).await;
    let create = "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) {
        conversation { id cursor } userErrors { field message } } }";
    let input = json!({ "input": { "title": "All", "memberIds": [member.member] } });
    let answer = server.graphql(create, input, Some(&founder)).await;
    let conversation = data(&answer, "conversationCreate.conversation").clone();
    let columns = "message { body senderId }";
    let mut sockets = Vec::new();
    for (who, selection) in [
        (&founder, columns),
        (&member, columns),
        (&member, "message { said: body }"),
        (&founder, "message { sender { id } }"),
        (&member, "message { sender { id } }"),
        (&member, columns),
    ] {
        let mut client = Client::open(&server, Some(&format!("Bearer {}", who.token))).await;
        let query = format!(
            "subscription($id: ID!, $after: String) {{ conversationEvents(conversationId: $id, after: $after) {{
                ... on MessageSent {{ {selection} }} }} }}"
        );
        let variables = json!({ "id": conversation["id"], "after": conversation["cursor"] });
        client.subscribe("1", json!({ "query": query, "variables": variables })).await;
        sockets.push(client);
    }
    let send = "mutation($input: MessageSendInput!) { messageSend(input: $input) { message { id } } }";
    for body in ["one", "two"] {
        let input = json!({ "input": { "conversationId": conversation["id"], "body": body } });
        data(&server.graphql(send, input, Some(&founder)).await, "messageSend.message.id");
        let plain = json!({ "message": { "body": body, "senderId": founder.member } });
        let sender = json!({ "message": { "sender": { "id": founder.member } } });
        let wanted = [&plain, &plain, &json!({ "message": { "said": body } }), &sender, &sender, &plain];
        for (client, wanted) in sockets.iter_mut().zip(wanted) {
            let next = client.hear().await;
            assert_eq!(next["payload"], json!({ "data": { "conversationEvents": wanted } }), "{next}");
        }
    }
}
