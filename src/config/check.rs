//! What is wrong with a setting, in words, by name. Invariant: a fault never shows a secret.

use super::load::Origin;
use std::{fmt, net::IpAddr, ops::RangeInclusive};
use url::Url;

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name as in the file, such as `http.max_body`. Empty when the file as a whole is at fault.
    pub setting: String,
    /// Where the value came from; none: the default.
    pub origin: Option<Origin>,
    /// What is wrong and what would be right, without a full stop.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.setting, &self.origin) {
            ("", None) => {}
            ("", Some(origin)) => write!(f, "{origin}: ")?,
            (setting, None) => write!(f, "{setting}: ")?,
            (setting, Some(origin)) => write!(f, "{setting} ({origin}): ")?,
        }
        let stop = if self.message.ends_with('?') { "" } else { "." };
        write!(f, "{}{stop}", self.message)
    }
}

/// Collects the faults of one section after the other.
#[derive(Default)]
pub(super) struct Check {
    prefix: String,
    faults: Vec<Fault>,
}

impl Check {
    /// The settings that follow are those of `[name]`.
    pub fn section(&mut self, name: &str) -> &mut Self {
        self.prefix = format!("{name}.");
        self
    }

    /// The value lies in the range, both ends included.
    pub fn within<T: PartialOrd + fmt::Display>(&mut self, name: &str, value: T, range: RangeInclusive<T>) {
        let (least, most) = range.into_inner();
        self.that(name, value >= least, format!("{value} is too small; {least} at least"));
        self.that(name, value <= most, format!("{value} is too large; {most} at most"));
    }

    /// Something holds; otherwise the message is told.
    pub fn that(&mut self, name: &str, holds: bool, message: impl Into<String>) {
        if !holds {
            let setting = format!("{}{name}", self.prefix);
            self.faults.push(Fault { setting, origin: None, message: message.into() });
        }
    }

    pub fn faults(self) -> Vec<Fault> {
        self.faults
    }
}

/// `postgres://…` or `postgresql://…`, also with a socket's folder as host.
pub(super) fn is_postgres_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "postgres" | "postgresql") && !url.cannot_be_a_base())
}

/// `redis://…`, `rediss://…` or `redis+unix:///…`.
pub(super) fn is_redis_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| match url.scheme() {
        "redis" | "rediss" => url.has_host(),
        "redis+unix" => url.path().len() > 1,
        _ => false,
    })
}

/// Scheme, host and port as browsers send them in `Origin`: no path, no slash at the end.
pub(super) fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.origin().is_tuple() && url.origin().ascii_serialization() == text)
}

/// `http://…` or `https://…` with a host and without a query.
pub(super) fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    })
}

/// `address` or `Name <address>`.
pub(super) fn is_mailbox(text: &str) -> bool {
    text.parse::<lettre::message::Mailbox>().is_ok()
}

/// An address, or a CIDR block (RFC 4632).
pub(super) fn is_block(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}
