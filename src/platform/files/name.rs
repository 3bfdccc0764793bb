//! The names of files on their way to browsers (RFC 6266). Invariant: no name ends a header or leads into another folder.

use super::Shown;
use axum::http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 8187 lets stand as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `Content-Disposition`: the name as it is for browsers of today, and in plain letters for those of before.
pub fn disposition(shown: Shown, name: &str) -> HeaderValue {
    let shown = match shown {
        Shown::Inline => "inline",
        Shown::Attachment => "attachment",
    };
    let plain = |letter: char| match letter {
        '"' | '\\' | '%' | '/' => '_',
        ' '..='~' => letter,
        _ => '_',
    };
    let simple: String = name.chars().map(plain).collect();
    let exact = utf8_percent_encode(name, PLAIN);
    let value = format!("{shown}; filename=\"{simple}\"; filename*=UTF-8''{exact}");
    // It is made of visible ASCII.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_its_place() {
        let told = |name| disposition(Shown::Attachment, name).to_str().unwrap().to_owned();
        assert_eq!(told("a b.pdf"), "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf");
        assert_eq!(
            told("grüße €.txt"),
            "attachment; filename=\"gr__e _.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe%20%E2%82%AC.txt"
        );
        let hostile = told("\"; filename=\"x.exe\r\nSet-Cookie: a=b\\../%2e");
        assert_eq!(
            hostile,
            "attachment; filename=\"_; filename=_x.exe__Set-Cookie: a=b_..__2e\"; filename*=UTF-8''%22%3B%20filename%3D%22x.exe%0D%0ASet-Cookie%3A%20a%3Db%5C..%2F%252e"
        );
        assert!(disposition(Shown::Inline, "x").to_str().unwrap().starts_with("inline; "));
    }
}
