//! Who asks: the address behind trusted proxies, the request's id, the token that was sent.
//! Invariant: what a stranger writes into a header is believed only when a trusted proxy vouches for it, and a
//! token that does not hold is refused, never ignored.

use super::fault::Fault;
use crate::{
    app::App,
    error::{Error, Result},
    identity,
    kit::{
        cookies::{Cookies, Kept},
        scope::{Caller, RequestInfo},
    },
};
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use uuid::Uuid;

/// The cookie that carries the access token of a browser.
pub const ACCESS_COOKIE: &str = "stoa_access";
/// Longer tokens are none of ours.
const MAX_TOKEN: usize = 4096;
/// Longer ones are made anew.
const MAX_REQUEST_ID: usize = 128;
/// The rest of a longer `User-Agent` is cut off.
const MAX_USER_AGENT: usize = 256;
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// Proxies whose `X-Forwarded-…` headers are believed.
#[derive(Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// From addresses and CIDR blocks. The error names each that is neither.
    pub fn parse(blocks: &[String]) -> Result<Self, Vec<String>> {
        let (nets, wrong): (Vec<_>, Vec<_>) = blocks
            .iter()
            .map(|block| {
                block.parse().or_else(|_| block.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                    format!("http.trusted_proxies: \"{block}\" is neither an address nor a CIDR block (10.0.0.0/8)")
                })
            })
            .partition(Result::is_ok);
        if wrong.is_empty() {
            Ok(Proxies(nets.into_iter().flatten().collect()))
        } else {
            Err(wrong.into_iter().filter_map(Result::err).collect())
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Where a request came from: `X-Forwarded-For` walked from the right, as long as those who wrote it are
    /// trusted. What stands left of the first stranger may be invented.
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        if !self.trusts(address) {
            return address;
        }
        for hop in
            headers.get_all("x-forwarded-for").iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','))
        {
            let Some(hop) = std::str::from_utf8(hop).ok().and_then(|hop| hop_address(hop.trim())) else { break };
            address = hop;
            if !self.trusts(address) {
                break;
            }
        }
        address
    }

    /// Whether the client spoke TLS, as a trusted proxy says.
    pub fn secure(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        self.trusts(peer.to_canonical())
            && headers
                .get_all("x-forwarded-proto")
                .iter()
                .next_back()
                .and_then(|proto| proto.to_str().ok())
                .and_then(|proto| proto.rsplit(',').next())
                .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip())).ok()?;
    Some(address.to_canonical())
}

/// One request as the log, the limits and the resolvers know it; without `Idempotency-Key`, which only GraphQL reads.
pub fn info(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> RequestInfo {
    RequestInfo {
        id: request_id(headers.get("x-request-id")),
        address: Some(proxies.address(peer, headers)),
        user_agent: headers.get(header::USER_AGENT).map(user_agent),
        secure: proxies.secure(peer, headers),
        ..RequestInfo::default()
    }
}

/// What `edge` has found out about a request.
pub fn info_of(request: &Request) -> RequestInfo {
    request
        .extensions()
        .get()
        .cloned()
        .unwrap_or_else(|| RequestInfo { id: request_id(None), ..RequestInfo::default() })
}

/// The caller's own id when it is harmless in a log and in a header, otherwise a new one (UUIDv7).
fn request_id(sent: Option<&HeaderValue>) -> Arc<str> {
    let harmless = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    match sent.and_then(|id| id.to_str().ok()).filter(harmless) {
        Some(id) => id.into(),
        None => {
            let mut text = Uuid::encode_buffer();
            Arc::from(&*Uuid::now_v7().as_hyphenated().encode_lower(&mut text))
        }
    }
}

fn user_agent(value: &HeaderValue) -> Arc<str> {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.get(..text.floor_char_boundary(MAX_USER_AGENT)).unwrap_or_default().into()
}

/// `Idempotency-Key`, at most 255 visible ASCII characters; 400 when it is there and something else.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Fault> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    match (key.to_str(), keys.next()) {
        (Ok(key), None)
            if (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(key.into()))
        }
        _ => Err(Fault::bad_request("Idempotency-Key must be 1 to 255 visible ASCII characters, sent once.")),
    }
}

/// Where tokens are kept, if in cookies, and the token of the device.
type Keeping = (Option<Arc<Cookies>>, Option<Arc<str>>);

/// What `Stoa-Session` and `Stoa-Device` say: where the tokens of a session are kept, and from which device it is opened.
/// 400 for anything but `Stoa-Session: cookie`. `secure`: whether cookies are kept for TLS only.
pub fn kept(headers: &HeaderMap, secure: bool) -> Result<Keeping, Fault> {
    let token = |token: &str| (token.len() <= MAX_TOKEN).then(|| token.to_owned());
    let own = |kept: Kept| cookie(headers, kept.name(secure)).and_then(token);
    let device = headers.get("stoa-device").and_then(|device| device.to_str().ok()).and_then(token);
    match headers.get("stoa-session").map(HeaderValue::as_bytes) {
        None | Some(b"") => Ok((None, device.map(Into::into))),
        Some(b"cookie") => {
            let cookies = Cookies::new(secure, own(Kept::Refresh));
            Ok((Some(Arc::new(cookies)), device.or_else(|| own(Kept::Device)).map(Into::into)))
        }
        Some(_) => Err(Fault::bad_request("Stoa-Session can only be `cookie`; leave it out to get tokens in answers.")),
    }
}

/// The token a request came with. `Debug` does not show it.
#[derive(PartialEq, Eq)]
pub enum Credential {
    None,
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(String),
    /// The cookie of a browser, sent along without the page's doing.
    Cookie(String),
}

impl Credential {
    /// `Authorization` before the cookie. An empty header counts as absent, since clients write that when they have no
    /// token; any other scheme than Bearer is refused.
    pub fn of(headers: &HeaderMap) -> Result<Self> {
        let invalid = || Error::unauthenticated("INVALID", "Send the access token as `Authorization: Bearer <token>`.");
        let mut sent = headers.get_all(header::AUTHORIZATION).iter().filter(|value| !value.is_empty());
        if let Some(value) = sent.next() {
            if sent.next().is_some() {
                return Err(invalid());
            }
            let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(invalid)?;
            let token = token.trim();
            if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX_TOKEN {
                return Err(invalid());
            }
            return Ok(Credential::Bearer(token.to_owned()));
        }
        match cookie(headers, ACCESS_COOKIE) {
            Some(token) if token.len() > MAX_TOKEN => {
                Err(Error::unauthenticated("INVALID", "The access token of the cookie cannot be read. Sign in again."))
            }
            Some(token) => Ok(Credential::Cookie(token.to_owned())),
            None => Ok(Credential::None),
        }
    }
}

/// A cookie's value (RFC 6265); HTTP/2 may send cookies in several headers. Empty counts as absent.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(known, value)| (known == name && !value.is_empty()).then_some(value))
}

/// Who asks. UNAUTHENTICATED when a token was sent that does not hold.
pub async fn caller(app: &Arc<App>, credential: Credential, request: RequestInfo) -> Result<Caller> {
    match credential {
        Credential::None => Ok(Caller::Stranger { app: app.clone(), request }),
        Credential::Bearer(token) | Credential::Cookie(token) => {
            identity::authenticate(app, &token, request).await.map(Caller::Member)
        }
    }
}

#[cfg(test)]
mod tests;
