//! A WebSocket on its connection. Invariant: nobody is waited for here: what cannot be read or written at once wakes whoever asked,
//! and is asked for again.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::{
    Error, Message, WebSocket,
    protocol::{Role, WebSocketConfig},
};

pub(super) struct Wire<S> {
    socket: WebSocket<Connection<S>>,
    ended: bool,
}

/// A connection as `tungstenite` wants it: what has to be waited for is a fault of its own.
struct Connection<S> {
    stream: S,
    waker: Waker,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Of a connection that was upgraded, and what was read of it behind the request.
    pub fn new(stream: S, read: Vec<u8>, config: WebSocketConfig) -> Self {
        let connection = Connection { stream, waker: Waker::noop().clone() };
        let socket = WebSocket::from_partially_read(connection, read, Role::Server, Some(config));
        Wire { socket, ended: false }
    }

    /// The next message; None: the client has closed the socket.
    pub fn poll_next(&mut self, waker: &Waker) -> Poll<Option<Result<Message, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.socket.get_mut().waker.clone_from(waker);
        let read = ready!(unless_it_waits(self.socket.read()));
        self.ended = read.is_err();
        Poll::Ready(match read {
            Err(Error::AlreadyClosed | Error::ConnectionClosed) => None,
            read => Some(read),
        })
    }

    /// Begins to send; `poll_flush` sees it through.
    pub fn start_send(&mut self, message: Message, waker: &Waker) -> Result<(), Error> {
        self.socket.get_mut().waker.clone_from(waker);
        match unless_it_waits(self.socket.write(message)) {
            Poll::Ready(sent) => sent,
            // It is kept, and goes with the next flush.
            Poll::Pending => Ok(()),
        }
    }

    pub fn poll_flush(&mut self, waker: &Waker) -> Poll<Result<(), Error>> {
        self.socket.get_mut().waker.clone_from(waker);
        unless_it_waits(self.socket.flush()).map(|flushed| match flushed {
            // The answer to the client's close frame was the last thing to be sent.
            Err(Error::ConnectionClosed) => Ok(()),
            flushed => flushed,
        })
    }

    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        let mut message = Some(message);
        poll_fn(|context| {
            if let Some(message) = message.take() {
                self.start_send(message, context.waker())?;
            }
            self.poll_flush(context.waker())
        })
        .await
    }

    /// What it is spoken over.
    pub fn stream(&mut self) -> &mut S {
        &mut self.socket.get_mut().stream
    }
}

fn unless_it_waits<T>(done: Result<T, Error>) -> Poll<Result<T, Error>> {
    match done {
        Err(Error::Io(fault)) if fault.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

fn or_wait<T>(done: Poll<io::Result<T>>) -> io::Result<T> {
    match done {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Connection<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        or_wait(Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(&self.waker), &mut into))?;
        Ok(into.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Connection<S> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        or_wait(Pin::new(&mut self.stream).poll_write(&mut Context::from_waker(&self.waker), from))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_wait(Pin::new(&mut self.stream).poll_flush(&mut Context::from_waker(&self.waker)))
    }
}
