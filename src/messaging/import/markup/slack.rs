//! Slack's mrkdwn as Markdown: `*bold*`, `~gone~`, `<url|text>`, `<@U024BE7LH>`, `<!here>`, `&amp;`. Invariant: one pass over the
//! text, in time that grows with its length alone.

use super::{super::model::People, mention, quiet, shortcode};

pub fn markdown(text: &str, people: &People) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (index, part) in text.split("```").enumerate() {
        if index % 2 == 0 {
            out.push_str(&prose(part, people));
            continue;
        }
        let code = quiet(&code(part, people));
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str("```\n");
        out.push_str(code.trim_matches('\n'));
        out.push_str("\n```\n");
    }
    out.trim().to_owned()
}

fn prose(text: &str, people: &People) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| self::line(line, people)).collect();
    lines.join("\n")
}

/// Something in a line.
enum Piece {
    Letter(char),
    /// What is not looked into any more.
    Whole(String),
}

fn line(line: &str, people: &People) -> String {
    let mut pieces = Vec::with_capacity(line.len());
    let mut rest = bulleted(line, &mut pieces);
    // How much of the line there is from the last end of a token on: many that have none are not each looked for.
    let last_end = line.rfind('>').map_or(usize::MAX, |at| line.len() - at);
    while let Some(letter) = rest.chars().next() {
        if letter == '`'
            && let Some(end) = rest.get(1..).and_then(|inside| inside.find('`')).filter(|end| *end > 0)
        {
            let inside = rest.get(1..=end).unwrap_or_default();
            pieces.push(Piece::Whole(format!("`{}`", quiet(&code(inside, people)))));
            rest = rest.get(end + 2..).unwrap_or_default();
        } else if letter == '<'
            && rest.len() > last_end
            && let Some(end) = rest.find('>')
        {
            pieces.push(Piece::Whole(token(rest.get(1..end).unwrap_or_default(), people)));
            rest = rest.get(end + 1..).unwrap_or_default();
        } else if let Some((entity, length)) = entity(rest) {
            rest = rest.get(length..).unwrap_or_default();
            let calls = entity == '<' && rest.starts_with('@');
            pieces.push(if calls { Piece::Whole("&lt;".to_owned()) } else { Piece::Letter(entity) });
        } else if let Some((emoji, length)) = shortcode(rest) {
            pieces.push(Piece::Whole(emoji.to_owned()));
            rest = rest.get(length..).unwrap_or_default();
        } else {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            // A `<` without an end opens nothing, and must not with what follows.
            let calls = letter == '<' && rest.starts_with('@');
            pieces.push(if calls { Piece::Whole("&lt;".to_owned()) } else { Piece::Letter(letter) });
        }
    }
    emphasised(&pieces)
}

/// The rest of a line behind the bullet that Slack writes as a letter.
fn bulleted<'a>(line: &'a str, pieces: &mut Vec<Piece>) -> &'a str {
    let bare = line.trim_start();
    let indent = line.len() - bare.len();
    let rest = ["•", "◦", "▪︎", "▪"].iter().find_map(|bullet| bare.strip_prefix(bullet));
    match rest {
        Some(rest) => {
            pieces.push(Piece::Whole(format!("{}- ", " ".repeat(indent.min(40)))));
            rest.trim_start()
        }
        None => line,
    }
}

/// `*a*` becomes `**a**`, `~a~` becomes `~~a~~`; `_a_` is the same in both.
fn emphasised(pieces: &[Piece]) -> String {
    let letter = |index: Option<usize>| match index.and_then(|index| pieces.get(index)) {
        Some(Piece::Letter(letter)) => Some(*letter),
        _ => None,
    };
    let is = |index: usize, marker: char| letter(Some(index)) == Some(marker);
    let word = |index: Option<usize>| letter(index).is_some_and(char::is_alphanumeric);
    let blank = |index: Option<usize>| letter(index).is_some_and(char::is_whitespace);
    let mut doubled = vec![false; pieces.len()];
    for marker in ['*', '~'] {
        let closes = |index: usize| {
            let before = index.checked_sub(1);
            is(index, marker)
                && !blank(before)
                && before.is_some_and(|before| !is(before, marker))
                && !word(Some(index + 1))
        };
        let closers: Vec<usize> = (0..pieces.len()).filter(|index| closes(*index)).collect();
        let mut closers = closers.into_iter().peekable();
        let mut index = 0;
        while index < pieces.len() {
            let opens = is(index, marker)
                && !word(index.checked_sub(1))
                && index + 1 < pieces.len()
                && !blank(Some(index + 1))
                && !is(index + 1, marker);
            if opens {
                while closers.next_if(|closer| *closer < index + 2).is_some() {}
                let Some(closer) = closers.next() else { break };
                for at in [index, closer] {
                    if let Some(doubled) = doubled.get_mut(at) {
                        *doubled = true;
                    }
                }
                index = closer;
            }
            index += 1;
        }
    }
    let mut out = String::with_capacity(pieces.len() + 8);
    for (piece, doubled) in pieces.iter().zip(doubled) {
        // Two pieces make no mention together, nor do two letters between which there was nothing to see.
        let completes = match piece {
            Piece::Letter(letter) => *letter == '@',
            Piece::Whole(text) => text.starts_with('@'),
        };
        if completes && out.ends_with('<') {
            out.push('\u{2060}');
        }
        match piece {
            Piece::Letter(letter) => {
                out.push(*letter);
                if doubled {
                    out.push(*letter);
                }
            }
            Piece::Whole(text) => out.push_str(text),
        }
    }
    out
}

/// What stands between `<` and `>`.
fn token(inside: &str, people: &People) -> String {
    let (target, label) = match inside.split_once('|') {
        Some((target, label)) => (target, Some(decoded(label)).filter(|label| !label.trim().is_empty())),
        None => (inside, None),
    };
    if let Some(id) = target.strip_prefix('@') {
        return match people.number(id) {
            Some(number) => mention(number),
            None => format!("@{}", quiet(label.unwrap_or_else(|| plain(id)).trim_start_matches('@'))),
        };
    }
    if let Some(id) = target.strip_prefix('#') {
        return format!("#{}", quiet(&label.unwrap_or_else(|| plain(id))));
    }
    if let Some(special) = target.strip_prefix('!') {
        return match special {
            "channel" | "everyone" | "group" => "<@channel>".to_owned(),
            "here" => "<@here>".to_owned(),
            _ => quiet(&label.unwrap_or_else(|| plain(special))),
        };
    }
    let url = decoded(target);
    let good = ["http://", "https://", "mailto:", "tel:", "ftp://"].iter().any(|scheme| url.starts_with(scheme))
        && !url.contains(|letter: char| letter.is_whitespace() || letter.is_control() || matches!(letter, '<' | '>'));
    if !good {
        return quiet(&label.unwrap_or(url));
    }
    match label {
        Some(label) if label != url => link(&label, &url),
        _ => url,
    }
}

/// A link of Markdown.
pub fn link(label: &str, url: &str) -> String {
    let label = quiet(label).replace(['\n', '\r'], " ").replace('[', "\\[").replace(']', "\\]");
    let url = url.replace('(', "%28").replace(')', "%29").replace(' ', "%20");
    format!("[{label}]({url})")
}

/// Without what a name cannot have.
fn plain(id: &str) -> String {
    id.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.')).take(80).collect()
}

/// Code as it is shown: links and names as they read.
fn code(text: &str, people: &People) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(rest.get(..start).unwrap_or_default());
        rest = rest.get(start..).unwrap_or_default();
        let Some(end) = rest.find('>') else { break };
        let inside = rest.get(1..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        let (target, label) = inside.split_once('|').unwrap_or((inside, inside));
        let person = target.strip_prefix('@').and_then(|id| people.get(people.number(id)?));
        match person {
            Some(person) => out.extend(["@", &*person.name]),
            None => out.push_str(label),
        }
    }
    out.push_str(rest);
    decoded(&out)
}

fn decoded(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn entity(text: &str) -> Option<(char, usize)> {
    [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&')]
        .iter()
        .find_map(|(name, letter)| text.starts_with(name).then_some((*letter, name.len())))
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::model::{Person, Standing},
        *,
    };
    use std::time::{Duration, Instant};

    fn people() -> People {
        let mut people = People::default();
        let ada = Person {
            external_id: "U1".to_owned(),
            name: "Ada".to_owned(),
            email: None,
            title: None,
            standing: Standing::Active,
        };
        people.add(ada);
        people
    }

    #[test]
    fn what_slack_writes_is_markdown() {
        for (given, expected) in [
            ("*bold* and _soft_ and ~gone~", "**bold** and _soft_ and ~~gone~~"),
            ("2*3*4 = 24, a ~ b, * not *", "2*3*4 = 24, a ~ b, * not *"),
            ("*<https://a.b/c|here>*!", "**[here](https://a.b/c)**!"),
            ("<https://a.b/?x=1&amp;y=(2)>", "https://a.b/?x=1&y=(2)"),
            ("<https://a.b/(x)|a [b]>", "[a \\[b\\]](https://a.b/%28x%29)"),
            ("<mailto:a@b.c|a@b.c>", "[a@b.c](mailto:a@b.c)"),
            ("<@U1> and <@U1|ada>, <@U9|eve>, <@U9>", "<@#0> and <@#0>, @eve, @U9"),
            ("<!channel> <!here> <!everyone> <!here|here>", "<@channel> <@here> <@channel> <@here>"),
            ("<!subteam^S1|@devs> <!date^1^{date}|May 1>", "@devs May 1"),
            ("<#C1|general> <#C2>", "#general #C2"),
            ("1 &lt; 2 &amp;&amp; 3 &gt; 2 &amp;lt;", "1 < 2 && 3 > 2 &lt;"),
            ("&lt;@channel&gt; <@", "&lt;@channel> &lt;@"),
            ("`a &lt;b *c* <@U1>` *d*", "`a <b *c* @Ada` **d**"),
            ("see ```x &lt; <https://a.b>\ny``` there", "see \n```\nx < https://a.b\ny\n```\n there"),
            ("• one\n  • two", "- one\n  - two"),
            ("&gt; quoted *so*", "> quoted **so**"),
            (":tada: :+1::skin-tone-3: :party_parrot: 10:30:45", "🎉 👍🏼 :party_parrot: 10:30:45"),
            ("<javascript:alert(1)|click>", "click"),
        ] {
            assert_eq!(markdown(given, &people()), expected, "{given}");
        }
    }

    #[test]
    fn whoever_writes_a_mention_as_letters_calls_nobody() {
        for text in [
            "&lt;@channel&gt;",
            "`&lt;@channel&gt;`",
            "```&lt;@here&gt;```",
            "<!foo|&lt;@channel&gt;>",
            "<https://a.b|&lt;@channel&gt;>",
            "<@U9|&lt;@here&gt;>",
            "<#C1|&lt;@here&gt;>",
            "<@#1",
            "&lt;<!x|@channel>&gt;",
            "&lt;<@U9|channel>&gt;",
            "<&lt;<>@",
        ] {
            assert!(!markdown(text, &people()).contains("<@"), "{text}: {}", markdown(text, &people()));
        }
    }

    #[test]
    fn the_worst_text_takes_no_time() {
        let begun = Instant::now();
        for letters in ["*", "*a ", "<", "<a", "`", "&lt;", ":", "~*", "```", "•"] {
            markdown(&letters.repeat(100_000 / letters.len()), &people());
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
