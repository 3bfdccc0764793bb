//! How a socket ends. Invariant: what was owed to the client leaves before the close frame, and the client gets the
//! time to read both.

use super::{outbox::Outbox, protocol::Close, wire::Wire};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tungstenite::{Message, protocol::CloseFrame};

/// How long a client may take to hear that the socket is closed.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a socket is over.
pub(super) enum End {
    /// The client has gone, or has closed it.
    Gone,
    Close(Close),
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        End::Close(close)
    }
}

impl From<tungstenite::Error> for End {
    fn from(fault: tungstenite::Error) -> Self {
        use tungstenite::{Error as Fault, error::ProtocolError};
        End::Close(match fault {
            Fault::Capacity(_) => Close::new(1009, "Message too long"),
            Fault::Utf8(_) => Close::new(1007, "Text must be UTF-8"),
            Fault::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
                return End::Gone;
            }
            Fault::Protocol(_) => Close::new(1002, "Not the WebSocket protocol"),
            _ => return End::Gone,
        })
    }
}

/// Sends what is owed, then the close frame, and waits a little for the client to have read it: a connection cut
/// with unread input is reset, and the reset overtakes the frame.
pub(super) async fn farewell(mut socket: Wire<impl AsyncRead + AsyncWrite + Unpin>, mut outbox: Outbox, close: Close) {
    let said = async {
        while let Some(frame) = outbox.pop() {
            socket.send(Message::Frame(frame)).await?;
        }
        let frame = CloseFrame { code: close.code.into(), reason: close.reason.into_owned().into() };
        socket.send(Message::Close(Some(frame))).await?;
        let stream = socket.stream();
        stream.shutdown().await?;
        let mut ignored = vec![0; 4096];
        while stream.read(&mut ignored).await? > 0 {}
        Ok::<_, tungstenite::Error>(())
    };
    // Late or failed: the client has gone, and that is what this was for.
    let _ = timeout(FAREWELL, said).await;
}
