//! What may be believed of a token, without a provider.

use super::claims::{UserInfo, challenge, check, complete};
use crate::config::OidcProvider;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

fn settings() -> OidcProvider {
    OidcProvider { issuer: "https://id.example.com".into(), client_id: "stoa".into(), ..OidcProvider::default() }
}

/// A key of Ed25519, and as the provider shows it.
fn key(seed: u8, id: Option<&str>) -> (EncodingKey, Jwk) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let public = URL_SAFE_NO_PAD.encode(key.verifying_key());
    let shown = json!({ "kty": "OKP", "crv": "Ed25519", "x": public, "kid": id });
    (EncodingKey::from_ed_der(key.to_pkcs8_der().unwrap().as_bytes()), serde_json::from_value(shown).unwrap())
}

fn body(change: Value) -> Value {
    let now = Utc::now().timestamp();
    let mut body = json!({ "iss": "https://id.example.com", "aud": "stoa", "sub": "ada", "nonce": "n", "iat": now,
                           "exp": now + 300, "email": "ada@example.com", "email_verified": true });
    let members = body.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => _ = members.remove(name),
            value => _ = members.insert(name.clone(), value.clone()),
        }
    }
    body
}

fn token(key: &EncodingKey, id: Option<&str>, change: Value) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, &body(change), key).unwrap()
}

#[test]
fn only_what_the_standard_lets_through_is_believed() {
    let (mine, shown) = key(1, Some("one"));
    let keys = [shown];
    let now = Utc::now().timestamp();
    let believed = |change: Value| check(&token(&mine, Some("one"), change), &settings(), &keys, "n").is_ok();
    for good in [
        json!({}),
        json!({ "aud": ["stoa"] }),
        json!({ "aud": ["stoa", "other"], "azp": "stoa" }),
        json!({ "iat": now as f64 - 0.5 }),
        json!({ "exp": now - 30 }),
        json!({ "email": null, "email_verified": null }),
    ] {
        assert!(believed(good.clone()), "{good}");
    }
    for bad in [
        json!({ "iss": "https://id.example.com/" }),
        json!({ "iss": null }),
        json!({ "aud": "other" }),
        json!({ "aud": ["other"] }),
        json!({ "aud": ["stoa", "other"] }),
        json!({ "aud": null }),
        json!({ "azp": "other" }),
        json!({ "exp": now - 100 }),
        json!({ "exp": null }),
        json!({ "iat": now - 1000 }),
        json!({ "iat": now + 1000 }),
        json!({ "iat": null }),
        json!({ "nbf": now + 1000 }),
        json!({ "nonce": "m" }),
        json!({ "nonce": "" }),
        json!({ "nonce": null }),
        json!({ "sub": "" }),
        json!({ "sub": "a".repeat(256) }),
        json!({ "sub": "a\0" }),
        json!({ "sub": null }),
    ] {
        assert!(!believed(bad.clone()), "{bad}");
    }
    for nonsense in ["", "a.b.c", &"a".repeat(1 << 20), "eyJhbGciOiJub25lIn0.e30."] {
        assert!(check(nonsense, &settings(), &keys, "n").is_err(), "{nonsense:.20}");
    }
}

#[test]
fn the_key_is_the_providers_and_there_is_no_doubt_about_it() {
    let ((one, shown_one), (two, shown_two)) = (key(1, Some("one")), key(2, Some("two")));
    let both = [shown_one.clone(), shown_two.clone()];
    let ask = |token: &str, keys: &[Jwk]| check(token, &settings(), keys, "n").map(|identity| identity.subject);
    assert_eq!(ask(&token(&one, Some("one"), json!({})), &both).unwrap(), "ada");
    assert_eq!(ask(&token(&two, Some("two"), json!({})), &both).unwrap(), "ada");
    assert!(ask(&token(&one, Some("two"), json!({})), &both).is_err(), "another key than it names");
    assert!(ask(&token(&one, None, json!({})), &both).is_err(), "which one?");
    assert_eq!(ask(&token(&one, None, json!({})), &both[..1]).unwrap(), "ada", "there is only one");
    assert!(ask(&token(&two, Some("two"), json!({})), &both[..1]).unwrap_err().of_strange_key);
    assert!(ask(&token(&two, None, json!({})), &both[..1]).unwrap_err().of_strange_key, "another one without a name");
    let mut encrypts = shown_one;
    encrypts.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Encryption);
    assert!(ask(&token(&one, Some("one"), json!({})), &[encrypts]).is_err(), "not made for signing");

    // The public key as a secret that both have: what the method would have to be refused for.
    let secret = EncodingKey::from_secret(b"everybody knows");
    let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
    let forged = jsonwebtoken::encode(&header, &body(json!({})), &secret).unwrap();
    let refused = ask(&forged, &both).unwrap_err();
    assert!(refused.why.contains("not accepted") && !refused.of_strange_key, "{refused:?}");
}

#[test]
fn an_address_counts_as_confirmed_only_by_a_clear_yes() {
    let (mine, shown) = key(1, None);
    let keys = [shown];
    for (given, verified) in [(json!(true), true), (json!("true"), true), (json!(false), false), (json!(1), false)] {
        let token = token(&mine, None, json!({ "email_verified": given }));
        assert_eq!(check(&token, &settings(), &keys, "n").unwrap().email_verified, verified, "{given}");
    }
    let known = check(&token(&mine, None, json!({ "email": null })), &settings(), &keys, "n").unwrap();
    let told = |sub: &str| -> UserInfo {
        serde_json::from_value(json!({ "sub": sub, "email": "a@b.example", "email_verified": true })).unwrap()
    };
    assert_eq!(complete(known.clone(), told("ada")).unwrap().email.as_deref(), Some("a@b.example"));
    assert!(complete(known, told("eve")).is_err());
}

/// RFC 7636, appendix B.
#[test]
fn the_challenge_is_that_of_the_standard() {
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}
