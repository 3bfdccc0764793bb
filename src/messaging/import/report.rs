//! What an import has done, or would do, in words. Invariant: whatever an export names and an import leaves out or changes is
//! counted here, with the reason and, as far as it helps, the place.

use std::{collections::BTreeMap, fmt::Write};

/// What an export has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    People,
    Conversations,
    Messages,
    Reactions,
    Pins,
    Files,
    Emojis,
}

impl What {
    const ALL: [What; 7] =
        [What::People, What::Conversations, What::Messages, What::Reactions, What::Pins, What::Files, What::Emojis];

    fn name(self) -> &'static str {
        match self {
            What::People => "people",
            What::Conversations => "conversations",
            What::Messages => "messages",
            What::Reactions => "reactions",
            What::Pins => "pinned messages",
            What::Files => "files",
            What::Emojis => "emoji",
        }
    }
}

/// Why something does not come, or not as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    System,
    Empty,
    NoPlace,
    NoSender,
    NoTime,
    Shapeless,
    Older,
    Closed,
    Twice,
    Nobodys,
    OwnEmoji,
    NoReactor,
    ManyEmojis,
    ManyPins,
    NoPin,
    Elsewhere,
    Deleted,
    NoFile,
    FileKind,
    FileSize,
    FileQuota,
    ManyFiles,
    NoName,
    NoPicture,
    BadPicture,
    LargePicture,
    ManyOwn,
    Unread,
    Cut,
    NoRoot,
    NoAddress,
    SameAddress,
    WhoWrote,
    OfUnicode,
    Renamed,
}

impl Why {
    /// What is left out for it; None: it comes, but changed.
    fn of(self) -> Option<What> {
        match self {
            Why::System | Why::Empty | Why::NoPlace | Why::NoSender | Why::NoTime | Why::Shapeless => {
                Some(What::Messages)
            }
            Why::Older | Why::Closed | Why::Twice => Some(What::Messages),
            Why::Nobodys => Some(What::Conversations),
            Why::OwnEmoji | Why::NoReactor | Why::ManyEmojis => Some(What::Reactions),
            Why::ManyPins | Why::NoPin => Some(What::Pins),
            Why::Elsewhere
            | Why::Deleted
            | Why::NoFile
            | Why::FileKind
            | Why::FileSize
            | Why::FileQuota
            | Why::ManyFiles => Some(What::Files),
            Why::NoName | Why::NoPicture | Why::BadPicture | Why::LargePicture | Why::ManyOwn => Some(What::Emojis),
            Why::Unread | Why::Cut | Why::NoRoot | Why::NoAddress | Why::SameAddress | Why::WhoWrote => None,
            Why::OfUnicode | Why::Renamed => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Why::System => "messages that only told of something: who joined or left, a new topic, a call",
            Why::Empty => "messages without a text or a file",
            Why::NoPlace => "messages of conversations that the export does not name",
            Why::NoSender => "messages of people whom the export does not name",
            Why::NoTime => "messages without a time, or with an impossible one",
            Why::Shapeless => "messages that are not written as messages are",
            Why::Older => {
                "messages that are older than the newest one that is there: the numbers of messages are their order"
            }
            Why::Closed => "messages of direct conversations in which one has blocked the other",
            Why::Twice => "messages that stand in the export twice",
            Why::Nobodys => "conversations in which there is nobody",
            Why::OwnEmoji => "reactions with emojis of the team's own that do not come",
            Why::NoReactor => "reactions of people whom the export does not name",
            Why::ManyEmojis => "reactions to messages that have 50 different emojis already",
            Why::ManyPins => "pins of conversations that have 100 pinned messages already",
            Why::NoPin => "pins of deleted messages, or by people whom the export does not name",
            Why::Elsewhere => "files that Slack keeps, behind a sign-in there: the messages have the links",
            Why::Deleted => "files that were deleted there",
            Why::NoFile => "files that are not in the package",
            Why::FileKind => "files of a type that is not taken here, or that are not what their names say",
            Why::FileSize => "files that are empty, or larger than is taken here",
            Why::FileQuota => "files beyond what the organization may have",
            Why::ManyFiles => "files of messages that have 10 already",
            Why::NoName => "emoji without a name, or with one that is too long",
            Why::NoPicture => "emoji whose picture is not in the package: nothing is fetched from anywhere",
            Why::BadPicture => "emoji whose picture is damaged, or is no PNG, JPEG, GIF or WebP",
            Why::LargePicture => "emoji whose picture has more than 20 MiB or 50 megapixels",
            Why::ManyOwn => "emoji beyond the 2 000 that an organization may have",
            Why::Unread => "other things in the export, which Stoa does not read",
            Why::Cut => "messages of more than 40 000 characters come cut",
            Why::NoRoot => "replies to messages that do not come: they come as messages of the conversation itself",
            Why::NoAddress => "people without a usable e-mail address, bots among them: they come, and cannot sign in",
            Why::SameAddress => "people who have the address of another one in the export: both become one member",
            Why::WhoWrote => {
                "conversations without members, as archived ones of Slack are: whoever wrote there takes part"
            }
            Why::OfUnicode => {
                "emoji that are called as one of Unicode, or only stand for one: that one comes in their place"
            }
            Why::Renamed => "emoji with names that are none here: a–z, 0–9, _, + and -, at most 40",
        }
    }
}

/// Places or names told for a reason at most.
const TOLD: usize = 10;

#[derive(Default)]
struct Left {
    count: u64,
    told: BTreeMap<String, u64>,
    more: bool,
}

#[derive(Default)]
struct Tally {
    new: u64,
    there: u64,
}

#[derive(Default)]
pub struct Report {
    tallies: BTreeMap<What, Tally>,
    left: BTreeMap<Why, Left>,
}

impl Report {
    pub fn new_ones(&mut self, what: What, count: u64) {
        self.tallies.entry(what).or_default().new += count;
    }

    /// They are there from an earlier run, or anyway.
    pub fn there(&mut self, what: What, count: u64) {
        self.tallies.entry(what).or_default().there += count;
    }

    pub fn leave(&mut self, why: Why) {
        self.left.entry(why).or_default().count += 1;
    }

    /// As `leave`, and where that was, or what it was called.
    pub fn leave_at(&mut self, why: Why, place: impl Into<String>) {
        let left = self.left.entry(why).or_default();
        left.count += 1;
        // On its way to a terminal.
        let place: String = place.into().chars().filter(|letter| !letter.is_control()).take(120).collect();
        if let Some(count) = left.told.get_mut(&place) {
            *count += 1;
        } else if left.told.len() < TOLD {
            left.told.insert(place, 1);
        } else {
            left.more = true;
        }
    }

    /// As a person reads it.
    pub fn written(&self, heading: &str, dry_run: bool) -> String {
        let mut text = format!("{heading}\n\n");
        let comes = if dry_run { "would come" } else { "came" };
        let mut line = |cells: [&str; 4]| {
            _ = writeln!(text, "  {:<16} {:>12} {:>14} {:>16}", cells[0], cells[1], cells[2], cells[3]);
        };
        line(["", comes, "were there", "do not come"]);
        for what in What::ALL {
            let tally = self.tallies.get(&what);
            let (new, there) = tally.map_or((0, 0), |tally| (tally.new, tally.there));
            let left: u64 =
                self.left.iter().filter(|(why, _)| why.of() == Some(what)).map(|(_, left)| left.count).sum();
            line([what.name(), &new.to_string(), &there.to_string(), &left.to_string()]);
        }
        for (heading, changed) in [("What does not come, and why", false), ("What is not as it was", true)] {
            let some = self.left.iter().filter(|(why, _)| (why.of().is_none() && **why != Why::Unread) == changed);
            if some.clone().next().is_none() {
                continue;
            }
            _ = writeln!(text, "\n{heading}:");
            some.for_each(|(why, left)| _ = writeln!(text, "  {:>8}  {}{}", left.count, why.words(), left.places()));
        }
        if dry_run {
            text.push_str("\nThis was a dry run: nothing was written.");
        }
        text.trim_end().to_owned()
    }
}

impl Left {
    fn places(&self) -> String {
        if self.told.is_empty() {
            return String::new();
        }
        let named = |(place, count): (&String, &u64)| {
            if *count > 1 { format!("{place} ({count})") } else { place.clone() }
        };
        let all: Vec<String> = self.told.iter().map(named).collect();
        format!("\n            {}{}", all.join(", "), if self.more { ", …" } else { "" })
    }
}
