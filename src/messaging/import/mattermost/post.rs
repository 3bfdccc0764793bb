//! What somebody said, with the replies to it: one line. Messages have no ids in this format: who said it, where and when is what
//! one is known by.

use super::Reader;
use crate::{
    error::Result,
    messaging::import::{
        emoji,
        markup::{self, Card, cards},
        model::{Attached, Pin, Post, Reaction, Root, Time, line, possible},
        report::Why,
    },
};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

/// A message of a channel, of a direct conversation, or a reply.
#[derive(Deserialize)]
pub struct Said {
    team: Option<String>,
    channel: Option<String>,
    channel_members: Option<Vec<String>>,
    user: Option<String>,
    r#type: Option<String>,
    message: Option<String>,
    props: Option<Value>,
    create_at: Option<i64>,
    edit_at: Option<i64>,
    is_pinned: Option<bool>,
    reactions: Option<Vec<Reacted>>,
    attachments: Option<Vec<File>>,
    replies: Option<Vec<Said>>,
}

#[derive(Deserialize)]
struct Reacted {
    user: Option<String>,
    create_at: Option<i64>,
    emoji_name: Option<String>,
}

#[derive(Deserialize)]
struct File {
    path: Option<String>,
}

fn millis(time: Option<i64>) -> Option<Time> {
    possible(DateTime::from_timestamp_millis(time?))
}

impl Reader<'_> {
    pub fn said(&mut self, mut said: Said, stands: &str) -> Result<()> {
        let place = match (&said.team, &said.channel, &said.channel_members) {
            (Some(team), Some(channel), _) => self.team.places.number(&format!("{team}/{channel}")),
            (_, _, Some(members)) => self.direct(members, None),
            _ => None,
        };
        let replies = said.replies.take().unwrap_or_default();
        let Some(place) = place else {
            (0..=replies.len()).for_each(|_| self.report.leave_at(Why::NoPlace, stands));
            return Ok(());
        };
        let root = self.one(place, said, None, stands)?;
        for reply in replies {
            let came = self.one(place, reply, root.clone(), stands)?;
            if root.is_none() && came.is_some() {
                self.report.leave(Why::NoRoot);
            }
        }
        Ok(())
    }

    /// A message, and how replies to it name it; None: it does not come.
    fn one(&mut self, place: u32, said: Said, root: Option<Root>, stands: &str) -> Result<Option<Root>> {
        let kind = said.r#type.as_deref().unwrap_or_default();
        if kind.starts_with("system_") {
            self.report.leave(Why::System);
            return Ok(None);
        }
        let sender = said.user.as_deref().map(str::to_lowercase);
        let Some(sender) = sender.as_deref().and_then(|name| self.team.people.number(name)) else {
            self.report.leave_at(Why::NoSender, stands);
            return Ok(None);
        };
        let Some(at) = millis(said.create_at) else {
            self.report.leave_at(Why::NoTime, stands);
            return Ok(None);
        };
        let people = &self.team.people;
        let convert = |text: &str| markup::of_mattermost(text, people).trim().to_owned();
        let mut body = said.message.as_deref().map(convert).unwrap_or_default();
        if kind == "me" && !body.is_empty() {
            body = format!("_{body}_");
        }
        let told = said.props.as_ref().and_then(|props| props.get("attachments")).and_then(Value::as_array);
        let told: Vec<Card> = told.into_iter().flatten().filter_map(|card| Card::deserialize(card).ok()).collect();
        let told = cards(&told, convert);
        if !told.is_empty() {
            body = if body.is_empty() { told } else { format!("{body}\n\n{told}") };
        }
        let paths = said.attachments.into_iter().flatten().filter_map(|file| file.path);
        let files: Vec<Attached> = paths
            .map(|path| {
                let name = path.rsplit(['/', '\\']).next().and_then(|name| line(name, 255));
                Attached { name: name.unwrap_or_else(|| "file".to_owned()), entry: path }
            })
            .collect();
        if body.is_empty() && files.is_empty() {
            self.report.leave(Why::Empty);
            return Ok(None);
        }
        let reactions = self.reactions(said.reactions, at, stands);
        self.team.places.heard(place, sender);
        reactions.iter().for_each(|reaction| self.team.places.heard(place, reaction.by));
        let by = self.team.people.get(sender).map(|person| person.external_id.clone()).unwrap_or_default();
        let key = format!("{}:{by}", at.timestamp_millis());
        self.spool.add(&Post {
            place,
            key: key.clone(),
            root,
            sender,
            at,
            edited_at: millis(said.edit_at.filter(|at| *at > 0)).map(|edited| edited.max(at)),
            deleted: false,
            // The format does not say who pinned it, nor when.
            pinned: (said.is_pinned == Some(true)).then_some(Pin { by: sender, at }),
            body,
            reactions,
            files,
        })?;
        Ok(Some(Root { key, at }))
    }

    fn reactions(&mut self, given: Option<Vec<Reacted>>, at: Time, stands: &str) -> Vec<Reaction> {
        let mut reactions = Vec::new();
        for reacted in given.into_iter().flatten() {
            let name = reacted.emoji_name.unwrap_or_default();
            let Some(emoji) = emoji::called(&name) else {
                self.report.leave_at(Why::OwnEmoji, format!(":{name}:"));
                continue;
            };
            let by = reacted.user.map(|name| name.to_lowercase());
            match by.and_then(|name| self.team.people.number(&name)) {
                Some(by) => {
                    let at = millis(reacted.create_at).map_or(at, |reacted| reacted.max(at));
                    reactions.push(Reaction { emoji, by, at });
                }
                None => self.report.leave_at(Why::NoReactor, stands),
            }
        }
        reactions
    }
}
