//! Tokens that a browser keeps out of the reach of its pages (`Stoa-Session: cookie`). Invariant: a cookie that we set is
//! sent back to this host only, never with what another site asks for, and no script can read it.

use parking_lot::Mutex;
use std::fmt;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What a session goes on with.
    Refresh,
    /// What tells this browser from one that the person has never signed in from.
    Device,
}

impl Kept {
    const ALL: [Kept; 2] = [Kept::Refresh, Kept::Device];

    /// The name of its cookie. Over TLS it has the prefix with which a browser makes sure that no neighbouring host has
    /// set it (RFC 6265bis, 4.1.3.2).
    pub fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Kept::Refresh, true) => "__Host-stoa_refresh",
            (Kept::Refresh, false) => "stoa_refresh",
            (Kept::Device, true) => "__Host-stoa_device",
            (Kept::Device, false) => "stoa_device",
        }
    }
}

/// What a browser has kept, and what the answer to this request tells it to keep.
pub struct Cookies {
    secure: bool,
    refresh: Option<String>,
    set: Mutex<[Option<String>; Kept::ALL.len()]>,
}

impl Cookies {
    /// `secure`: whether the browser came by TLS. `refresh`: the refresh token that it sent.
    pub fn new(secure: bool, refresh: Option<String>) -> Self {
        Cookies { secure, refresh, set: Mutex::default() }
    }

    /// The refresh token that was kept.
    pub fn refresh(&self) -> Option<&str> {
        self.refresh.as_deref()
    }

    /// Has a token kept for so many seconds; 0: no longer.
    pub fn keep(&self, kept: Kept, token: &str, seconds: i64) {
        let (name, secure) = (kept.name(self.secure), if self.secure { "; Secure" } else { "" });
        let cookie = format!("{name}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", seconds.max(0));
        if let Some(place) = self.set.lock().get_mut(kept as usize) {
            *place = Some(cookie);
        }
    }

    /// The values of `Set-Cookie`.
    pub fn take(&self) -> impl Iterator<Item = String> {
        std::mem::take(&mut *self.set.lock()).into_iter().flatten()
    }
}

/// Without the tokens.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").field("secure", &self.secure).finish_non_exhaustive()
    }
}
