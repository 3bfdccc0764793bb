//! Parts of a file (RFC 9110, 14). Invariant: a part lies within the file, and one that was asked for of another content is
//! not sent.

use axum::http::{HeaderMap, header};
use std::ops::Range;

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    Part(Range<u64>),
    /// Nothing of it is there: 416.
    None,
}

/// What is asked for of a file of that size and `ETag`. Several ranges at once, other units and what cannot be read are
/// ignored, as the standard allows.
pub fn wanted(headers: &HeaderMap, size: u64, tag: &str) -> Wanted {
    let Some(range) = headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else { return Wanted::Whole };
    // Only of the content that the client has the rest of; a date says too little.
    if headers.get(header::IF_RANGE).is_some_and(|known| known.as_bytes() != tag.as_bytes()) {
        return Wanted::Whole;
    }
    let read = || -> Option<(Option<u64>, Option<u64>)> {
        let (first, last) = range.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
        let number = |text: &str| match text.trim() {
            "" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Some(digits.parse().unwrap_or(u64::MAX)))
            }
            _ => None,
        };
        Some((number(first)?, number(last)?))
    };
    match read() {
        Some((Some(first), last)) if last.is_none_or(|last| first <= last) => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            if first < end { Wanted::Part(first..end) } else { Wanted::None }
        }
        Some((None, Some(0))) => Wanted::None,
        Some((None, Some(last))) => Wanted::Part(size.saturating_sub(last)..size),
        _ => Wanted::Whole,
    }
}

/// Whether the client has this content already (RFC 9110, 13.1.2: weakly compared).
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|known| known.to_str().ok());
    known
        .flat_map(|known| known.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_part_lies_within_the_file() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=9-99999999999999999999", Wanted::Part(9..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::None),
            ("bytes=99999999999999999999-", Wanted::None),
            ("bytes=-0", Wanted::None),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("nonsense", Wanted::Whole),
        ] {
            let mut headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
            assert_eq!(wanted(&headers, 10, "\"a\""), expected, "{range}");
            headers.insert(header::IF_RANGE, HeaderValue::from_static("\"b\""));
            assert_eq!(wanted(&headers, 10, "\"a\""), Wanted::Whole, "{range} of another content");
        }
        assert_eq!(wanted(&HeaderMap::new(), 10, "\"a\""), Wanted::Whole);
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for (known, expected) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("\"b\"", false), ("a", false)]
        {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(known))]);
            assert_eq!(is_known(&headers, "\"a\""), expected, "{known}");
        }
    }
}
