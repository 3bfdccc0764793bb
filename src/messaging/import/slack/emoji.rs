//! The team's own emoji. Slack's export has none of them; where somebody has put them beside it they are a folder of pictures,
//! `emoji/party_parrot.png`, and a list of names as Slack's API answers it and tools keep it, `emoji.json`. Invariant: what in the
//! package looks like these and is not is left alone.

use crate::{
    error::{Error, Result},
    messaging::import::{
        own::{Emojis, Looks},
        package::Package,
        report::Report,
    },
};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// Where the pictures lie. A channel may be called so: its days are no pictures.
const FOLDERS: [&str; 2] = ["emoji/", "emojis/"];
const PICTURES: [&str; 5] = ["png", "gif", "jpg", "jpeg", "webp"];
const LISTS: [&str; 5] = ["emoji.json", "emojis.json", "index.json", "emoji/index.json", "emojis/index.json"];

/// The answer of `emoji.list` or `emoji.adminList`, or what is in it.
#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Answer { emoji: Named },
    Bare(Named),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    ByName(BTreeMap<String, Entry>),
    InRows(Vec<Row>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    /// `https://…`, or `alias:name`.
    Url(String),
    Row(Row),
}

#[derive(Deserialize)]
struct Row {
    name: Option<String>,
    url: String,
    alias_for: Option<String>,
    aliases: Option<Vec<String>>,
}

/// Takes up what there is of them; answers the files in which it was.
pub fn read(
    package: &mut Package,
    (root, names): (&str, &[String]),
    emojis: &mut Emojis,
    report: &mut Report,
) -> Result<HashSet<String>> {
    let mut read = HashSet::new();
    let mut add = |name: &str, looks| {
        if let Err(why) = emojis.add(name, looks) {
            report.leave_at(why, name);
        }
    };
    // Pictures first: what a list says of one that has a picture is where it was.
    for path in names {
        if let Some(name) = path.strip_prefix(root).and_then(pictured) {
            add(name, Looks::Picture(Some(path.clone())));
            read.insert(path.clone());
        }
    }
    for list in LISTS {
        let path = format!("{root}{list}");
        if !package.has(&path) {
            continue;
        }
        if let Some(listed) = listed(&package.json(&path)?, &path)? {
            listed.into_iter().for_each(|(name, looks)| add(&name, looks));
            read.insert(path);
        }
    }
    Ok(read)
}

/// The name of the emoji whose picture this file is.
fn pictured(path: &str) -> Option<&str> {
    let file = FOLDERS.iter().find_map(|folder| path.strip_prefix(folder))?;
    let (name, end) = file.rsplit_once('.')?;
    let picture = PICTURES.iter().any(|known| known.eq_ignore_ascii_case(end));
    (picture && !name.contains('/')).then_some(name)
}

/// What a list names; None: it is one of something else.
fn listed(content: &[u8], file: &str) -> Result<Option<Vec<(String, Looks)>>> {
    match serde_json::from_slice::<List>(content) {
        Ok(List::Answer { emoji: named } | List::Bare(named)) => Ok(named.looks()),
        Err(why) if why.is_data() => Ok(None),
        Err(why) => Err(Error::bad_input(format!(
            "{file}, line {}: this is not JSON. The export is damaged; nothing was imported.",
            why.line()
        ))),
    }
}

impl Named {
    fn looks(self) -> Option<Vec<(String, Looks)>> {
        let mut all = Vec::new();
        match self {
            Named::ByName(entries) => {
                for (name, entry) in entries {
                    match entry {
                        Entry::Url(url) => all.push((name, looks(&url)?)),
                        Entry::Row(row) => row.add(Some(name), &mut all)?,
                    }
                }
            }
            Named::InRows(rows) => rows.into_iter().try_for_each(|row| row.add(None, &mut all))?,
        }
        Some(all)
    }
}

impl Row {
    fn add(self, called: Option<String>, all: &mut Vec<(String, Looks)>) -> Option<()> {
        let name = self.name.or(called)?;
        let shown = match self.alias_for.filter(|other| !other.is_empty()) {
            Some(other) => Looks::As(other),
            None => looks(&self.url)?,
        };
        all.extend(self.aliases.into_iter().flatten().map(|alias| (alias, Looks::As(name.clone()))));
        all.push((name, shown));
        Some(())
    }
}

fn looks(url: &str) -> Option<Looks> {
    match url.strip_prefix("alias:") {
        Some(other) => Some(Looks::As(other.to_owned())),
        None => (url.starts_with("https://") || url.starts_with("http://")).then_some(Looks::Picture(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(content: &str) -> Option<Vec<String>> {
        let listed = listed(content.as_bytes(), "emoji.json").unwrap();
        listed.map(|all| {
            let shown = |looks| match looks {
                Looks::As(other) => other,
                Looks::Picture(_) => "-".to_owned(),
            };
            all.into_iter().map(|(name, looks)| format!("{name} {}", shown(looks))).collect()
        })
    }

    #[test]
    fn a_list_is_read_as_slack_and_tools_write_it() {
        let both = vec!["bird parrot".to_owned(), "parrot -".to_owned()];
        for content in [
            r#"{ "bird": "alias:parrot", "parrot": "https://emoji.slack-edge.com/T1/parrot/1.gif" }"#,
            r#"{ "ok": true, "emoji": { "bird": "alias:parrot", "parrot": "https://a.b/1.gif" }, "cache_ts": "1" }"#,
            r#"{ "ok": true, "emoji": [{ "name": "bird", "url": "https://a.b/1.gif", "is_alias": 1, "alias_for": "parrot" },
                { "name": "parrot", "url": "https://a.b/1.gif", "is_alias": 0, "alias_for": "" }] }"#,
            r#"{ "parrot": { "name": "parrot", "url": "https://a.b/1.gif", "team": "T1", "aliases": ["bird"] } }"#,
        ] {
            assert_eq!(told(content), Some(both.clone()), "{content}");
        }
        // An emoji may be called as the field is.
        assert_eq!(told(r#"{ "emoji": "https://a.b/1.gif" }"#), Some(vec!["emoji -".to_owned()]));
        for other in ["1", "[1]", r#"{ "version": "7" }"#, r#"{ "a": "https://a.b", "b": "c" }"#, r#"[{ "id": 7 }]"#] {
            assert_eq!(told(other), None, "{other}");
        }
        for damaged in ["", "{", "{ \"a\": \"https://a.b\", }", "hello"] {
            assert!(listed(damaged.as_bytes(), "emoji.json").is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_picture_lies_in_the_folder_itself() {
        for (path, name) in [("emoji/party.parrot.PNG", "party.parrot"), ("emojis/größe.gif", "größe")] {
            assert_eq!(pictured(path), Some(name));
        }
        for other in ["emoji/2024-01-01.json", "emoji/a/b.png", "emoji.png", "x/emoji/a.png", "emoji/png"] {
            assert_eq!(pictured(other), None, "{other}");
        }
    }
}
