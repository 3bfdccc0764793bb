//! Who a socket belongs to. Invariant: a signed-in socket holds a place of its session and ends with its token; a
//! token can be renewed, but a socket never changes hands.

use super::{operations::Operations, protocol::Close, seats::Seat};
use crate::{
    error::{Code, Error},
    kit::scope::RequestInfo,
    platform::{presence::Here, standing::Watch},
};
use tokio::time::Instant;

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
    /// Rings when the session may have ended.
    pub watch: Watch,
    /// When to look whether it has.
    pub recheck_at: Option<Instant>,
    /// Says that the member is here, as long as it answers.
    pub here: Option<Here>,
    seat: Seat,
}

impl<M> Member<M> {
    /// Takes a place among the session's sockets, unless there is one already.
    pub fn new<O: Operations<Member = M>>(operations: &O, who: M, seat: Option<Seat>) -> Result<Self, Close> {
        let actor = O::actor(&who);
        let session = actor.credential.id();
        let seat = match seat.filter(|seat| seat.session() == session) {
            Some(seat) => seat,
            None => (operations.sockets())
                .seat(session, operations.config().socket.max_sockets)
                .ok_or_else(|| Close::again("Too many sockets"))?,
        };
        let now = Instant::now();
        let left = (actor.expires_at - chrono::Utc::now()).to_std().unwrap_or_default();
        Ok(Member {
            // A clock cannot hold every date that a token can.
            expires_at: now.checked_add(left).unwrap_or(now),
            watch: operations.watch(&who),
            recheck_at: None,
            here: operations.arrive(&who),
            who,
            seat,
        })
    }

    /// The same member with a fresh token.
    pub fn refreshed<O: Operations<Member = M>>(self, operations: &O, who: M) -> Result<Self, Close> {
        let (was, is) = (O::actor(&self.who), O::actor(&who));
        // What runs here was begun with one API key, and ends with it.
        if (was.organization, was.member, was.api_key()) != (is.organization, is.member, is.api_key()) {
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
