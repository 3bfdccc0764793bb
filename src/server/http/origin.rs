//! Whether a page may act in the name of a browser's user (CSRF).
//! Invariant: a cookie, which the browser adds by itself, counts only for a page of Stoa's own origin or of an origin
//! that the settings name.

use crate::{
    error::Code,
    server::{edge::cors::Cors, fault::Fault},
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// Headers that a page of another origin can send only after a preflight, which `Cors` answers for it.
const PREFLIGHT: [&str; 4] =
    ["graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name", "x-requested-with"];

/// Judges a request that came with the cookie; CSRF_PREVENTED (403) when another page may be behind it.
/// `authority` is the host the request was sent to.
pub fn judge(method: &Method, headers: &HeaderMap, authority: Option<&str>, cors: &Cors) -> Result<(), Fault> {
    if from_friend(headers, authority, cors).unwrap_or_else(|| preflighted(method, headers)) {
        return Ok(());
    }
    Err(Fault::new(
        StatusCode::FORBIDDEN,
        Code::CsrfPrevented,
        "The cookie counts only for pages of this origin. Send the token as `Authorization: Bearer`, or have the \
         origin named in http.cors_origins.",
    ))
}

/// Whether the page behind a request is one of Stoa's own or of a named origin, as the browser says
/// (`Sec-Fetch-Site`, `Origin`); none when it says nothing.
pub fn from_friend(headers: &HeaderMap, authority: Option<&str>, cors: &Cors) -> Option<bool> {
    let origin = headers.get(header::ORIGIN);
    if origin.is_some_and(|origin| cors.names(origin)) {
        return Some(true);
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        // `none`: typed by the user or taken from a bookmark.
        Some(b"same-origin" | b"none") => Some(true),
        Some(_) => Some(false),
        // Browsers before 2023, and pages without TLS.
        None => origin.map(|origin| own(origin, authority)),
    }
}

/// Whether an origin names the host that the request was sent to. The scheme is left out: a proxy that takes TLS away
/// need not say so.
fn own(origin: &HeaderValue, authority: Option<&str>) -> bool {
    let (Ok(origin), Some(authority)) = (origin.to_str(), authority) else { return false };
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let bare = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
    !host.is_empty() && bare(host) == bare(authority)
}

/// Neither header: not a current browser. JSON can be posted across origins only after a preflight; a GET shows
/// that there was one by a header of its own.
fn preflighted(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST || PREFLIGHT.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    #[test]
    fn the_cookie_counts_for_friends_only() {
        let cors = Cors::parse(&["https://app.example.com".into(), "*".into()]).expect("origins");
        type Case<'a> = (&'a str, &'a [(&'static str, &'static str)], bool);
        let cases: &[Case] = &[
            // What a current browser says.
            ("GET", &[("sec-fetch-site", "same-origin")], true),
            ("GET", &[("sec-fetch-site", "none")], true),
            ("GET", &[("sec-fetch-site", "same-site")], false),
            ("GET", &[("sec-fetch-site", "cross-site")], false),
            ("GET", &[("sec-fetch-site", "nonsense")], false),
            ("POST", &[("sec-fetch-site", "same-origin"), ("origin", "https://stoa.example")], true),
            ("POST", &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], false),
            ("POST", &[("sec-fetch-site", "same-site"), ("origin", "https://other.stoa.example")], false),
            // Named in the settings; the star names nobody.
            ("POST", &[("sec-fetch-site", "cross-site"), ("origin", "https://app.example.com")], true),
            ("GET", &[("origin", "https://app.example.com")], true),
            // A custom header does not help a page that the browser calls foreign.
            ("GET", &[("sec-fetch-site", "cross-site"), ("x-requested-with", "x")], false),
            // Older browsers.
            ("POST", &[("origin", "https://stoa.example")], true),
            ("POST", &[("origin", "https://STOA.example:443")], true),
            ("POST", &[("origin", "https://stoa.example:444")], false),
            ("POST", &[("origin", "https://stoa.example.evil")], false),
            ("POST", &[("origin", "null")], false),
            ("POST", &[("origin", "file://stoa.example")], false),
            // No browser, or none that tells.
            ("POST", &[], true),
            ("GET", &[], false),
            ("GET", &[("apollo-require-preflight", "true")], true),
            ("GET", &[("graphql-require-preflight", "")], true),
            ("GET", &[("content-type", "application/json")], false),
        ];
        for (method, sent, expected) in cases {
            let method = method.parse().expect("a method");
            let headers = sent
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            let verdict = judge(&method, &headers, Some("stoa.example"), &cors);
            assert_eq!(verdict.is_ok(), *expected, "{method} {sent:?}");
            if let Err(fault) = verdict {
                assert_eq!((fault.status, fault.error.code()), (StatusCode::FORBIDDEN, Code::CsrfPrevented));
            }
        }
    }

    #[test]
    fn ports_are_compared_as_the_scheme_means_them() {
        for (origin, authority, expected) in [
            ("http://localhost:4000", "localhost:4000", true),
            ("http://localhost", "localhost:80", true),
            ("https://a.example", "a.example:443", true),
            ("https://a.example:80", "a.example", false),
            ("http://[::1]:4000", "[::1]:4000", true),
            ("http://", "", false),
        ] {
            assert_eq!(own(&HeaderValue::from_static(origin), Some(authority)), expected, "{origin} {authority}");
        }
        assert!(!own(&HeaderValue::from_static("http://a.example"), None));
    }
}
