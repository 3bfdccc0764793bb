//! One message of a day. Invariant: whoever is named here is in the list of people, be it that the message alone tells of them:
//! programs, and people of other companies, are in no list of Slack's.

use super::{Profile, SLACKBOT, named};
use crate::{
    error::Result,
    messaging::import::{
        emoji,
        markup::{self, Card, cards, link, quiet},
        model::{People, Person, Pin, Places, Post, Reaction, Root, Standing, Time, possible},
        report::{Report, Why},
        spool::Spool,
    },
};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// What gathers the messages of an export.
pub struct Reader<'a> {
    pub people: People,
    pub places: Places,
    /// Which messages are pinned: by their place and time.
    pub pins: HashMap<(u32, String), Pin>,
    pub spool: &'a mut Spool,
    pub report: &'a mut Report,
}

#[derive(Deserialize)]
struct Message {
    subtype: Option<String>,
    user: Option<String>,
    bot_id: Option<String>,
    username: Option<String>,
    text: Option<String>,
    ts: Option<String>,
    thread_ts: Option<String>,
    edited: Option<Edited>,
    reactions: Option<Vec<Reacted>>,
    files: Option<Vec<File>>,
    /// What `files` was until 2018.
    file: Option<File>,
    comment: Option<Comment>,
    attachments: Option<Vec<Value>>,
    blocks: Option<Vec<Value>>,
    bot_profile: Option<Profile>,
    user_profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Edited {
    ts: Option<String>,
}

#[derive(Deserialize)]
struct Reacted {
    name: Option<String>,
    users: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Comment {
    user: Option<String>,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct File {
    name: Option<String>,
    title: Option<String>,
    mode: Option<String>,
    permalink: Option<String>,
    url_private: Option<String>,
}

/// What only tells that something was done.
const SYSTEM: [&str; 22] = [
    "bot_add",
    "bot_remove",
    "bot_enable",
    "bot_disable",
    "pinned_item",
    "unpinned_item",
    "reminder_add",
    "reminder_delete",
    "sh_room_created",
    "sh_room_shared",
    "huddle_thread",
    "app_conversation_join",
    "app_conversation_leave",
    "message_deleted",
    "message_changed",
    "message_replied",
    "ekm_access_denied",
    "document_mention",
    "joiner_notification",
    "joiner_notification_for_inviter",
    "tabbed_canvas_updated",
    "shared_channel_notice",
];

fn is_system(subtype: &str) -> bool {
    SYSTEM.contains(&subtype) || subtype.starts_with("channel_") || subtype.starts_with("group_")
}

/// A time as Slack writes it, `1355517523.000005`, which names the message as well.
fn time(ts: &str) -> Option<Time> {
    let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let micros: u32 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    possible(DateTime::from_timestamp(seconds.parse().ok()?, micros * 1000))
}

impl Reader<'_> {
    /// A message, as it stands at that place of the export.
    pub fn take(&mut self, place: u32, raw: &str, stands: &str) -> Result<()> {
        let Ok(message) = serde_json::from_str::<Message>(raw) else {
            self.report.leave_at(Why::Shapeless, stands);
            return Ok(());
        };
        let subtype = message.subtype.as_deref().unwrap_or_default();
        if is_system(subtype) {
            self.report.leave(Why::System);
            return Ok(());
        }
        let Some((key, at)) = message.ts.as_deref().and_then(|ts| Some((ts.to_owned(), time(ts)?))) else {
            self.report.leave_at(Why::NoTime, stands);
            return Ok(());
        };
        let deleted = subtype == "tombstone";
        let Some(sender) = self.sender(&message) else {
            self.report.leave_at(Why::NoSender, stands);
            return Ok(());
        };
        let body = if deleted { String::new() } else { self.body(&message, subtype) };
        if body.is_empty() && !deleted {
            self.report.leave(Why::Empty);
            return Ok(());
        }
        let root = message.thread_ts.filter(|thread| *thread != key);
        let root = root.and_then(|thread| Some(Root { at: time(&thread)?, key: thread }));
        let reactions = if deleted { Vec::new() } else { self.reactions(message.reactions, at, stands) };
        let pinned = self.pins.remove(&(place, key.clone()));
        self.places.heard(place, sender);
        reactions.iter().for_each(|reaction| self.places.heard(place, reaction.by));
        self.spool.add(&Post {
            place,
            key,
            root,
            sender,
            at,
            edited_at: message.edited.and_then(|edited| time(&edited.ts?)).map(|edited| edited.max(at)),
            deleted,
            pinned,
            body,
            reactions,
            files: Vec::new(),
        })
    }

    /// Who wrote it: somebody of the list, a program, or somebody whom the message itself describes.
    fn sender(&mut self, message: &Message) -> Option<u32> {
        let commenter = message.comment.as_ref().and_then(|comment| comment.user.as_ref());
        let ids = [message.user.as_ref(), commenter, message.bot_id.as_ref()];
        if let Some(known) = ids.into_iter().flatten().find_map(|id| self.people.number(id)) {
            return Some(known);
        }
        let new = |external_id: String, name: Option<String>, standing| Person {
            name: name.unwrap_or_else(|| external_id.clone()),
            external_id,
            email: None,
            title: None,
            standing,
        };
        let of_profile = |profile: &Option<Profile>| {
            profile.as_ref().and_then(|profile| named(&[&profile.real_name, &profile.display_name, &profile.name]))
        };
        let person = if let Some(id) = message.user.clone().filter(|id| good(id)) {
            if id == SLACKBOT {
                new(id, Some("Slackbot".to_owned()), Standing::Bot)
            } else {
                // Of another company: only what they wrote tells of them.
                new(id, Some(of_profile(&message.user_profile)?), Standing::Deactivated)
            }
        } else {
            let name = of_profile(&message.bot_profile).or_else(|| named(&[&message.username]));
            let id =
                message.bot_id.clone().filter(|id| good(id)).or_else(|| Some(format!("bot:{}", name.as_ref()?)))?;
            new(id, name, Standing::Bot)
        };
        Some(self.people.add(person))
    }

    fn body(&mut self, message: &Message, subtype: &str) -> String {
        let people = &self.people;
        let convert = |text: &str| markup::of_slack(text, people);
        let mut parts: Vec<String> = Vec::new();
        let comment = message.comment.as_ref().and_then(|comment| comment.comment.as_deref());
        let text = comment.or(message.text.as_deref()).map(convert).unwrap_or_default();
        parts.push(if subtype == "me_message" && !text.is_empty() { format!("_{text}_") } else { text });
        let told: Vec<Card> =
            message.attachments.iter().flatten().filter_map(|card| Card::deserialize(card).ok()).collect();
        parts.push(cards(&told, convert));
        // Programs that show only blocks; people's own have a text beside.
        if parts.iter().all(String::is_empty) {
            parts.push(
                message
                    .blocks
                    .iter()
                    .flatten()
                    .filter_map(block)
                    .map(|text| convert(&text))
                    .collect::<Vec<_>>()
                    .join("\n\n"),
            );
        }
        for file in message.files.iter().flatten().chain(&message.file) {
            parts.push(self::file(file, self.report));
        }
        parts.retain(|part| !part.trim().is_empty());
        parts.join("\n\n")
    }

    fn reactions(&mut self, given: Option<Vec<Reacted>>, at: Time, stands: &str) -> Vec<Reaction> {
        let mut reactions = Vec::new();
        for reacted in given.into_iter().flatten() {
            let (name, users) = (reacted.name.unwrap_or_default(), reacted.users.unwrap_or_default());
            let Some(emoji) = emoji::called(&name) else {
                users.iter().for_each(|_| self.report.leave_at(Why::OwnEmoji, format!(":{name}:")));
                continue;
            };
            for user in users {
                match self.people.number(&user) {
                    Some(by) => reactions.push(Reaction { emoji: emoji.clone(), by, at }),
                    None => self.report.leave_at(Why::NoReactor, stands),
                }
            }
        }
        reactions
    }
}

/// An id that can be kept.
fn good(id: &str) -> bool {
    (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What a block of a program says.
fn block(block: &Value) -> Option<String> {
    let said = |value: &Value| value.get("text").and_then(Value::as_str).map(str::to_owned);
    let mut lines: Vec<String> = Vec::new();
    lines.extend(block.get("text").and_then(said));
    for list in ["fields", "elements"] {
        lines.extend(block.get(list).and_then(Value::as_array).into_iter().flatten().take(50).filter_map(said));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The link to a file, which stays with Slack.
fn file(file: &File, report: &mut Report) -> String {
    let name = named(&[&file.name, &file.title]).unwrap_or_else(|| "a file".to_owned());
    if matches!(file.mode.as_deref(), Some("tombstone" | "hidden_by_limit")) {
        report.leave(Why::Deleted);
        return format!("{} (deleted)", quiet(&name));
    }
    report.leave_at(Why::Elsewhere, name.as_str());
    let url = file.permalink.as_deref().or(file.url_private.as_deref());
    let url = url.filter(|url| {
        url.starts_with("https://") && !url.contains(|letter: char| letter.is_control() || matches!(letter, '<' | '>'))
    });
    url.map_or_else(|| quiet(&name), |url| link(&name, url))
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_time_is_one_that_can_have_been() {
        let micros = |ts| time(ts).map(|time| time.timestamp_micros());
        assert_eq!(micros("1355517523.000005"), Some(1_355_517_523_000_005));
        assert_eq!(micros("1355517523.1"), Some(1_355_517_523_100_000));
        assert_eq!(micros("1355517523"), Some(1_355_517_523_000_000));
        for absurd in ["", ".", "x", "-1.0", "12", "99999999999.0", "999999999999999999999.0", "1355517523.x", "0.0"] {
            assert_eq!(time(absurd), None, "{absurd}");
        }
    }
}
