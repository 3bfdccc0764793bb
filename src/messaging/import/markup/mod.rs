//! What was written elsewhere, as Markdown. Invariant: `<@` stands in a body only where somebody was mentioned: as `<@#number>`
//! of a person, `<@channel>` or `<@here>`; whoever wrote these letters themselves calls nobody.

mod cards;
mod mattermost;
mod slack;

pub use cards::{Card, cards};
pub use slack::link;

use super::{emoji, model::People};

/// Characters of what is read of a text at most: beyond that it is cut anyway, whatever it becomes.
const LONGEST: usize = 200_000;

/// A text as Slack writes it (mrkdwn).
pub fn of_slack(text: &str, people: &People) -> String {
    slack::markdown(cut(text), people)
}

/// As `of_slack`, where nobody is called, such as a topic: who is mentioned stands there by name.
pub fn calm_of_slack(text: &str, people: &People) -> String {
    let text = of_slack(text, people);
    let mut parts = text.split("<@");
    let mut calm = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (called, rest) = part.split_once('>').unwrap_or((part, ""));
        let number = called.strip_prefix('#').and_then(|number| number.parse().ok());
        let person = number.and_then(|number| people.get(number));
        calm.extend(["@", person.map_or(called, |person| &*person.name), rest]);
    }
    calm
}

/// A text as Mattermost writes it: Markdown, but for mentions and emojis.
pub fn of_mattermost(text: &str, people: &People) -> String {
    mattermost::markdown(cut(text), people)
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// What the mention of somebody is until they are members.
fn mention(number: u32) -> String {
    format!("<@#{number}>")
}

/// The name of an emoji at the beginning of a text, `:tada:` or `:+1::skin-tone-2:`, and how many bytes it takes.
fn shortcode(text: &str) -> Option<(&'static str, usize)> {
    let inside = text.strip_prefix(':')?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+');
    let end = inside.bytes().take(61).position(|byte| !good(byte)).filter(|end| *end > 0)?;
    let name = inside.get(..end)?;
    let rest = inside.get(end..)?.strip_prefix(':')?;
    if let Some(tone) =
        rest.strip_prefix(":skin-tone-").and_then(|tone| tone.get(..2)).filter(|tone| tone.ends_with(':'))
    {
        let found = emoji::of(&format!("{name}::skin-tone-{}", tone.trim_end_matches(':')))?;
        return Some((found, end + 2 + ":skin-tone-".len() + 2));
    }
    Some((emoji::of(name)?, end + 2))
}

/// A text in which nobody is mentioned.
pub fn quiet(code: &str) -> String {
    // A joiner that nobody sees.
    code.replace("<@", "<\u{2060}@")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_is_called_by_letters(text in "(<|>|@|&lt;|&gt;|&amp;|#0|!|\\||channel|here|\\*|~|`|```|:tada:|\n| |a){0,24}") {
            let people = People::default();
            for body in [of_slack(&text, &people), of_mattermost(&text, &people)] {
                for called in body.split("<@").skip(1) {
                    prop_assert!(called.starts_with("channel>") || called.starts_with("here>"), "{text:?}: {body:?}");
                }
            }
            // What Slack writes itself are the only angle brackets.
            let typed = text.replace('<', "&lt;").replace('>', "&gt;");
            prop_assert!(!of_slack(&typed, &people).contains("<@"), "{typed:?}");
        }
    }
}
