//! What happens next on a socket. Invariant: an operation is asked for a second answer only when all that was answered is written.

use super::{Driver, Event, Operations, Phase, millis};
use futures_util::FutureExt;
use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep},
};
use tungstenite::Message;

impl<O: Operations, S: AsyncRead + AsyncWrite + Send + Unpin> Driver<O, S> {
    /// What happens next. Writing comes first; operations come last, and only when everything is written.
    pub(super) fn poll(
        &mut self,
        task: &Waker,
        mut alarm: Pin<&mut Sleep>,
        mut draining: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Event<O::Member>> {
        self.look |= self.calls.listen(task);
        loop {
            if self.look {
                if let Poll::Ready(event) = self.poll_rest(alarm.as_mut(), draining.as_mut()) {
                    return Poll::Ready(event);
                }
                self.look = false;
            }
            if self.write_by.is_some() {
                return if self.running.work() { Poll::Pending } else { Poll::Ready(Event::Slow) };
            }
            match ready!(self.poll_answers()) {
                Ok(()) => self.look = true,
                Err(fault) => return Poll::Ready(Event::Gone(fault)),
            }
        }
    }

    /// Of everything but the operations.
    fn poll_rest(
        &mut self,
        mut alarm: Pin<&mut Sleep>,
        draining: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Event<O::Member>> {
        let rest = self.rest.clone();
        let context = &mut Context::from_waker(&rest);
        let written = match self.poll_write() {
            Poll::Ready(Err(fault)) => return Poll::Ready(Event::Gone(fault)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        let deadline = self.deadline();
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        if alarm.poll(context).is_ready() {
            return Poll::Ready(Event::Alarm);
        }
        if self.drain_by.is_none() && draining.poll(context).is_ready() {
            return Poll::Ready(Event::Drain);
        }
        if self.drain_by.is_some() && written && self.running.is_empty() {
            return Poll::Ready(Event::Drained);
        }
        if let Some(Poll::Ready(verdict)) = self.asking.as_mut().map(|asking| asking.poll_unpin(context)) {
            (self.asking, self.refreshing) = (None, false);
            return Poll::Ready(Event::Verdict(verdict));
        }
        if self.asking.is_none()
            && let Phase::Member(member) = &self.phase
            && member.recheck_at.is_none()
            && member.watch.poll_rung(context).is_ready()
        {
            return Poll::Ready(Event::Rung);
        }
        if !self.refreshing
            && self.outbox.len() < self.config().queue.max(1)
            && self.outbox.bytes() < self.config().max_message.max(1)
            && let Poll::Ready(read) = self.socket.poll_next(&rest)
        {
            return Poll::Ready(Event::Read(read));
        }
        Poll::Pending
    }

    /// Hands on one answer after the other while they can be written. Tokio's budget of a task bounds it. Ready when one is
    /// waiting, or nothing is left that answers.
    fn poll_answers(&mut self) -> Poll<Result<(), tungstenite::Error>> {
        loop {
            ready!(self.running.poll_next(&mut self.outbox));
            match self.poll_write() {
                Poll::Ready(Ok(())) if !self.running.is_empty() => {}
                Poll::Ready(written) => return Poll::Ready(written),
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes what waits; ready when nothing does. The time a write may take begins anew with each frame.
    fn poll_write(&mut self) -> Poll<Result<(), tungstenite::Error>> {
        loop {
            let Poll::Ready(flushed) = self.socket.poll_flush(&self.rest) else {
                let write_by = Instant::now() + millis(self.operations.config().socket.write_timeout_ms);
                self.write_by.get_or_insert(write_by);
                return Poll::Pending;
            };
            flushed?;
            self.write_by = None;
            match self.outbox.pop() {
                Some(frame) => self.socket.start_send(Message::Frame(frame), &self.rest)?,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// When the clock has something to say next.
    pub(super) fn deadline(&self) -> Instant {
        let phase = match &self.phase {
            Phase::Silent | Phase::Admitting => Some(self.init_by),
            Phase::Stranger => None,
            Phase::Member(member) => Some(member.recheck_at.map_or(member.expires_at, |at| at.min(member.expires_at))),
        };
        [phase, self.write_by, self.drain_by].into_iter().flatten().fold(self.ping_at, Instant::min)
    }
}
