//! Time-based one-time passwords (RFC 6238, which builds on RFC 4226): the six digits that an authenticator shows for thirty
//! seconds. Only SHA-1, six digits and thirty seconds are understood by all authenticators.

use crate::{
    error::{Error, Result},
    platform::random::random,
};
use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::{EcLevel, QrCode, render::svg};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// Digits of a code.
pub const DIGITS: usize = 6;
const MODULUS: u32 = 1_000_000;
/// How long a code is shown, in seconds.
const PERIOD: i64 = 30;
/// So many steps may the clock of a phone be ahead or behind (RFC 6238, section 5.2).
const DRIFT: i64 = 1;
/// Bytes of a secret, as long as the hash (RFC 4226, section 4).
const SECRET: usize = 20;

/// A new secret.
pub fn secret() -> Result<[u8; SECRET]> {
    random()
}

/// The step whose code this is: that of now, or one within the drift. The latest, should there be two.
pub fn step_of(secret: &[u8], code: &str, now: DateTime<Utc>) -> Option<i64> {
    let today = now.timestamp().div_euclid(PERIOD);
    let mut found = None;
    for step in today - DRIFT..=today + DRIFT {
        let right = format!("{:06}", number(secret, step) % MODULUS);
        if bool::from(right.as_bytes().ct_eq(code.as_bytes())) {
            found = Some(step);
        }
    }
    found
}

/// What people type who cannot scan: base32 (RFC 4648) without padding.
pub fn base32(secret: &[u8]) -> String {
    BASE32_NOPAD.encode(secret)
}

/// What an authenticator reads: <https://github.com/google/google-authenticator/wiki/Key-Uri-Format>. `issuer` tells the
/// accounts of one person apart, the address those on one server.
pub fn uri(issuer: &str, email: &str, secret: &[u8]) -> String {
    let [issuer, email] = [issuer, email].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
    let secret = base32(secret);
    format!(
        "otpauth://totp/{issuer}:{email}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={PERIOD}"
    )
}

/// A picture of the text to be scanned: an `svg` element, black on white with its margin, that can stand in a page.
pub fn qr(text: &str) -> Result<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(Error::ours)?;
    let svg = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    // In a page there is no place for the declaration of a document.
    Ok(svg.split_once("?>").map(|(_, element)| element.to_owned()).unwrap_or(svg))
}

/// The 31 bits of which a code is the last digits (RFC 4226, section 5.3).
fn number(secret: &[u8], step: i64) -> u32 {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("a key of any length");
    mac.update(&step.to_be_bytes());
    let digest: [u8; 20] = mac.finalize().into_bytes().into();
    let offset = usize::from(digest[19] & 0x0f);
    // At most 15: four bytes follow.
    let four = digest.get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    u32::from_be_bytes(four) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: &[u8] = b"12345678901234567890";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_6238() {
        // Appendix B, SHA-1; eight digits.
        for (time, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(format!("{:08}", number(RFC, time / PERIOD) % 100_000_000), code);
            assert_eq!(step_of(RFC, code.split_at(2).1, at(time)), Some(time / PERIOD));
        }
    }

    #[test]
    fn the_vectors_of_rfc_4226() {
        // Appendix D.
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (count, code) in codes.into_iter().enumerate() {
            assert_eq!(format!("{:06}", number(RFC, count as i64) % MODULUS), code);
        }
    }

    #[test]
    fn a_clock_may_be_one_step_off_and_no_more() {
        let code = "050471";
        let step = 1_111_111_111 / PERIOD;
        for off in -3..=3_i64 {
            let expected = (off.abs() <= DRIFT).then_some(step);
            assert_eq!(step_of(RFC, code, at(1_111_111_111 + off * PERIOD)), expected, "{off}");
        }
        for wrong in ["", "05047", "0504711", "050472", "O50471", "٠٥٠٤٧١"] {
            assert_eq!(step_of(RFC, wrong, at(1_111_111_111)), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_scanned_says_all_and_breaks_nothing() {
        let uri = uri("Stoa: Acme & Söhne", "ada+1@example.com", RFC);
        assert_eq!(
            uri,
            "otpauth://totp/Stoa%3A%20Acme%20%26%20S%C3%B6hne:ada%2B1%40example%2Ecom?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Stoa%3A%20Acme%20%26%20S%C3%B6hne&algorithm=SHA1&digits=6&period=30"
        );
        let svg = qr(&uri).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg:.80}");
        qr(&super::uri(&"x".repeat(100), &"ü@".repeat(127), RFC)).expect("the longest address fits");
    }
}
