//! What waits to be written to one socket. Invariant: a frame holds at most `FRAGMENT` bytes of an answer, so that
//! the write buffer of a socket stays small for ever, however large an answer once was (it never shrinks).

use bytes::Bytes;
use std::collections::VecDeque;
use tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

/// A longer message goes out in fragments (RFC 6455, section 5.4), each a view of the answer: nothing is copied.
const FRAGMENT: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Outbox {
    /// Most often there is one.
    first: Option<Frame>,
    others: VecDeque<Frame>,
    bytes: usize,
}

impl Outbox {
    /// A text message.
    pub fn text(&mut self, text: impl Into<String>) {
        self.fragments(Data::Text, Bytes::from(text.into()), true);
    }

    /// The text message `head`, `body`, `}`. All three together are UTF-8.
    pub fn envelope(&mut self, head: &str, body: Bytes) {
        if body.len() <= FRAGMENT {
            return self.push(Data::Text, [head.as_bytes(), &body, b"}"].concat().into(), true);
        }
        self.push(Data::Text, Bytes::copy_from_slice(head.as_bytes()), false);
        self.fragments(Data::Continue, body, false);
        self.push(Data::Continue, Bytes::from_static(b"}"), true);
    }

    /// A ping at the level of WebSocket.
    pub fn ping(&mut self) {
        self.add(Frame::ping(Bytes::new()));
    }

    pub fn pop(&mut self) -> Option<Frame> {
        let frame = self.first.take()?;
        self.bytes = self.bytes.saturating_sub(frame.payload().len());
        self.first = self.others.pop_front();
        if self.others.is_empty() && self.others.capacity() > 32 {
            self.others = VecDeque::new();
        }
        Some(frame)
    }

    pub fn clear(&mut self) {
        *self = Outbox::default();
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Frames waiting.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()).saturating_add(self.others.len())
    }

    /// Bytes waiting.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn fragments(&mut self, mut opcode: Data, mut payload: Bytes, last: bool) {
        while payload.len() > FRAGMENT {
            self.push(opcode, payload.split_to(FRAGMENT), false);
            opcode = Data::Continue;
        }
        self.push(opcode, payload, last);
    }

    fn push(&mut self, opcode: Data, payload: Bytes, last: bool) {
        self.bytes = self.bytes.saturating_add(payload.len());
        self.add(Frame::message(payload, OpCode::Data(opcode), last));
    }

    fn add(&mut self, frame: Frame) {
        match self.first {
            None => self.first = Some(frame),
            Some(_) => self.others.push_back(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(fill: impl FnOnce(&mut Outbox)) -> (usize, Vec<u8>) {
        let mut outbox = Outbox::default();
        fill(&mut outbox);
        let (mut frames, mut text) = (0, Vec::new());
        while let Some(frame) = outbox.pop() {
            let first = frame.header().opcode == OpCode::Data(Data::Text);
            assert!(first == (frames == 0) && frame.header().is_final == outbox.is_empty());
            assert!(frame.payload().len() <= FRAGMENT + 64);
            text.extend_from_slice(frame.payload());
            frames += 1;
        }
        assert_eq!(outbox.bytes(), 0);
        (frames, text)
    }

    #[test]
    fn long_answers_go_out_in_fragments() {
        for length in [0, 1, FRAGMENT, FRAGMENT + 1, 10 * FRAGMENT, 10 * FRAGMENT + 7] {
            let body = "x".repeat(length);
            let (frames, text) = sent(|outbox| outbox.envelope("{\"payload\":", body.clone().into()));
            assert_eq!(text, format!("{{\"payload\":{body}}}").into_bytes());
            assert_eq!(frames, if length <= FRAGMENT { 1 } else { 2 + length.div_ceil(FRAGMENT) });
            let (frames, text) = sent(|outbox| outbox.text(body.clone()));
            assert_eq!((frames, text), (length.div_ceil(FRAGMENT).max(1), body.into_bytes()));
        }
    }
}
