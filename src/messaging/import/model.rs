//! A team as an export tells of it, whatever program wrote it. Invariant: what is in here was checked: people and places are
//! named by their numbers in the lists, times are possible ones, and a body mentions people only as `<@#number>`.

use super::own::Emojis;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

pub type Time = DateTime<Utc>;

/// Which program an export is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Slack,
    Mattermost,
}

impl Source {
    /// As it stands in `imported_records.source`, and in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Source::Slack => "slack",
            Source::Mattermost => "mattermost",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Source::Slack => "Slack",
            Source::Mattermost => "Mattermost",
        }
    }
}

/// What somebody was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Active,
    Guest,
    Deactivated,
    Bot,
}

/// Somebody, or a program that wrote messages.
#[derive(Clone, Debug)]
pub struct Person {
    pub external_id: String,
    pub name: String,
    pub email: Option<String>,
    pub title: Option<String>,
    pub standing: Standing,
}

/// The people of an export, and what they are called there.
#[derive(Default)]
pub struct People {
    pub all: Vec<Person>,
    by_id: HashMap<String, u32>,
}

impl People {
    /// Their number. Somebody of that id who is there stays as they are.
    pub fn add(&mut self, person: Person) -> u32 {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.by_id.entry(person.external_id.clone()).or_insert(next);
        if number == next {
            self.all.push(person);
        }
        number
    }

    /// Another id of somebody.
    pub fn also(&mut self, external_id: String, number: u32) {
        self.by_id.entry(external_id).or_insert(number);
    }

    pub fn number(&self, external_id: &str) -> Option<u32> {
        self.by_id.get(external_id).copied()
    }

    pub fn get(&self, number: u32) -> Option<&Person> {
        self.all.get(number as usize)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Between the people in it: two, or else it becomes a group.
    Direct,
    Group,
    Private,
    Public,
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Place {
    pub external_id: String,
    /// What the report calls it.
    pub label: String,
    pub kind: Kind,
    pub title: Option<String>,
    pub topic: Option<String>,
    pub created_at: Option<Time>,
    pub archived: bool,
    pub owners: Vec<u32>,
    pub members: BTreeSet<u32>,
    /// Who has written or reacted there.
    pub heard: BTreeSet<u32>,
}

/// The conversations of an export.
#[derive(Default)]
pub struct Places {
    pub all: Vec<Place>,
    by_id: HashMap<String, u32>,
}

impl Places {
    pub fn add(&mut self, place: Place) -> u32 {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.by_id.entry(place.external_id.clone()).or_insert(next);
        if number == next {
            self.all.push(place);
        }
        number
    }

    pub fn number(&self, external_id: &str) -> Option<u32> {
        self.by_id.get(external_id).copied()
    }

    /// Somebody has written or reacted there.
    pub fn heard(&mut self, place: u32, person: u32) {
        if let Some(place) = self.all.get_mut(place as usize) {
            place.heard.insert(person);
        }
    }
}

/// All that an export has, save for what was said.
#[derive(Default)]
pub struct Team {
    pub people: People,
    pub places: Places,
    pub emojis: Emojis,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Post {
    pub place: u32,
    /// What it is called there, within its place.
    pub key: String,
    /// The message that it replies to.
    pub root: Option<Root>,
    pub sender: u32,
    pub at: Time,
    pub edited_at: Option<Time>,
    /// It was deleted; replies to it were not.
    pub deleted: bool,
    pub pinned: Option<Pin>,
    /// Markdown; `<@#3>` means the person with that number.
    pub body: String,
    pub reactions: Vec<Reaction>,
    pub files: Vec<Attached>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Root {
    pub key: String,
    pub at: Time,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    pub by: u32,
    pub at: Time,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// One of Unicode, or `:name:` of one of the team's own, by its name there.
    pub emoji: String,
    pub by: u32,
    pub at: Time,
}

/// A file that comes with the export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    /// What the export's own package calls it.
    pub entry: String,
    pub name: String,
}

/// A time that a message of a team can have had: since there are such programs, and not in the future.
pub fn possible(time: Option<Time>) -> Option<Time> {
    let earliest = DateTime::from_timestamp(631_152_000, 0)?;
    time.filter(|time| *time >= earliest && *time <= Utc::now() + TimeDelta::days(1))
}

/// Whether something can be known by what it is called there.
pub fn nameable(id: &str) -> bool {
    (1..=200).contains(&id.len()) && !id.contains(|letter: char| letter.is_control() || letter.is_whitespace())
}

/// A text in one line, at most so long; None: there is nothing in it.
pub fn line(text: &str, most: usize) -> Option<String> {
    let words: Vec<&str> = text.split(|letter: char| letter.is_control() || letter.is_whitespace()).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let text: String = words.join(" ").chars().take(most).collect();
    (!text.is_empty()).then_some(text)
}

/// What is wrong with a record, without the place in it: the file has the line.
pub fn shapeless(why: &serde_json::Error) -> String {
    let why = why.to_string();
    why.split_once(" at line").map_or(&*why, |(why, _)| why).to_owned()
}
