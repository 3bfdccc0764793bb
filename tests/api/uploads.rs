//! Uploads of several at once, and of those who go before they hear the answer.

use crate::{
    files::{begun, input, kept, run},
    kit::{self, Server, mail::until, user_errors},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{Body, StatusCode};
use std::io;
use tokio::{io::AsyncWriteExt, net::TcpStream};

const TEN: &str = "0123456789";

#[tokio::test]
async fn nobody_takes_all_places_among_uploads() {
    let server = Server::with(|config| config.files.max_uploads = 2).await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let file = || input("a.txt", TEN.as_bytes(), "text/plain");
    let (slow, next) = (begun(&server, &ada, file()).await, begun(&server, &ada, file()).await);
    let bobs = begun(&server, &bob, file()).await;
    let trickle = stream::iter([io::Result::Ok(Bytes::from_static(b"0"))]).chain(stream::pending());
    let others = async {
        until("its beginning", async || (kept(&server.app, ada.organization).len() == 1).then_some(())).await;
        assert_eq!(next.put(TEN).await.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(bobs.put(TEN).await.status(), StatusCode::NO_CONTENT);
    };
    tokio::select! {
        answer = slow.put(Body::wrap_stream(trickle)) => panic!("it is not over: {}", answer.status()),
        () = others => {}
    }
    // Whoever was slow has gone: the place is free again.
    until("a place", async || (next.put(TEN).await.status() == StatusCode::NO_CONTENT).then_some(())).await;
    server.stop().await;
}

#[tokio::test]
async fn who_hangs_up_at_the_end_leaves_one_content_and_no_more() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let begun = begun(server, &ada, input("a.txt", TEN.as_bytes(), "text/plain")).await;
    let (address, path) = (server.url().strip_prefix("http://").unwrap(), &begun.url[server.url().len()..]);
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/plain\r\ncontent-length: 10");
    for _ in 0..10 {
        let mut wire = TcpStream::connect(address).await.unwrap();
        wire.write_all(format!("{head}\r\n\r\n{TEN}").as_bytes()).await.unwrap();
    }
    assert_eq!(begun.put(TEN).await.status(), StatusCode::NO_CONTENT);
    let left = || kept(&server.app, ada.organization).len();
    until("nothing but what is named", async || (left() == 1).then_some(())).await;
    assert_eq!(user_errors(&run(server, &ada, "uploadComplete", &begun.id).await, "done"), [""; 0]);
    until("the same when it is complete", async || (left() == 1).then_some(())).await;
}
