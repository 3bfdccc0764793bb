//! A token is good only if everything about it is: every wrong kind is refused with its reason.

use super::*;
use crate::config::{IdentityConfig, Secret};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

fn config(folder: &tempfile::TempDir) -> Config {
    Config { data_dir: folder.path().join("data"), ..Config::default() }
}

fn claims() -> Claims {
    let [organization, member, user, session] = std::array::from_fn(|_| Uuid::new_v4());
    Claims { organization, member, user, session, expires_at: Utc::now() + TimeDelta::days(7) }
}

fn reason(result: Result<Claims>) -> String {
    let Err(Error::Yours(refusal)) = result else { panic!("{result:?}") };
    assert_eq!(refusal.code, crate::error::Code::Unauthenticated);
    refusal.extensions[0].1.as_str().unwrap().to_owned()
}

#[test]
fn a_token_says_what_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&config(&folder)).unwrap();
    let claims = claims();
    let (token, ends) = tokens.sign(claims).unwrap();
    assert!((ends - Utc::now() - TimeDelta::minutes(15)).abs() < TimeDelta::seconds(5));
    for _ in 0..2 {
        assert_eq!(tokens.check(&token).unwrap(), Claims { expires_at: ends, ..claims });
    }
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), Algorithm::EdDSA));
    assert_eq!(header.kid.unwrap(), tokens.jwks()["keys"][0]["kid"]);
}

#[test]
fn a_token_ends_with_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&config(&folder)).unwrap();
    let soon = Utc::now() + TimeDelta::seconds(60);
    assert_eq!(tokens.sign(Claims { expires_at: soon, ..claims() }).unwrap().1.timestamp(), soon.timestamp());
}

#[test]
fn a_remembered_token_still_ends() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&config(&folder)).unwrap();
    let ended = Claims { expires_at: Utc::now() - TimeDelta::seconds(6), ..claims() };
    let (token, _) = tokens.sign(ended).unwrap();
    assert_eq!(reason(tokens.check(&token)), "EXPIRED");
    let key = tokens.0.keys.ring().header.kid.clone().unwrap();
    tokens.0.checked.insert(Sha256::digest(&token).into(), (key.into(), ended));
    assert_eq!(reason(tokens.check(&token)), "EXPIRED");
}

#[test]
fn every_changed_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&config(&folder)).unwrap();
    let (token, _) = tokens.sign(claims()).unwrap();
    // The last character of the signature carries four spare bits, which strict base64 requires to be zero.
    for at in (0..token.len()).step_by(7).chain([token.len() - 1]) {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(reason(tokens.check(&String::from_utf8(changed).unwrap())), "INVALID", "byte {at}");
    }
}

#[test]
fn nothing_else_passes_for_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(&config(&folder)).unwrap();
    let ring = tokens.0.keys.ring();
    let now = Utc::now().timestamp();
    let id = Uuid::new_v4();
    let good = json!({ "iss": "stoa", "aud": "stoa", "sub": id, "org": id, "usr": id, "sid": id, "iat": now,
                       "nbf": now, "exp": now + 60, "jti": id });
    let sign = |header: &Header, body: &serde_json::Value| jsonwebtoken::encode(header, body, &ring.signing).unwrap();
    tokens.check(&sign(&ring.header, &good)).expect("the claims that the others differ from");

    let changes = [
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("aud", json!(["stoa", "other"])),
        ("sub", json!("x")),
        ("nbf", json!(now + 60)),
        ("exp", json!("soon")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("org", json!(null)),
    ];
    for (name, value) in changes {
        let mut body = good.clone();
        body[name] = value;
        assert_eq!(reason(tokens.check(&sign(&ring.header, &body))), "INVALID", "{body}");
    }
    for name in ["iss", "aud", "sub", "org", "usr", "sid", "iat", "nbf", "exp", "jti"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        assert_eq!(reason(tokens.check(&sign(&ring.header, &body))), "INVALID", "without {name}");
    }
    for (typ, kid) in [
        (Some("JWT"), ring.header.kid.as_deref()),
        (None, ring.header.kid.as_deref()),
        (Some(TYPE), Some("other")),
        (Some(TYPE), None),
    ] {
        let mut header = ring.header.clone();
        (header.typ, header.kid) = (typ.map(str::to_owned), kid.map(str::to_owned));
        assert_eq!(reason(tokens.check(&sign(&header, &good))), "INVALID", "{typ:?} {kid:?}");
    }

    // The public key taken for a shared secret, and no signature at all: the two classic attacks.
    let mut header = ring.header.clone();
    header.alg = Algorithm::HS256;
    let public = URL_SAFE_NO_PAD.decode(tokens.jwks()["keys"][0]["x"].as_str().unwrap()).unwrap();
    let forged = jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(&public)).unwrap();
    assert_eq!(reason(tokens.check(&forged)), "INVALID");
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none", "typ": "at+jwt" })), part(&good));
    for token in [unsigned.as_str(), "", ".", "..", "a.b.c", "stoa", "\0", &"a".repeat(5000)] {
        assert_eq!(reason(tokens.check(token)), "INVALID");
    }

    let stranger = Tokens::open(&config(&tempfile::tempdir().unwrap())).unwrap();
    assert_eq!(reason(tokens.check(&stranger.sign(claims()).unwrap().0)), "INVALID");
}

#[test]
fn the_key_is_made_once_and_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let first = Tokens::open(&config).unwrap();
    let file = config.data_dir.join("keys/access.pem");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(config.data_dir.join("keys")).unwrap().count(), 1, "no draft stays");
    let second = Tokens::open(&Config { production: true, ..config }).unwrap();
    second.check(&first.sign(claims()).unwrap().0).expect("the same key after a restart");
}

#[test]
fn processes_that_start_at_once_share_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let ids: Vec<_> = std::thread::scope(|threads| {
        let starts: Vec<_> = (0..8).map(|_| threads.spawn(|| Tokens::open(&config).unwrap().jwks())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let kept = Tokens::open(&config).unwrap().jwks();
    assert!(ids.iter().all(|id| *id == kept));
}

#[test]
fn a_rotation_signs_nobody_out_unless_it_is_to() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { production: true, ..config(&folder) };
    let first = rotate_keys(&config, false).unwrap();
    let running = Tokens::open(&config).unwrap();
    let (old, _) = running.sign(claims()).unwrap();

    let second = rotate_keys(&config, false).unwrap();
    assert_ne!(first, second);
    let restarted = Tokens::open(&config).unwrap();
    restarted.check(&old).expect("a token of the key before");
    let (new, _) = restarted.sign(claims()).unwrap();
    assert_eq!(jsonwebtoken::decode_header(&new).unwrap().kid.unwrap(), second);
    // As if the last look were a while ago.
    running.0.keys.forget_look();
    running.check(&new).expect("a token of the key that another process has made");
    running.check(&old).unwrap();
    let ids: Vec<_> = running.jwks()["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert_eq!(ids, [json!(second), json!(first)]);
    let listed: Vec<_> = list_keys(&config).unwrap().into_iter().map(|key| (key.id, key.signs)).collect();
    assert_eq!(listed, [(second, true), (first, false)]);

    rotate_keys(&config, true).unwrap();
    running.0.keys.forget_look();
    for token in [&old, &new] {
        assert_eq!(reason(running.check(token)), "INVALID", "of a key that is forgotten");
    }
    assert_eq!(list_keys(&config).unwrap().len(), 1);
}

#[test]
fn a_given_key_follows_another() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let config = Config { data_dir: folder.path().join(name), ..Config::default() };
        rotate_keys(&config, false).unwrap();
        std::fs::read_to_string(config.data_dir.join("keys/access.pem")).unwrap()
    };
    let (before, now) = (made("before"), made("now"));
    let with = |key: &str, previous: Option<&str>| {
        let secret = |key: &str| Secret::from(key.to_owned());
        let identity = IdentityConfig {
            signing_key: Some(secret(key)),
            previous_signing_key: previous.map(secret),
            ..IdentityConfig::default()
        };
        Config { identity, ..config(&folder) }
    };
    let (token, _) = Tokens::open(&with(&before, None)).unwrap().sign(claims()).unwrap();
    Tokens::open(&with(&now, Some(&before))).unwrap().check(&token).unwrap();
    assert_eq!(reason(Tokens::open(&with(&now, None)).unwrap().check(&token)), "INVALID");
    let told = format!("{:?}", rotate_keys(&with(&now, None), false).unwrap_err());
    assert!(told.contains("identity.previous_signing_key"), "{told}");
}

#[test]
fn production_wants_a_key_to_be_given() {
    let folder = tempfile::tempdir().unwrap();
    let production = |signing_key: Option<&str>| {
        let signing_key = signing_key.map(|key| Secret::from(key.to_owned()));
        let identity = IdentityConfig { signing_key, ..IdentityConfig::default() };
        Tokens::open(&Config { production: true, identity, ..config(&folder) })
    };
    assert!(format!("{:?}", production(None).err().unwrap()).contains("STOA_SIGNING_KEY"));
    assert!(!folder.path().join("data").exists(), "and nothing is written");

    // Made by `openssl genpkey -algorithm ed25519`.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIs3nWrX8Zp1kLtn3hjxJYxhFcPbdGWuqm0Q/gzyMPmv\n-----END PRIVATE KEY-----\n";
    let given = production(Some(pem)).unwrap();
    let file = folder.path().join("given.pem");
    std::fs::write(&file, pem).unwrap();
    assert_eq!(given.jwks(), production(file.to_str()).unwrap().jwks());

    for nonsense in ["-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", "no/such/file", ""] {
        let told = format!("{:?}", production(Some(nonsense)).err().unwrap());
        assert!(told.contains("identity.signing_key") || told.contains("cannot read"), "{told}");
    }
}

#[test]
fn the_key_id_is_its_thumbprint() {
    // RFC 8037, appendix A.3.
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let digest = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
    assert_eq!(URL_SAFE_NO_PAD.encode(digest), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn refresh_tokens_are_read_back_and_nothing_else_is() {
    let token = RefreshToken::new(Uuid::new_v4(), Uuid::new_v4()).unwrap();
    let text = token.reveal();
    assert!(text.starts_with("stoa_rt_"));
    let read = RefreshToken::parse(&text).unwrap();
    assert_eq!((read.organization, read.session, read.hash()), (token.organization, token.session, token.hash()));
    assert_ne!(RefreshToken::new(token.organization, token.session).unwrap().hash(), token.hash());
    let (cut, bare) = (text.get(..text.len() - 4).unwrap(), text.strip_prefix("stoa_rt_").unwrap());
    for other in
        ["", "stoa_rt_", cut, &format!("{text}AAAA"), &format!("{text}="), bare, "stoa_rt_ü", &text.repeat(1000)]
    {
        assert!(RefreshToken::parse(other).is_none(), "{other}");
    }
}

#[test]
fn a_successor_is_read_with_its_predecessor_only() {
    let (organization, session) = (Uuid::new_v4(), Uuid::new_v4());
    let token = || RefreshToken::new(organization, session).unwrap();
    let (first, second, other) = (token(), token(), token());
    let sealed = first.seal(&second);
    assert_eq!(first.open(&sealed).unwrap().reveal(), second.reveal());
    assert_ne!(other.open(&sealed).unwrap().reveal(), second.reveal());
    assert!(!second.reveal().as_bytes().windows(8).any(|part| sealed.windows(8).any(|other| other == part)));
    assert!(first.open(&sealed[1..]).is_none() && first.open(&[]).is_none());
}
