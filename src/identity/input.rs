//! What identity takes from outside, checked. Invariant: what comes out of here can be stored and shown as it is.

use crate::kit::user_error::{UserErrorCode as Code, UserErrors};
use chrono_tz::Tz;
use email_address::{EmailAddress, Options};
use iso_currency::Currency;
use std::str::FromStr;
use unicode_normalization::UnicodeNormalization;

/// Characters of a name at most.
const NAME: usize = 120;
/// Bytes of an e-mail address at most (RFC 5321, section 4.5.3.1.3, less its angle brackets).
const EMAIL: usize = 254;
/// Characters of a slug: the part of a host name at most, so that it can become one.
const SLUG: std::ops::RangeInclusive<usize> = 2..=63;

/// The slug of a name that has nothing a slug could be made of.
pub const NAMELESS: &str = "organization";

/// An e-mail address in the one form in which addresses are compared; `None` when it is none.
pub fn email_address(given: &str) -> Option<String> {
    // Normalising may lengthen, but what is four times too long before is never short enough after.
    let given = given.trim();
    if given.len() > 4 * EMAIL {
        return None;
    }
    let address: String = given.nfc().collect::<String>().to_lowercase().nfc().collect();
    let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
    let good = address.len() <= EMAIL
        && !address.contains(|c: char| c.is_control() || c.is_whitespace() || c == '"')
        && EmailAddress::parse_with_options(&address, options).is_ok();
    good.then_some(address)
}

/// As `email_address`, with a word about what is wrong.
pub fn email(errors: &mut UserErrors, field: &str, given: &str) -> String {
    let (code, message) = match given.trim() {
        "" => (Code::Required, "Give an e-mail address."),
        trimmed => match email_address(trimmed) {
            Some(address) => return address,
            None if trimmed.len() > EMAIL => (Code::TooLong, "An e-mail address has at most 254 characters."),
            None => (Code::InvalidFormat, "This is not an e-mail address."),
        },
    };
    errors.add(field, code, message);
    String::new()
}

/// A name: trimmed, normalised, 1 to 120 characters, none of them a control character.
pub fn name(errors: &mut UserErrors, field: &str, given: &str) -> String {
    let given = given.trim();
    if given.is_empty() {
        errors.add(field, Code::Required, "Give a name.");
    } else if given.chars().nth(NAME).is_some() {
        errors.add(field, Code::TooLong, "A name has at most 120 characters.");
    } else if given.contains(char::is_control) {
        errors.add(field, Code::Invalid, "A name has no line breaks and no other control characters.");
    } else {
        return given.nfc().collect();
    }
    String::new()
}

/// A slug as it was given.
pub fn slug(errors: &mut UserErrors, field: &str, given: &str) -> String {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if given.is_empty() {
        errors.add(field, Code::Required, "Give a short name, or leave it out to have one made.");
    } else if given.len() > *SLUG.end() {
        errors.add(field, Code::TooLong, "A short name has at most 63 characters.");
    } else if !given.chars().all(good) || given.starts_with('-') || given.ends_with('-') {
        let message = "A short name has only the letters a to z, digits, and hyphens between them.";
        errors.add(field, Code::InvalidFormat, message);
    } else if given.len() < *SLUG.start() {
        errors.add(field, Code::TooShort, "A short name has at least 2 characters.");
    }
    given.to_owned()
}

/// A slug made of a name: `Müller & Söhne` → `muller-sohne`. Leaves room for the suffix of a second try.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.nfkd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)) {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
        if slug.len() >= 50 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.len() < *SLUG.start() { NAMELESS.to_owned() } else { slug.to_owned() }
}

/// A time zone of the IANA database; UTC when none is given.
pub fn time_zone(errors: &mut UserErrors, field: &str, given: Option<&str>) -> Tz {
    given.map_or(Ok(Tz::UTC), Tz::from_str).unwrap_or_else(|_| {
        errors.add(field, Code::Invalid, "This is not a time zone. Give one such as Europe/Berlin.");
        Tz::UTC
    })
}

/// A currency of ISO 4217; US dollars when none is given.
pub fn currency(errors: &mut UserErrors, field: &str, given: Option<&str>) -> &'static str {
    given.map_or(Some(Currency::USD), Currency::from_code).map_or_else(
        || {
            errors.add(field, Code::Invalid, "This is not a currency. Give a code of ISO 4217 such as EUR.");
            Currency::USD.code()
        },
        |currency| currency.code(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes<T>(check: impl FnOnce(&mut UserErrors) -> T) -> Vec<Code> {
        let mut errors = UserErrors::new();
        check(&mut errors);
        errors.iter().map(|error| error.code).collect()
    }

    #[test]
    fn addresses_are_compared_in_one_form() {
        assert_eq!(email_address("  Ada@Example.COM "), Some("ada@example.com".into()));
        assert_eq!(email_address("mu\u{308}ller@example.com"), Some("müller@example.com".into()));
        assert_eq!(email_address("a+b.c@sub.example.com"), Some("a+b.c@sub.example.com".into()));
        let long = format!("{}@example.com", "a".repeat(250));
        let bad = [
            "",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "ada@[127.0.0.1]",
            "Ada <ada@example.com>",
            "ada@example.com\0",
            "a\nb@example.com",
            "a b@example.com",
            "\"a b\"@example.com",
            "ada@exa mple.com",
            "ada@example.com,eve@example.com",
            "ada@@example.com",
            long.as_str(),
        ];
        for bad in bad {
            assert_eq!(email_address(bad), None, "{bad:?}");
        }
        assert_eq!(email_address(&"ß@".repeat(1 << 20)), None);
        assert_eq!(codes(|e| email(e, "email", " ")), [Code::Required]);
        assert_eq!(codes(|e| email(e, "email", &long)), [Code::TooLong]);
        assert_eq!(codes(|e| email(e, "email", "ada")), [Code::InvalidFormat]);
    }

    #[test]
    fn names_have_limits() {
        assert_eq!(name(&mut UserErrors::new(), "fullName", "  Zoe\u{308} "), "Zoë");
        assert!(codes(|e| name(e, "fullName", &"ü".repeat(120))).is_empty());
        assert_eq!(codes(|e| name(e, "fullName", &"ü".repeat(121))), [Code::TooLong]);
        assert_eq!(codes(|e| name(e, "fullName", "\u{3000}")), [Code::Required]);
        assert_eq!(codes(|e| name(e, "fullName", "a\0b")), [Code::Invalid]);
        assert_eq!(codes(|e| name(e, "fullName", "a\u{85}b")), [Code::Invalid]);
    }

    #[test]
    fn slugs_are_checked_and_made() {
        for good in ["ab", "acme", "a-1", &"a".repeat(63)] {
            assert!(codes(|e| slug(e, "organizationSlug", good)).is_empty(), "{good}");
        }
        for (bad, code) in [
            ("", Code::Required),
            ("a", Code::TooShort),
            ("Acme", Code::InvalidFormat),
            ("-acme", Code::InvalidFormat),
            ("acme-", Code::InvalidFormat),
            ("äcme", Code::InvalidFormat),
            (&*"a".repeat(64), Code::TooLong),
        ] {
            assert_eq!(codes(|e| slug(e, "organizationSlug", bad)), [code], "{bad}");
        }
        for (name, made) in [
            ("Müller & Söhne", "muller-sohne"),
            ("  ACME, Inc. ", "acme-inc"),
            ("株式会社", "organization"),
            ("X", "organization"),
            ("--", "organization"),
            (&*"Long ".repeat(30), "long-long-long-long-long-long-long-long-long-long"),
        ] {
            assert_eq!(slug_of(name), made);
            assert!(codes(|e| slug(e, "organizationSlug", &slug_of(name))).is_empty());
        }
    }

    #[test]
    fn time_zones_and_currencies_are_those_of_the_world() {
        assert_eq!(time_zone(&mut UserErrors::new(), "timeZone", Some("Asia/Kolkata")), Tz::Asia__Kolkata);
        assert_eq!(time_zone(&mut UserErrors::new(), "timeZone", None), Tz::UTC);
        assert_eq!(currency(&mut UserErrors::new(), "currency", Some("EUR")), "EUR");
        assert_eq!(currency(&mut UserErrors::new(), "currency", None), "USD");
        for bad in ["", "Mars/Base", "UTC\0", "../etc/passwd"] {
            assert_eq!(codes(|e| time_zone(e, "timeZone", Some(bad))), [Code::Invalid]);
        }
        for bad in ["", "eur", "EURO", "XXY", "€"] {
            assert_eq!(codes(|e| currency(e, "currency", Some(bad))), [Code::Invalid]);
        }
    }
}
