//! What waits to be written to one socket. Invariant: a frame holds at most `FRAGMENT` bytes of an answer, so that
//! the write buffer of a socket stays small for ever, however large an answer once was (it never shrinks).

use bytes::Bytes;
use std::collections::VecDeque;
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

/// A longer message goes out in fragments (RFC 6455, section 5.4), each a view of the answer: nothing is copied.
const FRAGMENT: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Outbox {
    /// A text message.
    pub fn text(&mut self, text: impl Into<String>) {
        self.fragments(Data::Text, Bytes::from(text.into()), true);
    }

    /// The text message `head`, `body`, `}`. All three together are UTF-8.
    pub fn envelope(&mut self, head: String, body: Bytes) {
        let mut head = head.into_bytes();
        if body.len() <= FRAGMENT {
            head.reserve_exact(body.len() + 1);
            head.extend_from_slice(&body);
            head.push(b'}');
            return self.push(Data::Text, Bytes::from(head), true);
        }
        self.push(Data::Text, Bytes::from(head), false);
        self.fragments(Data::Continue, body, false);
        self.push(Data::Continue, Bytes::from_static(b"}"), true);
    }

    /// A ping at the level of WebSocket.
    pub fn ping(&mut self) {
        self.frames.push_back(Frame::ping(Bytes::new()));
    }

    pub fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.payload().len());
        if self.frames.is_empty() && self.frames.capacity() > 32 {
            self.frames = VecDeque::new();
        }
        Some(frame)
    }

    pub fn clear(&mut self) {
        *self = Outbox::default();
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames waiting.
    pub fn len(&self) -> usize {
        self.frames.len()
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
        self.frames.push_back(Frame::message(payload, OpCode::Data(opcode), last));
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
            let (frames, text) = sent(|outbox| outbox.envelope("{\"payload\":".into(), body.clone().into()));
            assert_eq!(text, format!("{{\"payload\":{body}}}").into_bytes());
            assert_eq!(frames, if length <= FRAGMENT { 1 } else { 2 + length.div_ceil(FRAGMENT) });
            let (frames, text) = sent(|outbox| outbox.text(body.clone()));
            assert_eq!((frames, text), (length.div_ceil(FRAGMENT).max(1), body.into_bytes()));
        }
    }
}
