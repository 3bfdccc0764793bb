//! Mattermost's texts are Markdown already; only who is mentioned, and emojis, are written otherwise. Invariant: code stays as it
//! is.

use super::{super::model::People, mention, quiet, shortcode};

pub fn markdown(text: &str, people: &People) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut before) = (text, ' ');
    while let Some(letter) = rest.chars().next() {
        let mut taken = letter.len_utf8();
        if letter == '`' {
            let ticks = rest.bytes().take_while(|byte| *byte == b'`').count();
            taken = code(rest, ticks);
            out.push_str(&quiet(rest.get(..taken).unwrap_or_default()));
        } else if letter == '@' && !before.is_alphanumeric() && !matches!(before, '.' | '-' | '_' | '/' | '@') {
            let (called, length) = called(rest, people);
            taken = length;
            out.push_str(&called);
        } else if let Some((emoji, length)) = shortcode(rest) {
            taken = length;
            out.push_str(emoji);
        } else if letter == '<' && rest.starts_with("<@") {
            out.push_str("&lt;");
        } else {
            out.push(letter);
        }
        let (done, left) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        before = done.chars().next_back().unwrap_or(' ');
        rest = left;
    }
    out
}

/// Bytes of code that begins with so many ticks, or of the ticks alone where nothing ends it.
fn code(text: &str, ticks: usize) -> usize {
    // Looked for no further than a text goes that anybody writes, so that many that open nothing take no time.
    let (mut run, mut at) = (0, ticks);
    for byte in text.bytes().skip(ticks).take(20_000) {
        if byte == b'`' {
            run += 1;
        } else {
            if run == ticks {
                return at;
            }
            run = 0;
        }
        at += 1;
    }
    if run == ticks { at } else { ticks }
}

/// What `@name` at the beginning of a text becomes, and how many bytes it takes.
fn called(text: &str, people: &People) -> (String, usize) {
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let end = 1 + text.bytes().skip(1).take(64).take_while(name).count();
    let mut called = text.get(1..end).unwrap_or_default();
    loop {
        let known = match &*called.to_ascii_lowercase() {
            "channel" | "all" => Some("<@channel>".to_owned()),
            "here" => Some("<@here>".to_owned()),
            name => people.number(name).map(mention),
        };
        if let Some(known) = known {
            return (known, 1 + called.len());
        }
        // The end of a sentence is no part of a name.
        match called.strip_suffix(['.', '-', '_']) {
            Some(shorter) => called = shorter,
            None => return ("@".to_owned(), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::model::{Person, Standing},
        *,
    };

    #[test]
    fn mentions_and_emojis_are_ours_and_code_stays() {
        let mut people = People::default();
        let bob = Person {
            external_id: "bob.b".to_owned(),
            name: "Bob".to_owned(),
            email: None,
            title: None,
            standing: Standing::Active,
        };
        people.add(bob);
        for (given, expected) in [
            ("@bob.b, @Bob.B. @eve @all @channel @here", "<@#0>, <@#0>. @eve <@channel> <@channel> <@here>"),
            ("mail a@bob.b.com and x/@bob.b", "mail a@bob.b.com and x/@bob.b"),
            ("**bold** :tada: `@bob.b :tada:`", "**bold** 🎉 `@bob.b :tada:`"),
            ("```\n@here\n<@x>\n``` @here", "```\n@here\n<\u{2060}@x>\n``` <@here>"),
            ("<@channel> `", "&lt;<@channel>> `"),
        ] {
            assert_eq!(markdown(given, &people), expected, "{given}");
        }
        for hostile in ["`".repeat(100_000), "``` ` ".repeat(20_000), "@".repeat(100_000), ":a".repeat(50_000)] {
            markdown(&hostile, &people);
        }
    }
}
