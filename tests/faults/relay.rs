//! A line between a node and a server that can be cut: what goes over it then is lost, as where a firewall drops it. Whoever
//! speaks gets no answer, and finds the line dead once it is whole again.

use std::{net::SocketAddr, path::PathBuf};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

pub struct Relay {
    pub address: SocketAddr,
    cut: watch::Sender<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    /// To a server behind a Unix socket. Only lines on which a client says `about` can be cut; all, where that is empty.
    pub async fn to(socket: PathBuf, about: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cut = watch::Sender::new(false);
        let state = cut.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&socket).await else { continue };
                client.set_nodelay(true).expect("no delay");
                // Ends with its line, and that with the node.
                tokio::spawn(carry(client, server, about, state.clone()));
            }
        });
        Relay { address, cut, _task: AbortOnDropHandle::new(task) }
    }

    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

/// Carries to and fro until either end closes, or something was lost.
async fn carry(mut client: TcpStream, mut server: UnixStream, about: &[u8], mut cut: watch::Receiver<bool>) {
    let (mut said, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    let mut concerned = about.is_empty();
    loop {
        let (bytes, to_server) = tokio::select! {
            bytes = some(&mut client, &mut said) => (bytes, true),
            bytes = some(&mut server, &mut answered) => (bytes, false),
        };
        let Some(bytes) = bytes else { return };
        concerned = concerned || to_server && bytes.windows(about.len()).any(|part| part == about);
        if concerned && *cut.borrow() {
            let _ = cut.wait_for(|cut| !cut).await;
            return;
        }
        let sent = if to_server { server.write_all(bytes).await } else { client.write_all(bytes).await };
        if sent.is_err() {
            return;
        }
    }
}

/// What comes next; None: that was all.
async fn some<'a>(from: &mut (impl AsyncRead + Unpin), buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let read = from.read(buffer).await.ok().filter(|read| *read > 0)?;
    buffer.get(..read)
}
