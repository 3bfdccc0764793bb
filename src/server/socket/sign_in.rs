//! Who a socket belongs to. Invariant: a signed-in socket holds a place of its session and ends with its token; a
//! token can be renewed, but a socket never changes hands.

use super::{operations::Operations, protocol::Close, seats::Seat};
use crate::{
    error::{Code, Error},
    kit::scope::RequestInfo,
};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is asked whether the session still stands. Together with what `identity::endings` takes to hear of an end
/// it is below a second; the database is asked once a second, as more is not believed for less.
pub(super) const RECHECK: Duration = Duration::from_millis(500);

/// How far a client has come.
pub(super) enum Phase<M> {
    /// No `connection_init` yet.
    Silent,
    /// Its token is being looked at.
    Admitting,
    /// A stranger may register, sign in and look at the schema.
    Stranger,
    Member(Member<M>),
}

pub(super) struct Member<M> {
    pub who: M,
    pub expires_at: Instant,
    pub recheck_at: Instant,
    seat: Seat,
}

impl<M> Member<M> {
    /// Takes a place among the session's sockets, unless there is one already.
    pub fn new<O: Operations<Member = M>>(operations: &O, who: M, seat: Option<Seat>) -> Result<Self, Close> {
        let actor = O::actor(&who);
        let seat = match seat.filter(|seat| seat.session() == actor.session) {
            Some(seat) => seat,
            None => (operations.sockets())
                .seat(actor.session, operations.config().socket.max_sockets)
                .ok_or_else(|| Close::again("Too many sockets"))?,
        };
        let now = Instant::now();
        let left = (actor.expires_at - chrono::Utc::now()).to_std().unwrap_or_default();
        Ok(Member {
            // A clock cannot hold every date that a token can.
            expires_at: now.checked_add(left).unwrap_or(now),
            // Not all sockets in the same millisecond, and none later than the others.
            recheck_at: now + RECHECK.mul_f32(rand::random::<f32>()),
            who,
            seat,
        })
    }

    /// The same member with a fresh token.
    pub fn refreshed<O: Operations<Member = M>>(self, operations: &O, who: M) -> Result<Self, Close> {
        let (was, is) = (O::actor(&self.who), O::actor(&who));
        if (was.organization, was.member) != (is.organization, is.member) {
            return Err(Close::forbidden());
        }
        Member::new(operations, who, Some(self.seat))
    }
}

/// The close for a token that was not accepted, or that nobody could look at.
pub(super) fn turned_away(error: &Error, request: &RequestInfo) -> Close {
    match error {
        Error::Yours(refusal) if refusal.code == Code::RateLimited => Close::again("Too many attempts"),
        Error::Yours(refusal) if refusal.extensions.iter().any(|(_, value)| value == "EXPIRED") => Close::expired(),
        Error::Yours(_) => Close::forbidden(),
        Error::Ours(_) | Error::TooSlow(..) => {
            tracing::error!(request = %request.id, ?error, "a token could not be looked at");
            Close::again("Try again shortly")
        }
    }
}
