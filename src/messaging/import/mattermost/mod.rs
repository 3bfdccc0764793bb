//! Mattermost's bulk export: an object a line, people and channels before what they said; as a file, or in a zip with the files
//! of messages below `data/`. Invariant: of what was read no more than a line is in memory, and a line has an end.

mod post;

use super::{
    model::{Kind, Person, Place, Standing, Team, line, nameable, shapeless},
    own::Looks,
    package::Package,
    places::topic,
    report::{Report, Why},
    spool::Spool,
};
use crate::error::{Error, Result};
use post::Said;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeSet, HashMap},
    io::{BufRead, BufReader, Read},
};

/// Bytes of a line at most: a thread is one.
const MOST_LINE: u64 = 64 << 20;

/// People in a conversation that has no name at most: by their names it is known. Mattermost has eight.
const MOST_IN_GROUP: usize = 9;

/// A line; what it is about stands in the field that `type` names.
#[derive(Deserialize)]
struct Line<'a> {
    r#type: String,
    version: Option<i64>,
    #[serde(borrow)]
    team: Option<&'a RawValue>,
    channel: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    bot: Option<&'a RawValue>,
    post: Option<&'a RawValue>,
    direct_channel: Option<&'a RawValue>,
    direct_post: Option<&'a RawValue>,
    emoji: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TheirTeam {
    name: String,
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct Channel {
    team: String,
    name: String,
    display_name: Option<String>,
    r#type: Option<String>,
    header: Option<String>,
    purpose: Option<String>,
    deleted_at: Option<i64>,
}

#[derive(Deserialize)]
struct User {
    username: String,
    email: Option<String>,
    nickname: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    position: Option<String>,
    roles: Option<String>,
    delete_at: Option<i64>,
    teams: Option<Vec<OfTeam>>,
}

#[derive(Deserialize)]
struct OfTeam {
    name: String,
    channels: Option<Vec<OfChannel>>,
}

#[derive(Deserialize)]
struct OfChannel {
    name: String,
    roles: Option<String>,
}

#[derive(Deserialize)]
struct Bot {
    username: String,
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct Direct {
    members: Option<Vec<String>>,
    participants: Option<Vec<OfDirect>>,
    header: Option<String>,
}

#[derive(Deserialize)]
struct OfDirect {
    username: String,
}

/// An emoji of the team's own.
#[derive(Deserialize)]
struct Own {
    name: String,
    /// The file with its picture.
    image: Option<String>,
}

/// The file of lines in a package.
pub fn lines_of(package: &Package) -> Result<String> {
    let names = package.names();
    let mut found = names.into_iter().filter(|name| name.ends_with(".jsonl") && !name.starts_with("data/"));
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(Error::bad_input(
            "This zip is no export of Mattermost: there is no file .jsonl in it. `mmctl export create` makes one. Nothing \
             was imported.",
        )),
        (Some(one), Some(other)) => Err(Error::bad_input(format!(
            "This zip has several files of lines in it, {one} and {other}; an export of Mattermost has one. Nothing was \
             imported."
        ))),
    }
}

/// What gathers an export.
struct Reader<'a> {
    /// What the file is called, for faults.
    file: &'a str,
    team: Team,
    /// What teams are called, by their names in URLs.
    teams: HashMap<String, String>,
    spool: &'a mut Spool,
    report: &'a mut Report,
}

/// Reads lines into a team, and messages.
pub fn read(lines: impl Read, file: &str, spool: &mut Spool, report: &mut Report) -> Result<Team> {
    let mut lines = BufReader::with_capacity(256 << 10, lines);
    let mut reader = Reader { file, team: Team::default(), teams: HashMap::new(), spool, report };
    let (mut number, mut line) = (0_u64, Vec::new());
    loop {
        number += 1;
        line.clear();
        let refused = |what: String| Error::bad_input(format!("{file}, line {number}: {what}. Nothing was imported."));
        let read = (&mut lines).take(MOST_LINE).read_until(b'\n', &mut line);
        if read.map_err(|why| refused(format!("it cannot be read: {why}")))? == 0 {
            break;
        }
        if line.len() as u64 == MOST_LINE {
            return Err(refused(format!("the line has {MOST_LINE} bytes or more, and is no message")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| refused("this is not UTF-8".to_owned()))?.trim();
        if text.is_empty() {
            continue;
        }
        let parsed = serde_json::from_str::<Line<'_>>(text);
        let parsed = parsed.map_err(|why| match (number, why.is_data()) {
            (1, _) => refused(
                "this is no export of Mattermost, which begins with a line {\"type\":\"version\",\"version\":1}"
                    .to_owned(),
            ),
            (_, true) => refused("a line of an export is an object that says its type".to_owned()),
            (_, false) => refused("this is not JSON; the export is damaged".to_owned()),
        })?;
        reader.take(number, &parsed)?;
    }
    if number == 1 {
        return Err(Error::bad_input(format!("{file} is empty.")));
    }
    Ok(reader.team)
}

impl Reader<'_> {
    fn take(&mut self, number: u64, line: &Line<'_>) -> Result<()> {
        let stands = format!("{}, line {number}", self.file);
        if (number == 1) != (line.r#type == "version") {
            let what =
                "an export of Mattermost begins with a line {\"type\":\"version\",\"version\":1}, and has one of it";
            return Err(Error::bad_input(format!("{stands}: {what}. Nothing was imported.")));
        }
        match &*line.r#type {
            "version" if line.version == Some(1) => Ok(()),
            "version" => {
                let message =
                    format!("{stands}: only version 1 of Mattermost's format is known. Nothing was imported.");
                Err(Error::bad_input(message))
            }
            "team" => {
                let team: TheirTeam = listed(line.team, &stands)?;
                let shown = team.display_name.unwrap_or_else(|| team.name.clone());
                self.teams.insert(team.name, shown);
                Ok(())
            }
            "channel" => {
                let channel: Channel = listed(line.channel, &stands)?;
                named_well(&[&channel.team, &channel.name], &stands)?;
                self.channel(channel);
                Ok(())
            }
            "user" => {
                let user: User = listed(line.user, &stands)?;
                named_well(&[&user.username], &stands)?;
                self.user(user);
                Ok(())
            }
            "bot" => {
                let bot: Bot = listed(line.bot, &stands)?;
                named_well(&[&bot.username], &stands)?;
                let name = bot.display_name.as_deref().and_then(|name| self::line(name, 120));
                self.team.people.add(Person {
                    name: name.unwrap_or_else(|| bot.username.clone()),
                    external_id: bot.username.to_lowercase(),
                    email: None,
                    title: None,
                    standing: Standing::Bot,
                });
                Ok(())
            }
            "direct_channel" => {
                let direct: Direct = listed(line.direct_channel, &stands)?;
                let named = direct.participants.into_iter().flatten().map(|member| member.username);
                let names: Vec<String> = direct.members.into_iter().flatten().chain(named).collect();
                if self.direct(&names, direct.header).is_none() {
                    self.report.leave_at(Why::Nobodys, &*stands);
                }
                Ok(())
            }
            "post" | "direct_post" => {
                let raw = if line.r#type == "post" { line.post } else { line.direct_post };
                match raw.and_then(|raw| serde_json::from_str::<Said>(raw.get()).ok()) {
                    Some(said) => self.said(said, &stands),
                    None => {
                        self.report.leave_at(Why::Shapeless, stands);
                        Ok(())
                    }
                }
            }
            // Behind what was reacted with them.
            "emoji" => {
                let own = line.emoji.and_then(|raw| serde_json::from_str::<Own>(raw.get()).ok());
                let own = own.ok_or(Why::NoName);
                if let Err(why) = own.and_then(|own| self.team.emojis.add(&own.name, Looks::Picture(own.image))) {
                    self.report.leave_at(why, stands);
                }
                Ok(())
            }
            other => {
                let shown: String =
                    other.chars().filter(|letter| letter.is_alphanumeric() || *letter == '_').take(40).collect();
                self.report.leave_at(Why::Unread, shown);
                Ok(())
            }
        }
    }

    fn channel(&mut self, channel: Channel) {
        let shown =
            channel.display_name.as_deref().and_then(|name| line(name, 150)).unwrap_or_else(|| channel.name.clone());
        // Two teams have a channel of the same name each.
        let title = match self.teams.get(&channel.team).filter(|_| self.teams.len() > 1) {
            Some(team) => line(&format!("{shown} ({team})"), 200).unwrap_or_else(|| shown.clone()),
            None => shown,
        };
        let kind = if channel.r#type.as_deref() == Some("P") { Kind::Private } else { Kind::Public };
        self.team.places.add(Place {
            external_id: format!("{}/{}", channel.team, channel.name),
            label: format!("#{title}"),
            kind,
            title: Some(title),
            topic: topic([channel.header, channel.purpose]),
            created_at: None,
            archived: channel.deleted_at.is_some_and(|at| at > 0),
            owners: Vec::new(),
            members: BTreeSet::new(),
            heard: BTreeSet::new(),
        });
    }

    fn user(&mut self, user: User) {
        let has = |role: &str| user.roles.as_deref().unwrap_or_default().split_whitespace().any(|has| has == role);
        let standing = match user.delete_at {
            Some(at) if at > 0 => Standing::Deactivated,
            _ if has("system_guest") => Standing::Guest,
            _ => Standing::Active,
        };
        let full = [&user.first_name, &user.last_name].map(|name| name.as_deref().unwrap_or_default()).join(" ");
        let name = line(&full, 120).or_else(|| line(user.nickname.as_deref()?, 120));
        let number = self.team.people.add(Person {
            name: name.unwrap_or_else(|| user.username.clone()),
            external_id: user.username.to_lowercase(),
            email: user.email,
            title: user.position.as_deref().and_then(|title| line(title, 120)),
            standing,
        });
        for team in user.teams.into_iter().flatten() {
            for channel in team.channels.into_iter().flatten() {
                let place = self.team.places.number(&format!("{}/{}", team.name, channel.name));
                let Some(place) = place.and_then(|place| self.team.places.all.get_mut(place as usize)) else {
                    continue;
                };
                place.members.insert(number);
                if channel.roles.is_some_and(|roles| roles.contains("channel_admin")) {
                    place.owners.push(number);
                }
            }
        }
    }

    /// The conversation between these; None: some of them nobody knows.
    fn direct(&mut self, names: &[String], header: Option<String>) -> Option<u32> {
        let mut names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        let members: Option<BTreeSet<u32>> = names.iter().map(|name| self.team.people.number(name)).collect();
        let members = members.filter(|members| !members.is_empty() && members.len() <= MOST_IN_GROUP)?;
        let kind = if members.len() > 2 { Kind::Group } else { Kind::Direct };
        Some(self.team.places.add(Place {
            external_id: names.join(","),
            label: names.join(", ").chars().take(80).collect(),
            kind,
            title: None,
            topic: topic([header, None]),
            created_at: None,
            archived: false,
            owners: Vec::new(),
            members,
            heard: BTreeSet::new(),
        }))
    }
}

/// What things are called has to be something that they can be known by.
fn named_well(names: &[&String], stands: &str) -> Result<()> {
    if names.iter().all(|name| nameable(name)) {
        return Ok(());
    }
    Err(Error::bad_input(format!("{stands}: what it is called is no name of Mattermost's. Nothing was imported.")))
}

/// People and channels: without them nothing can be told of what they said.
fn listed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, stands: &str) -> Result<T> {
    let read = raw.map(|raw| serde_json::from_str(raw.get()));
    match read {
        Some(Ok(read)) => Ok(read),
        Some(Err(why)) => Err(Error::bad_input(format!(
            "{stands}: this is not what Mattermost writes there ({}). Nothing was imported.",
            shapeless(&why)
        ))),
        None => {
            Err(Error::bad_input(format!("{stands}: the line does not have what its type says. Nothing was imported.")))
        }
    }
}
