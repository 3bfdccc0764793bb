//! What the client wants the answer to be (`Accept`; RFC 9110, 12.5.1).
//! Invariant: what was not accepted is not sent; who did not name `application/graphql-response+json` gets the
//! `application/json` that every client understands.

use crate::server::fault::Media;
use axum::http::{HeaderMap, header};

/// Media ranges read of a request; more are ignored.
const MAX_RANGES: usize = 64;

/// How welcome one media type is.
#[derive(Clone, Copy, Default)]
struct Wish {
    /// How closely the range that counts names the type: 3 itself, 2 `type/*`, 1 `*/*`, 0 not at all.
    closeness: u8,
    /// In thousandths.
    weight: u16,
}

impl Wish {
    fn named(self) -> bool {
        self.closeness == 3
    }
}

/// A request's `Accept`, read.
#[derive(Clone, Copy, Default)]
pub struct Accept {
    response_json: Wish,
    json: Wish,
    event_stream: Wish,
    html: Wish,
}

impl Accept {
    /// From all `Accept` headers together; none, or an empty one, accepts everything.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut accept = Accept::default();
        let mut ranges = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|range| !range.is_empty())
            .take(MAX_RANGES)
            .peekable();
        if ranges.peek().is_none() {
            accept.note("*/*");
        }
        ranges.for_each(|range| accept.note(range));
        accept
    }

    fn note(&mut self, range: &str) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(1000, thousandths);
        for (wish, full) in [
            (&mut self.response_json, "application/graphql-response+json"),
            (&mut self.json, "application/json"),
            (&mut self.event_stream, "text/event-stream"),
            (&mut self.html, "text/html"),
        ] {
            let closeness = closeness(name, full);
            if closeness > 0 && (closeness > wish.closeness || (closeness == wish.closeness && weight > wish.weight)) {
                *wish = Wish { closeness, weight };
            }
        }
    }

    /// What to answer in; none: nothing that Stoa can write is accepted. Equal weights go to what says most
    /// about failure among the named, and to plain JSON among what a wildcard covers.
    pub fn media(&self) -> Option<Media> {
        let rank = |wish: Wish| if wish.named() { 3 } else { 1 };
        let mut best: Option<(u16, u8, Media)> = None;
        for (wish, rank, media) in [
            (self.response_json, rank(self.response_json), Media::ResponseJson),
            (self.json, 2, Media::Json),
            // Wildcards do not mean a stream.
            (if self.event_stream.named() { self.event_stream } else { Wish::default() }, 0, Media::EventStream),
        ] {
            if wish.weight > 0 && best.is_none_or(|(weight, other, _)| (wish.weight, rank) > (weight, other)) {
                best = Some((wish.weight, rank, media));
            }
        }
        best.map(|(_, _, media)| media)
    }

    /// Whether a subscription can be answered.
    pub fn streams(&self) -> bool {
        self.event_stream.named() && self.event_stream.weight > 0
    }

    /// Whether a person opens the address in a browser: it wants HTML most, and either says that it navigates or sends
    /// no query.
    pub fn page_load(&self, headers: &HeaderMap, has_query: bool) -> bool {
        let says = |name, value: &str| headers.get(name).is_some_and(|said| said == value);
        let html = self.html.named() && self.html.weight > 0 && self.html.weight >= self.json.weight;
        html && (!has_query || says("sec-fetch-mode", "navigate") || says("sec-fetch-dest", "document"))
    }
}

fn closeness(range: &str, full: &str) -> u8 {
    if range.eq_ignore_ascii_case(full) {
        3
    } else if range == "*/*" {
        1
    } else {
        let kind = |name: &str| name.split_once('/').map(|(kind, _)| kind.to_ascii_lowercase());
        match range.strip_suffix("/*") {
            Some(wanted) if kind(full).is_some_and(|kind| kind.eq_ignore_ascii_case(wanted)) => 2,
            _ => 0,
        }
    }
}

/// A weight of 0 to 1 with at most three decimals (RFC 9110, 12.4.2); anything else counts as 1.
fn thousandths(weight: &str) -> u16 {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return 1000;
    }
    match whole {
        "0" => format!("{decimals:0<3}").parse().unwrap_or(1000),
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn accept(lines: &[&'static str]) -> Accept {
        Accept::of(&lines.iter().map(|line| (header::ACCEPT, HeaderValue::from_static(line))).collect())
    }

    #[test]
    fn the_media_type_is_the_most_welcome_one() {
        use Media::{EventStream, Json, ResponseJson};
        let cases: &[(&[&'static str], Option<Media>)] = &[
            (&[], Some(Json)),
            (&[""], Some(Json)),
            (&["*/*"], Some(Json)),
            (&["application/*"], Some(Json)),
            (&["application/json"], Some(Json)),
            (&["APPLICATION/JSON"], Some(Json)),
            (&["application/json; charset=utf-8"], Some(Json)),
            (&["application/graphql-response+json"], Some(ResponseJson)),
            (&["application/graphql-response+json; charset=utf-8"], Some(ResponseJson)),
            // Apollo Client, and the audits.
            (&["application/graphql-response+json,application/json;q=0.9"], Some(ResponseJson)),
            (&["application/json;q=0.9", "application/graphql-response+json"], Some(ResponseJson)),
            (&["application/json, application/graphql-response+json"], Some(ResponseJson)),
            (&["application/graphql-response+json;q=0.5, application/json;q=0.6"], Some(Json)),
            (&["application/graphql-response+json;q=0.5, */*"], Some(Json)),
            // urql names everything it can read.
            (
                &[
                    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                ],
                Some(ResponseJson),
            ),
            (&["text/event-stream, multipart/mixed"], Some(EventStream)),
            (&["text/event-stream, application/json;q=0.5"], Some(EventStream)),
            (&["text/event-stream, application/json"], Some(Json)),
            (&["text/*"], None),
            (&["application/json;q=0"], None),
            (&["application/json;q=0, */*"], Some(ResponseJson)),
            (&["*/*;q=0"], None),
            (&["text/html"], None),
            (&["image/png, text/html"], None),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Some(Json)),
            (&["application/json;q=nonsense"], Some(Json)),
            (&["nonsense"], None),
            (&["application/jsonp"], None),
        ];
        for (lines, expected) in cases {
            assert_eq!(accept(lines).media(), *expected, "{lines:?}");
        }
    }

    #[test]
    fn a_stream_is_sent_only_to_who_names_it() {
        assert!(accept(&["text/event-stream"]).streams());
        assert!(accept(&["application/json, text/event-stream;q=0.1"]).streams());
        for other in ["*/*", "text/*", "application/json", "text/event-stream;q=0"] {
            assert!(!accept(&[other]).streams(), "{other}");
        }
    }

    #[test]
    fn a_person_with_a_browser_is_told_from_a_program() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        let navigates = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static("sec-fetch-mode"),
            HeaderValue::from_static("navigate"),
        )]);
        let plain = HeaderMap::new();
        for (line, headers, has_query, expected) in [
            (BROWSER, &navigates, false, true),
            (BROWSER, &navigates, true, true),
            (BROWSER, &plain, false, true),
            (BROWSER, &plain, true, false),
            ("text/html", &plain, false, true),
            ("text/html", &plain, true, false),
            ("*/*", &navigates, false, false),
            ("application/json, text/html;q=0.5", &plain, false, false),
            ("application/json", &plain, false, false),
        ] {
            assert_eq!(accept(&[line]).page_load(headers, has_query), expected, "{line} {headers:?} {has_query}");
        }
    }

    #[test]
    fn weights_are_read_to_the_thousandth() {
        for (text, expected) in [
            ("1", 1000),
            ("1.0", 1000),
            ("0", 0),
            ("0.", 0),
            ("0.000", 0),
            ("0.5", 500),
            ("0.05", 50),
            ("0.999", 999),
            ("0.9999", 1000),
            ("-1", 1000),
            ("", 1000),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
