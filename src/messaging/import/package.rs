//! The zip in which an export comes. Invariants: nothing of it is ever written under a name of its own; what does not look like
//! an export (names that climb out, links, passwords, what inflates beyond all measure) is refused before anything is written;
//! memory is that of its list of names and of one JSON file.

use super::{directory::Directory, model::Source};
use crate::error::{Error, Result};
use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};
use zip::{ZipArchive, read::ZipFile, result::ZipError};

/// Files in a package at most, and bytes that the list of them takes.
const MOST_ENTRIES: u64 = 1_000_000;
const MOST_LISTED: u64 = 256 << 20;
/// Bytes of a file of JSON that is read as a whole, at most: a day of a channel, or all people.
pub const MOST_JSON: u64 = 64 << 20;
/// Bytes that all that is read of a package may inflate to.
const MOST_INFLATED: u64 = 256 << 30;
/// How many times as large as it is packed a file may be; of what is small this is not asked. Text is some 20 times as large.
const MOST_RATIO: u64 = 200;
const SMALL: u64 = 8 << 20;

pub struct Package {
    zip: ZipArchive<BufReader<File>>,
    /// What it is called, for faults.
    file: String,
    /// Where those stand whose names are not UTF-8 and are taken for the letters of old systems.
    odd: HashMap<String, usize>,
    inflated: u64,
}

impl Package {
    /// Opens a package and looks at all names in it.
    pub fn open(path: &Path, source: Source) -> Result<Self> {
        let shown = path.display();
        let unreadable = |why: io::Error| Error::bad_input(format!("{shown} cannot be read: {why}."));
        let no_zip = || {
            Error::bad_input(format!(
                "{shown} is not a zip file, or it is damaged. Give the file as {} has made it.",
                source.name()
            ))
        };
        let mut file = File::open(path).map_err(unreadable)?;
        // Before anything of it is kept in memory.
        let listed = Directory::of(&mut file).map_err(unreadable)?.ok_or_else(no_zip)?;
        if listed.files > MOST_ENTRIES || listed.bytes > MOST_LISTED {
            let most =
                format!("has more than {MOST_ENTRIES} files in it, or more than {MOST_LISTED} bytes of their names");
            return Err(refused(&shown, most));
        }
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|why| match why {
            ZipError::Io(why) if why.kind() != io::ErrorKind::UnexpectedEof => unreadable(why),
            _ => no_zip(),
        })?;
        let mut package = Package { zip, file: shown.to_string(), odd: HashMap::new(), inflated: 0 };
        package.odd = package.judge()?;
        Ok(package)
    }

    /// Which names are odd, when all is well.
    fn judge(&self) -> Result<HashMap<String, usize>> {
        let mut odd = HashMap::new();
        for index in 0..self.zip.len() {
            let entry = self.zip.by_index_data(index).map_err(|_| self.refused("is damaged".to_owned()))?;
            let name = entry.name().map_err(|_| self.refused("has a name in it that is not UTF-8".to_owned()))?;
            let shown: String = name.escape_debug().take(200).collect();
            if name.contains(char::is_control) {
                return Err(self.refused(format!("has a name in it that nobody can read: {shown}")));
            }
            if climbs(&name) {
                return Err(self.refused(format!("has a file in it whose name leads out of the package: {shown}")));
            }
            if entry.is_symlink() {
                return Err(self.refused(format!("has a symbolic link in it: {shown}")));
            }
            if entry.encrypted() {
                return Err(self.refused(format!("is locked with a password: {shown}. Unpack it and pack it without")));
            }
            if entry.name_raw() != name.as_bytes() {
                odd.insert(name.into_owned(), index);
            }
        }
        Ok(odd)
    }

    fn refused(&self, why: String) -> Error {
        refused(&self.file, why)
    }

    /// The files in it, without what systems add when they pack.
    pub fn names(&self) -> Vec<String> {
        let named = self.zip.file_names().filter_map(|name| Some(name.ok()?.into_owned()));
        named
            .filter(|name| !name.ends_with('/') && !name.contains("__MACOSX/") && !name.ends_with(".DS_Store"))
            .collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.index(name).is_some()
    }

    /// The name here of a file that the export names, as it is or below `data/`; None: it is not in the package.
    pub fn find(&self, path: &str) -> Option<String> {
        [path.to_owned(), format!("data/{path}")].into_iter().find(|name| self.has(name))
    }

    /// Asked for each of many files, most of them under a name that is none: `ZipArchive::index_for_name` would look through all.
    fn index(&self, name: &str) -> Option<usize> {
        self.zip.index_for_name_raw(name.as_bytes()).or_else(|| self.odd.get(name).copied())
    }

    /// How large a file says it is.
    pub fn size(&self, name: &str) -> Result<u64> {
        let index = self.index(name);
        let entry = index.and_then(|index| self.zip.by_index_data(index).ok());
        entry
            .map(|entry| entry.size())
            .ok_or_else(|| Error::bad_input(format!("{} has no file {name} in it.", self.file)))
    }

    /// A file of JSON.
    pub fn json(&mut self, name: &str) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut entry = self.entry(name, MOST_JSON)?;
        let read = entry.read_to_end(&mut content);
        read.map_err(|why| Error::bad_input(format!("{name} cannot be unpacked: {why}. Nothing was imported.")))?;
        Ok(content)
    }

    /// A file, to be read in pieces; more than `most` bytes are a fault.
    pub fn entry(&mut self, name: &str, most: u64) -> Result<Entry<'_>> {
        let index = self.index(name);
        let missing = || Error::bad_input(format!("{} has no file {name} in it.", self.file));
        let index = index.ok_or_else(missing)?;
        let unpacked = |why: ZipError| Error::bad_input(format!("{name} cannot be unpacked: {why}."));
        let entry = self.zip.by_index(index).map_err(unpacked)?;
        let packed = entry.compressed_size();
        Ok(Entry { entry, packed, read: 0, most, all: &mut self.inflated })
    }
}

fn refused(file: &impl fmt::Display, why: String) -> Error {
    Error::bad_input(format!("{file} {why}. Nothing was imported."))
}

/// Whether a name could lead to somewhere else, on any system.
fn climbs(name: &str) -> bool {
    let drive = name.as_bytes().get(1) == Some(&b':');
    name.starts_with('/') || name.contains('\\') || drive || name.split('/').any(|part| part == "..")
}

/// A file of a package on its way. What it says of its size is not believed.
pub struct Entry<'a> {
    entry: ZipFile<'a, BufReader<File>>,
    packed: u64,
    read: u64,
    most: u64,
    all: &'a mut u64,
}

impl Read for Entry<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.entry.read(into)?;
        self.read += count as u64;
        *self.all += count as u64;
        let fault = |why: String| Err(io::Error::other(why));
        if self.read > self.most {
            return fault(format!("it has more than {} bytes", self.most));
        }
        if self.read > SMALL && self.read / MOST_RATIO > self.packed {
            return fault(format!("it inflates to more than {MOST_RATIO} times its size, as no export does"));
        }
        if *self.all > MOST_INFLATED {
            return fault(format!("the whole package inflates to more than {MOST_INFLATED} bytes"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::climbs;

    #[test]
    fn a_name_stays_within() {
        for name in ["users.json", "general/2024-01-02.json", "data/20240102/a..b/c.png", "C024/…"] {
            assert!(!climbs(name), "{name}");
        }
        for name in ["/etc/passwd", "../x", "a/../../x", "a/..", "C:/x", "a\\..\\x"] {
            assert!(climbs(name), "{name}");
        }
    }
}
