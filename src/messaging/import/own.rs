//! Emoji of the team's own: as an export has them, and how they come. Invariants: pictures are taken out of the package, never from
//! anywhere else, and cost no more than one that somebody uploads; a name that one has here already, be it that it was deleted
//! since, stays as it is, so that the same export once more adds nothing.

use super::{
    emoji,
    report::{What, Why},
    write::{Writer, digest},
};
use crate::{
    error::Result,
    kit::{scalars::DateTime, user_error::UserErrorCode as Code, write::Stop},
    messaging::emoji as ours,
    platform::picture::{self, Limits, MOST as MOST_BYTES, Unfit},
};
use bytes::Bytes;
use std::{collections::BTreeMap, io::Read};

/// Of an export at most: more than an organization may have.
const MOST: usize = 10_000;
/// How many lead from one that shows what another one shows to a picture, at most.
const HOPS: usize = 8;

/// What an emoji of the team's own shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looks {
    /// A picture, as what the package calls it; None: the export has none.
    Picture(Option<String>),
    /// The same as another one of the team's own, or of Unicode.
    As(String),
}

/// What somebody sees of one in the end.
enum Shown<'a> {
    Unicode(&'static str),
    Picture(&'a str),
    Nothing,
}

/// The emoji of a team's own, by their names there.
#[derive(Default)]
pub struct Emojis {
    all: BTreeMap<String, Looks>,
}

impl Emojis {
    /// One more; of a name the first stays. Otherwise: why it does not come.
    pub fn add(&mut self, name: &str, looks: Looks) -> Result<(), Why> {
        let name = emoji::own_name(name).ok_or(Why::NoName)?;
        if self.all.len() >= MOST && !self.all.contains_key(&name) {
            return Err(Why::ManyOwn);
        }
        let looks = match looks {
            Looks::As(other) => emoji::own_name(&other).map_or(Looks::Picture(None), Looks::As),
            picture => picture,
        };
        self.all.entry(name).or_insert(looks);
        Ok(())
    }

    fn shown<'a>(&'a self, mut name: &'a str) -> Shown<'a> {
        for _ in 0..HOPS {
            if let Some(unicode) = emoji::of(name) {
                return Shown::Unicode(unicode);
            }
            match self.all.get(name) {
                Some(Looks::Picture(Some(path))) => return Shown::Picture(path),
                Some(Looks::As(other)) => name = other,
                Some(Looks::Picture(None)) | None => return Shown::Nothing,
            }
        }
        Shown::Nothing
    }
}

/// What one is called here: as it was there where that is a name here, else what is left of it and a hash, so that it is the same
/// every time and no other one's.
fn name_here(theirs: &str) -> String {
    if ours::in_colons(&format!(":{theirs}:")).is_some() {
        return theirs.to_owned();
    }
    let good =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '+' | '-');
    let left = theirs.chars().map(|letter| if good(letter) { letter } else { '_' }).take(31);
    let sum: String = digest(&[theirs]).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}_{sum}", left.collect::<String>())
}

impl Writer<'_> {
    /// Brings those that are not here yet, before anybody reacts with them.
    pub async fn own_emojis(&mut self, emojis: &Emojis) -> Result<()> {
        let known = ours::known(&mut *self.app.database.of(self.organization).await?, self.organization).await?;
        let mut room = known.room;
        self.emojis = known.names.into_iter().map(|name| (name.clone(), format!(":{name}:"))).collect();
        for theirs in emojis.all.keys() {
            let picture = match emojis.shown(theirs) {
                Shown::Unicode(unicode) => {
                    self.report.leave_at(Why::OfUnicode, format!(":{theirs}: {unicode}"));
                    self.emojis.insert(theirs.clone(), unicode.to_owned());
                    continue;
                }
                Shown::Picture(path) => Some(path),
                Shown::Nothing => None,
            };
            let name = name_here(theirs);
            let brought = if self.emojis.contains_key(&name) {
                Ok(false)
            } else if room == 0 {
                Err(Why::ManyOwn)
            } else {
                self.bring_emoji(&name, picture).await?
            };
            match brought {
                Ok(true) => {
                    room -= 1;
                    self.report.new_ones(What::Emojis, 1);
                    if name != *theirs {
                        self.report.leave_at(Why::Renamed, format!(":{theirs}: is :{name}:"));
                    }
                }
                Ok(false) => self.report.there(What::Emojis, 1),
                Err(why) => {
                    self.report.leave_at(why, format!(":{theirs}:"));
                    continue;
                }
            }
            self.emojis.insert(theirs.clone(), format!(":{name}:"));
            // Taken from now on.
            self.emojis.insert(name.clone(), format!(":{name}:"));
        }
        Ok(())
    }

    /// What a reaction is stored with; None: one of the team's own that has not come.
    pub fn reacted_with<'a>(&'a self, emoji: &'a str) -> Option<&'a str> {
        match emoji.strip_prefix(':').and_then(|name| name.strip_suffix(':')) {
            Some(theirs) => self.emojis.get(theirs).map(String::as_str),
            None => Some(emoji),
        }
    }

    /// False: somebody has made one of this name at this moment.
    async fn bring_emoji(&mut self, name: &str, picture: Option<&str>) -> Result<Result<bool, Why>> {
        let Some(picture) = picture else { return Ok(Err(Why::NoPicture)) };
        let picture = match self.square(picture).await? {
            Ok(picture) => picture,
            Err(why) => return Ok(Err(why)),
        };
        if self.dry {
            return Ok(Ok(true));
        }
        let mut tx = self.app.database.of(self.organization).await?.begin().await?;
        let (organization, at) = (self.organization, DateTime::now());
        let new = ours::New { organization, name: name.to_owned(), picture, creator: None, at };
        match ours::add(&mut tx, &self.app.files, new).await {
            Ok((_, change)) => {
                self.commit(tx, vec![change]).await?;
                Ok(Ok(true))
            }
            Err(Stop::Failed(fault)) => Err(fault),
            Err(Stop::Rejected(rejected)) => {
                tx.rollback().await?;
                let there = rejected.errors.iter().all(|error| error.code == Code::NotUnique);
                Ok(if there { Ok(false) } else { Err(Why::ManyOwn) })
            }
        }
    }

    /// A picture of the package as emoji have it.
    async fn square(&mut self, path: &str) -> Result<Result<Bytes, Why>> {
        let app = self.app;
        let Some(package) = &mut self.package else { return Ok(Err(Why::NoPicture)) };
        let Some(entry) = package.find(path) else { return Ok(Err(Why::NoPicture)) };
        if package.size(&entry)? > MOST_BYTES {
            return Ok(Err(Why::LargePicture));
        }
        let turn = app.pictures.turn().await?;
        let mut whole = Vec::new();
        let read = package.entry(&entry, MOST_BYTES).is_ok_and(|mut entry| entry.read_to_end(&mut whole).is_ok());
        if !read {
            return Ok(Err(Why::BadPicture));
        }
        Ok(turn.make(move || picture::square(&whole, ours::SIDE, &Limits::PHOTOGRAPH)).await.map_err(
            |unfit| match unfit {
                Unfit::TooLarge => Why::LargePicture,
                Unfit::Unreadable => Why::BadPicture,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emojis(all: &[(&str, Looks)]) -> Emojis {
        let mut emojis = Emojis::default();
        for (name, looks) in all {
            assert_eq!(emojis.add(name, looks.clone()), Ok(()), "{name}");
        }
        emojis
    }

    #[test]
    fn what_shows_another_one_is_followed_and_not_for_ever() {
        let like = |other: &str| Looks::As(other.to_owned());
        let emojis = emojis(&[
            ("acme_parrot", Looks::Picture(Some("p.png".to_owned()))),
            ("Acme_Parrot", Looks::Picture(Some("later.png".to_owned()))),
            ("acme_bird", like("Acme_Parrot")),
            ("pet", like("acme_bird")),
            ("acme_square", like("white_large_square")),
            ("acme_box", like("acme_square")),
            ("tada", Looks::Picture(Some("tada.png".to_owned()))),
            ("acme_one", like("acme_other")),
            ("acme_other", like("acme_one")),
            ("acme_lost", like("gone")),
            ("blank", like(" ")),
            ("acme_link", Looks::Picture(None)),
        ]);
        let told = |name| match emojis.shown(name) {
            Shown::Unicode(unicode) => unicode.to_owned(),
            Shown::Picture(path) => path.to_owned(),
            Shown::Nothing => String::new(),
        };
        for (name, expected) in [
            ("acme_parrot", "p.png"),
            ("acme_bird", "p.png"),
            ("pet", "p.png"),
            ("acme_square", "⬜"),
            ("acme_box", "⬜"),
            ("tada", "🎉"),
            ("acme_one", ""),
            ("acme_lost", ""),
            ("blank", ""),
            ("acme_link", ""),
        ] {
            assert_eq!(told(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_here_is_a_name_and_no_other_ones() {
        for name in ["party_parrot", "a+1", "x-y", "0_0"] {
            assert_eq!(name_here(name), name);
        }
        let long = ["ä".repeat(100), format!("{}b", "a".repeat(99)), format!("{}c", "a".repeat(99))];
        let odd = ["größe", "größi", "a", "ありがとう", "ぺこり", "one.two", &long[0], &long[1], &long[2]];
        let mut all: Vec<String> = odd.iter().map(|name| name_here(name)).collect();
        assert!(all.iter().all(|name| ours::in_colons(&format!(":{name}:")).as_ref() == Some(name)), "{all:?}");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), odd.len());
    }

    #[test]
    fn there_is_an_end_of_them() {
        let mut emojis = Emojis::default();
        let all = (0..MOST + 1).map(|n| emojis.add(&format!("own_{n}"), Looks::Picture(None)));
        assert_eq!(all.filter(|added| *added == Err(Why::ManyOwn)).count(), 1);
        assert_eq!(emojis.add("own_1", Looks::Picture(None)), Ok(()));
        assert_eq!(emojis.add("two words", Looks::Picture(None)), Err(Why::NoName));
    }
}
