//! Counts a document's tokens and how deep its brackets nest, before anything parses it. Invariant: one pass over the
//! bytes, no recursion, no allocation; whatever a parser would recurse into has been counted here first.

/// What a document would cost a parser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub tokens: usize,
    /// Brackets of any kind within brackets.
    pub nesting: usize,
}

/// Measures a document. Brackets inside strings, block strings and comments do not count. Text that is no GraphQL is
/// measured all the same: the parser says what is wrong with it.
pub fn measure(document: &str) -> Size {
    let mut rest = document.as_bytes();
    let mut size = Size::default();
    let mut open = 0usize;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match first {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xEF | 0xBB | 0xBF => {
                rest = tail;
                continue;
            }
            b'#' => {
                rest = skip(tail, |byte| byte != b'\n' && byte != b'\r');
                continue;
            }
            b'{' | b'[' | b'(' => {
                open = open.saturating_add(1);
                size.nesting = size.nesting.max(open);
                tail
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                tail
            }
            b'"' => match tail.strip_prefix(b"\"\"") {
                Some(inside) => after_block_string(inside),
                None => after_string(tail),
            },
            b'.' => skip(tail, |byte| byte == b'.'),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => skip(tail, |byte| byte == b'_' || byte.is_ascii_alphanumeric()),
            b'0'..=b'9' => skip(tail, |byte| byte == b'.' || byte.is_ascii_alphanumeric()),
            _ => tail,
        };
        size.tokens = size.tokens.saturating_add(1);
    }
    size
}

/// What follows the bytes that satisfy `belongs`.
fn skip(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> &[u8] {
    let length = bytes.iter().position(|&byte| !belongs(byte)).unwrap_or(bytes.len());
    bytes.get(length..).unwrap_or_default()
}

/// What follows a string whose opening quote has been read. A line's end ends it too: it is unterminated then.
fn after_string(mut bytes: &[u8]) -> &[u8] {
    while let Some((&byte, tail)) = bytes.split_first() {
        match byte {
            b'"' => return tail,
            b'\n' | b'\r' => return bytes,
            // What is escaped cannot end the string, a line's end excepted.
            b'\\' if !matches!(tail.first(), Some(b'\n' | b'\r')) => bytes = tail.get(1..).unwrap_or_default(),
            _ => bytes = tail,
        }
    }
    bytes
}

/// What follows a block string whose opening quotes have been read; `\"""` is its only escape.
fn after_block_string(mut bytes: &[u8]) -> &[u8] {
    while !bytes.is_empty() {
        if let Some(tail) = bytes.strip_prefix(b"\\\"\"\"") {
            bytes = tail;
        } else if let Some(tail) = bytes.strip_prefix(b"\"\"\"") {
            return tail;
        } else {
            bytes = bytes.get(1..).unwrap_or_default();
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(document: &str) -> (usize, usize) {
        let Size { tokens, nesting } = measure(document);
        (tokens, nesting)
    }

    #[test]
    fn counts_tokens_and_brackets() {
        assert_eq!(size(""), (0, 0));
        assert_eq!(size("{ a, b }"), (4, 1));
        assert_eq!(size("query Q($x: [Int!]! = [1]) { a(x: $x) { ...F @include(if: true) } }"), (36, 3));
    }

    #[test]
    fn ignores_what_stands_in_strings_and_comments() {
        assert_eq!(size("# {{{ \n{ a }"), (3, 1));
        assert_eq!(size("# {{{ \r{ a }"), (3, 1));
        assert_eq!(size(r#"{ a(b: "[[[ \" [[[ \\") }"#), (8, 2));
        assert_eq!(size(r#"{ a(b: "") }"#), (8, 2));
        assert_eq!(size("{ a(b: \"\"\" [[[ \\\"\"\" \" \n [[[ \"\"\") }"), (8, 2));
        // An unterminated string ends with its line: what follows counts.
        assert_eq!(size("\"abc\\\n{{"), (3, 2));
        assert_eq!(size("\"\"\" {{{"), (1, 0));
    }

    #[test]
    fn counts_what_never_closes() {
        assert_eq!(measure(&"[".repeat(400)).nesting, 400);
        assert_eq!(measure(&"]".repeat(400)).nesting, 0);
        assert_eq!(measure(&"{}".repeat(400)).nesting, 1);
    }

    /// Tokens, with how they change the nesting.
    const TOKENS: [(&str, i32); 14] = [
        ("{", 1),
        ("[", 1),
        ("(", 1),
        ("}", -1),
        ("]", -1),
        (")", -1),
        ("...", 0),
        ("name", 0),
        ("$", 0),
        ("-1.5e+3", 0),
        ("\"a [ \\\" # b\"", 0),
        ("\"\"", 0),
        ("\"\"\"x \" [ \\\"\"\" \n# [\"\"\"", 0),
        ("\u{e9}", 0),
    ];
    const SEPARATORS: [&str; 5] = [" ", ",", "\n", "#[[{\"\n", "\u{feff}\t"];

    proptest! {
        /// However tokens are put together, none escapes the count and no bracket is missed.
        #[test]
        fn counts_every_token(parts in prop::collection::vec((0..TOKENS.len(), 0..SEPARATORS.len()), 0..80)) {
            let mut text = String::new();
            let (mut open, mut deepest) = (0i32, 0i32);
            for (token, separator) in &parts {
                let (token, change) = TOKENS[*token];
                text.push_str(token);
                text.push_str(SEPARATORS[*separator]);
                open = (open + change).max(0);
                deepest = deepest.max(open);
            }
            let size = measure(&text);
            prop_assert!(size.tokens >= parts.len());
            prop_assert_eq!(size.nesting, deepest as usize);
        }

        #[test]
        fn survives_anything(text in "\\PC{0,200}") {
            let _ = measure(&text);
        }
    }
}
