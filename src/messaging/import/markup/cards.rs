//! What programs say: messages without a text of their own, with cards below. Slack and Mattermost write them alike. Invariant:
//! pictures of links that somebody wrote are none of what was said.

use super::{quiet, slack::link};
use serde::Deserialize;

/// A card (`attachments` of a message).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Card {
    pretext: Option<String>,
    author_name: Option<String>,
    title: Option<String>,
    title_link: Option<String>,
    text: Option<String>,
    fallback: Option<String>,
    fields: Option<Vec<Field>>,
    /// Where it was taken from: the preview of a link.
    from_url: Option<String>,
    original_url: Option<String>,
    is_msg_unfurl: Option<bool>,
    is_share: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Field {
    title: Option<serde_json::Value>,
    value: Option<serde_json::Value>,
}

/// What cards say, in Markdown; `convert` knows how their texts are written.
pub fn cards(cards: &[Card], convert: impl Fn(&str) -> String) -> String {
    let told: Vec<String> = cards.iter().take(20).filter_map(|card| card.told(&convert)).collect();
    told.join("\n\n")
}

impl Card {
    fn told(&self, convert: &impl Fn(&str) -> String) -> Option<String> {
        let shared = self.is_share == Some(true) || self.is_msg_unfurl == Some(true);
        if !shared && (self.from_url.is_some() || self.original_url.is_some()) {
            return None;
        }
        let text = |text: &Option<String>| text.as_deref().map(convert).filter(|text| !text.trim().is_empty());
        let mut lines = Vec::new();
        lines.extend(text(&self.pretext));
        lines.extend(text(&self.author_name).filter(|_| shared).map(|name| format!("**{name}:**")));
        let url = self.title_link.as_deref().filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        lines.extend(self.title.as_deref().map(str::trim).filter(|title| !title.is_empty()).map(|title| match url {
            Some(url) => link(title, url),
            None => format!("**{}**", convert(title)),
        }));
        lines.extend(text(&self.text));
        for field in self.fields.iter().flatten().take(50) {
            let said = |value: &Option<serde_json::Value>| match value {
                Some(serde_json::Value::String(text)) => convert(text),
                Some(serde_json::Value::Null) | None => String::new(),
                Some(other) => quiet(&other.to_string()),
            };
            let (title, value) = (said(&field.title), said(&field.value));
            lines.push(if title.is_empty() { value } else { format!("**{title}:** {value}") });
        }
        if lines.is_empty() {
            lines.extend(text(&self.fallback));
        }
        let told = lines.join("\n");
        if told.trim().is_empty() {
            return None;
        }
        // What somebody else said is quoted.
        Some(if shared { told.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n") } else { told })
    }
}
