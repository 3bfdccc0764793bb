//! Slack's export: a zip with `users.json`, `channels.json` (`groups.json`, `dms.json`, `mpims.json` in exports of all
//! conversations), and a folder a conversation with a file a day; with emoji, if somebody has added them. Invariant: what is no such zip is refused in words, and what
//! in it cannot be read as it should names its file and line.

mod emoji;
mod message;

use super::{
    markup,
    model::{Kind, People, Person, Pin, Place, Places, Standing, Team, Time, line, nameable, possible, shapeless},
    own::Emojis,
    package::Package,
    places::topic,
    report::{Report, Why},
    spool::Spool,
};
use crate::error::{Error, Result};
use chrono::DateTime;
use message::Reader;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap};

/// Somebody in `users.json`.
#[derive(Deserialize)]
struct User {
    id: String,
    name: Option<String>,
    real_name: Option<String>,
    deleted: Option<bool>,
    is_bot: Option<bool>,
    is_restricted: Option<bool>,
    is_ultra_restricted: Option<bool>,
    profile: Option<Profile>,
}

#[derive(Default, Deserialize)]
pub struct Profile {
    real_name: Option<String>,
    display_name: Option<String>,
    name: Option<String>,
    email: Option<String>,
    title: Option<String>,
    bot_id: Option<String>,
}

/// A conversation in `channels.json` and its like.
#[derive(Deserialize)]
struct Channel {
    id: String,
    name: Option<String>,
    created: Option<i64>,
    creator: Option<String>,
    is_archived: Option<bool>,
    members: Option<Vec<String>>,
    topic: Option<Value>,
    purpose: Option<Value>,
    pins: Option<Vec<Pinned>>,
}

#[derive(Deserialize)]
struct Value {
    value: Option<String>,
}

/// A message that is pinned.
#[derive(Deserialize)]
struct Pinned {
    id: Option<String>,
    user: Option<String>,
    created: Option<i64>,
}

/// Reads an export into a team, and messages.
pub fn read(package: &mut Package, spool: &mut Spool, report: &mut Report) -> Result<Team> {
    let names = package.names();
    let root = root(&names)?;
    let mut emojis = Emojis::default();
    let of_emojis = emoji::read(package, (&root, &names), &mut emojis, report)?;
    let mut reader =
        Reader { people: people(package, &root)?, places: Places::default(), pins: HashMap::new(), spool, report };
    let mut folders: HashMap<String, u32> = HashMap::new();
    let lists = [
        ("channels.json", Kind::Public),
        ("groups.json", Kind::Private),
        ("dms.json", Kind::Direct),
        ("mpims.json", Kind::Group),
    ];
    for (file, kind) in lists {
        let path = format!("{root}{file}");
        if !package.has(&path) {
            continue;
        }
        for channel in list::<Channel>(&package.json(&path)?, &path)? {
            named_well(&channel.id, &path)?;
            let folder = channel.name.clone();
            let id = channel.id.clone();
            let number = place(&mut reader, channel, kind);
            folders.insert(id, number);
            folders.entry(folder.unwrap_or_default()).or_insert(number);
        }
    }
    let mut days: Vec<(u32, &str)> = Vec::new();
    for name in &names {
        let Some(inside) = name.strip_prefix(&*root).filter(|_| !of_emojis.contains(name)) else { continue };
        let Some((folder, day)) = inside.split_once('/') else {
            let read = inside == "users.json" || lists.iter().any(|(file, _)| *file == inside);
            if !read {
                reader.report.leave_at(Why::Unread, inside);
            }
            continue;
        };
        match folders.get(folder) {
            Some(place) if is_day(day) => days.push((*place, name)),
            Some(_) => reader.report.leave_at(Why::Unread, inside),
            None if is_day(day) => {
                let count = messages(&package.json(name)?, name)?.len();
                (0..count).for_each(|_| reader.report.leave_at(Why::NoPlace, format!("{folder}/")));
            }
            None => reader.report.leave_at(Why::Unread, format!("{folder}/")),
        }
    }
    // By day, so that replies come behind what they reply to.
    days.sort_unstable();
    for (place, name) in days {
        let content = package.json(name)?;
        let mut lines = Lines::default();
        for raw in messages(&content, name)? {
            let line = lines.of(&content, raw.get());
            reader.take(place, raw.get(), &format!("{name}, line {line}"))?;
        }
    }
    reader.unpinned();
    Ok(Team { people: reader.people, places: reader.places, emojis })
}

/// The folder in which the export lies: none, or one that was packed as a whole.
fn root(names: &[String]) -> Result<String> {
    let found = names.iter().filter(|name| *name == "users.json" || name.ends_with("/users.json"));
    let users = found.min_by_key(|name| name.len());
    let root = users.and_then(|users| users.strip_suffix("users.json")).map(str::to_owned);
    root.filter(|root| names.iter().any(|name| *name == format!("{root}channels.json"))).ok_or_else(|| {
        Error::bad_input(
            "This zip is no export of Slack: users.json and channels.json are not in it. Slack makes it under Settings, \
             Import/Export Data. Nothing was imported.",
        )
    })
}

/// Whether a file has the messages of a day: `2024-01-31.json`.
fn is_day(name: &str) -> bool {
    let shape = name.strip_suffix(".json").map(str::as_bytes).unwrap_or_default();
    shape.len() == 10
        && shape
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
}

/// What a file has in a list. What is no JSON, and what is none of these, is refused.
fn list<T: for<'a> Deserialize<'a>>(content: &[u8], file: &str) -> Result<Vec<T>> {
    let mut lines = Lines::default();
    let read = |raw: &&RawValue| {
        let line = lines.of(content, raw.get());
        serde_json::from_str(raw.get()).map_err(|why| {
            let why = shapeless(&why);
            Error::bad_input(format!(
                "{file}, line {line}: this is not what Slack writes there ({why}). Nothing was imported."
            ))
        })
    };
    messages(content, file)?.iter().map(read).collect()
}

fn named_well(id: &str, file: &str) -> Result<()> {
    if nameable(id) {
        return Ok(());
    }
    let shown: String = id.escape_debug().take(80).collect();
    Err(Error::bad_input(format!("{file}: \"{shown}\" is no id of Slack's. Nothing was imported.")))
}

/// The entries of a file, not looked into yet.
fn messages<'a>(content: &'a [u8], file: &str) -> Result<Vec<&'a RawValue>> {
    let refused = |line: usize, what: &str| {
        Error::bad_input(format!("{file}, line {line}: {what}. The export is damaged; nothing was imported."))
    };
    let text = std::str::from_utf8(content).map_err(|why| {
        let before = content.get(..why.valid_up_to()).unwrap_or_default();
        refused(1 + before.iter().filter(|byte| **byte == b'\n').count(), "this is not UTF-8")
    })?;
    serde_json::from_str(text).map_err(|why| {
        let what = if why.is_data() { "no list of Slack stands here" } else { "this is not JSON" };
        refused(why.line(), what)
    })
}

/// Counts lines along a file, from one entry to the next.
#[derive(Default)]
struct Lines {
    at: usize,
    line: usize,
}

impl Lines {
    fn of(&mut self, content: &[u8], entry: &str) -> usize {
        let offset = (entry.as_ptr() as usize).saturating_sub(content.as_ptr() as usize);
        let between = content.get(self.at..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.at = offset.max(self.at);
        self.line + 1
    }
}

fn people(package: &mut Package, root: &str) -> Result<People> {
    let path = format!("{root}users.json");
    let mut people = People::default();
    for user in list::<User>(&package.json(&path)?, &path)? {
        named_well(&user.id, &path)?;
        let profile = user.profile.unwrap_or_default();
        let bot = user.is_bot == Some(true) || user.id == SLACKBOT;
        let standing = match user.deleted {
            _ if bot => Standing::Bot,
            Some(true) => Standing::Deactivated,
            _ if user.is_restricted == Some(true) || user.is_ultra_restricted == Some(true) => Standing::Guest,
            _ => Standing::Active,
        };
        let names = [&profile.real_name, &user.real_name, &profile.display_name, &user.name];
        let number = people.add(Person {
            name: named(&names).unwrap_or_else(|| user.id.clone()),
            external_id: user.id,
            email: profile.email.filter(|_| !bot),
            title: profile.title.as_deref().and_then(|title| line(title, 120)),
            standing,
        });
        if let Some(bot) = profile.bot_id {
            people.also(bot, number);
        }
    }
    Ok(people)
}

/// Slack's own voice, which is in no list.
const SLACKBOT: &str = "USLACKBOT";

/// The first name that says something.
fn named(names: &[&Option<String>]) -> Option<String> {
    names.iter().find_map(|name| line(name.as_deref()?, 120))
}

fn seconds(time: Option<i64>) -> Option<Time> {
    possible(DateTime::from_timestamp(time?, 0))
}

fn place(reader: &mut Reader<'_>, channel: Channel, kind: Kind) -> u32 {
    let people = &reader.people;
    let members: BTreeSet<u32> = channel.members.iter().flatten().filter_map(|id| people.number(id)).collect();
    let said =
        |value: Option<Value>| value.and_then(|value| value.value).map(|text| markup::calm_of_slack(&text, people));
    let title = match kind {
        Kind::Public | Kind::Private => Some(named(&[&channel.name]).unwrap_or_else(|| channel.id.clone())),
        // What Slack makes up: mpdm-ada--bob-1.
        Kind::Direct | Kind::Group => None,
    };
    let named = members.iter().filter_map(|number| Some(people.get(*number)?.name.clone()));
    let label = match &title {
        Some(title) => format!("#{title}"),
        None => named.take(5).collect::<Vec<_>>().join(", "),
    };
    let topic = topic([said(channel.topic), said(channel.purpose)]);
    let owners = channel.creator.iter().filter_map(|id| people.number(id)).collect();
    let number = reader.places.add(Place {
        external_id: channel.id,
        label,
        kind,
        title,
        topic,
        created_at: seconds(channel.created),
        archived: channel.is_archived == Some(true),
        owners,
        members,
        heard: BTreeSet::new(),
    });
    for pin in channel.pins.into_iter().flatten() {
        let by = pin.user.and_then(|id| reader.people.number(&id));
        match (pin.id, by, seconds(pin.created)) {
            (Some(key), Some(by), Some(at)) => _ = reader.pins.insert((number, key), Pin { by, at }),
            _ => reader.report.leave(Why::NoPin),
        }
    }
    number
}

impl Reader<'_> {
    /// Pins that no message had: of what does not come.
    fn unpinned(&mut self) {
        self.pins.drain().for_each(|_| self.report.leave(Why::NoPin));
    }
}
