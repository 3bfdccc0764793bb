//! Headers as they come from proxies, browsers and those who try things.

use super::*;
use axum::http::HeaderName;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_address_is_the_first_one_from_the_right_that_is_not_a_trusted_proxy() {
    let proxies = Proxies::parse(&["10.0.0.0/8".into(), "2001:db8::1".into(), "127.0.0.1".into()]).expect("blocks");
    let cases: &[(&str, &[&str], &str)] = &[
        // Nobody vouches for it: the peer counts, whatever it claims.
        ("203.0.113.9", &["1.1.1.1"], "203.0.113.9"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
        // The client invented the first, our proxy wrote the second.
        ("10.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        // Several headers count as one list.
        ("10.0.0.1", &["1.1.1.1", "198.51.100.7", "10.2.3.4"], "198.51.100.7"),
        // Everybody is trusted: the farthest.
        ("127.0.0.1", &["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        // What cannot be read ends the walk.
        ("10.0.0.1", &["198.51.100.7, unknown, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", &["unknown"], "10.0.0.1"),
        ("10.0.0.1", &[""], "10.0.0.1"),
        ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
        ("2001:db8::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
        ("2001:db8::1", &["[2001:db8::7]"], "2001:db8::7"),
        // IPv4 in IPv6 clothes is the same machine.
        ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
    ];
    for (peer, forwarded, expected) in cases {
        let mut sent = HeaderMap::new();
        for line in *forwarded {
            sent.append("x-forwarded-for", line.parse().expect("a value"));
        }
        assert_eq!(proxies.address(ip(peer), &sent), ip(expected), "{peer} {forwarded:?}");
    }
}

#[test]
fn all_wrong_proxies_are_named() {
    let wrong =
        Proxies::parse(&["10.0.0.0/8".into(), "10.0.0.0/33".into(), "proxy.local".into()]).expect_err("two wrong");
    assert_eq!(wrong.len(), 2);
    assert!(wrong[0].contains("10.0.0.0/33") && wrong[1].contains("proxy.local"), "{wrong:?}");
}

#[test]
fn tls_is_believed_from_a_trusted_proxy_only() {
    let proxies = Proxies::parse(&["10.0.0.1".into()]).expect("blocks");
    for (peer, proto, expected) in [
        ("10.0.0.1", "https", true),
        ("10.0.0.1", "http, HTTPS", true),
        ("10.0.0.1", "https, http", false),
        ("10.0.0.1", "http", false),
        ("203.0.113.9", "https", false),
    ] {
        assert_eq!(proxies.secure(ip(peer), &headers(&[("x-forwarded-proto", proto)])), expected, "{peer} {proto}");
    }
    assert!(!proxies.secure(ip("10.0.0.1"), &HeaderMap::new()));
}

#[test]
fn a_harmless_request_id_is_kept() {
    let id = |sent: &str| request_id(Some(&HeaderValue::from_str(sent).expect("a value")));
    let longest = "x".repeat(MAX_REQUEST_ID);
    for kept in ["a", "trace-1.2_3", longest.as_str()] {
        assert_eq!(&*id(kept), kept);
    }
    let too_long = "x".repeat(MAX_REQUEST_ID + 1);
    for replaced in ["", "a b", "a\"b", "a/b", "a;b", too_long.as_str()] {
        let made = id(replaced);
        assert_eq!(Uuid::parse_str(&made).expect("a UUID").get_version_num(), 7, "{replaced}");
    }
    assert_ne!(request_id(None), request_id(None));
}

#[test]
fn a_long_user_agent_is_cut_between_characters() {
    let cut = user_agent(&HeaderValue::from_bytes("ä".repeat(200).as_bytes()).expect("a value"));
    assert_eq!(&*cut, "ä".repeat(128));
    assert_eq!(&*user_agent(&HeaderValue::from_static("curl/8")), "curl/8");
}

#[test]
fn an_idempotency_key_is_visible_ascii_and_sent_once() {
    let longest = "k".repeat(MAX_IDEMPOTENCY_KEY);
    for good in ["k", "4f6a-{1}", longest.as_str()] {
        let key = idempotency_key(&headers(&[("idempotency-key", good)])).expect("is fine");
        assert_eq!(key.as_deref(), Some(good));
    }
    let too_long = "k".repeat(MAX_IDEMPOTENCY_KEY + 1);
    for bad in ["", "a b", "schlüssel", too_long.as_str()] {
        assert!(idempotency_key(&headers(&[("idempotency-key", bad)])).is_err(), "{bad}");
    }
    assert!(idempotency_key(&headers(&[("idempotency-key", "a"), ("idempotency-key", "b")])).is_err());
    assert_eq!(idempotency_key(&HeaderMap::new()).expect("is fine"), None);
}

#[test]
fn the_token_comes_from_the_header_or_the_cookie() {
    let bearer = |token: &str| Some(Credential::Bearer(token.into()));
    let cookie = |token: &str| Some(Credential::Cookie(token.into()));
    type Case<'a> = (&'a [(&'static str, &'a str)], Option<Credential>);
    let cases: &[Case] = &[
        (&[], Some(Credential::None)),
        (&[("authorization", "")], Some(Credential::None)),
        (&[("authorization", "Bearer abc")], bearer("abc")),
        (&[("authorization", "bearer  abc ")], bearer("abc")),
        (&[("authorization", "Bearer abc"), ("cookie", "stoa_access=xyz")], bearer("abc")),
        (&[("authorization", ""), ("cookie", "stoa_access=xyz")], cookie("xyz")),
        (&[("cookie", "a=b; stoa_access=xyz; c")], cookie("xyz")),
        (&[("cookie", "a=b"), ("cookie", "stoa_access=xyz")], cookie("xyz")),
        (&[("cookie", "stoa_access=")], Some(Credential::None)),
        (&[("cookie", "xstoa_access=xyz")], Some(Credential::None)),
        // Sent, and no token: refused, not ignored.
        (&[("authorization", "Bearer")], None),
        (&[("authorization", "Bearer ")], None),
        (&[("authorization", "Basic YTpi")], None),
        (&[("authorization", "abc")], None),
        (&[("authorization", "Bearer a"), ("authorization", "Bearer b")], None),
    ];
    for (sent, expected) in cases {
        assert!(Credential::of(&headers(sent)).ok() == *expected, "{sent:?}");
    }
    let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
    assert!(Credential::of(&headers(&[("authorization", &long)])).is_err());
    let long = format!("stoa_access={}", "x".repeat(MAX_TOKEN + 1));
    assert!(Credential::of(&headers(&[("cookie", &long)])).is_err());
}
