//! Signature Version 4: how requests to AWS say whose they are. Invariant: the secret key only ever goes into a hash.
//!
//! Only what Amazon SES needs: no query, and paths of plain letters.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Whose requests, and for what.
pub struct Key<'a> {
    pub access_key: &'a str,
    pub secret_key: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// A request to be signed.
pub struct Signable<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// In lower case, in alphabetical order; `host` and `x-amz-date` among them.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// `x-amz-date`.
pub fn stamp(now: DateTime<Utc>) -> String {
    now.format("%Y%m%dT%H%M%SZ").to_string()
}

/// The header `Authorization` of a request that is sent at that time.
pub fn authorization(key: &Key<'_>, request: &Signable<'_>, now: DateTime<Utc>) -> String {
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let headers: String = request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical =
        format!("{}\n{}\n\n{headers}\n{names}\n{}", request.method, request.path, hex(&Sha256::digest(request.body)));
    let day = now.format("%Y%m%d").to_string();
    let scope = format!("{day}/{}/{}/aws4_request", key.region, key.service);
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", stamp(now), hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4{}", key.secret_key).into_bytes();
    let signing = [&*day, key.region, key.service, "aws4_request"].iter().fold(secret, |key, part| hmac(&key, part));
    let signature = hex(&hmac(&signing, &text));
    format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", key.access_key)
}

/// Bytes as JSON takes them.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the test suite that AWS publishes: `get-vanilla`, `post-vanilla`, `post-x-www-form-urlencoded`.
    #[test]
    fn signatures_are_those_of_the_published_vectors() {
        let key = Key {
            access_key: "AKIDEXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "service",
        };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        assert_eq!(stamp(now), "20150830T123600Z");
        let plain: &[(&str, &str)] = &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let form = &[("content-type", "application/x-www-form-urlencoded"), plain[0], plain[1]];
        for (method, headers, body, signature) in [
            ("GET", plain, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", plain, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            ("POST", form, "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        ] {
            let signed = authorization(&key, &Signable { method, path: "/", headers, body: body.as_bytes() }, now);
            assert!(signed.ends_with(&format!("Signature={signature}")), "{method}: {signed}");
            assert!(signed.contains("Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"));
        }
    }
}
