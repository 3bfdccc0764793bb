//! Messages on their way from an export to the database, in the order in which they were written. Exports have them by day, by
//! thread or by nothing at all; numbers are given by time. Invariant: memory is that of an index, some 24 bytes a message; what
//! they say lies in a file without a name, which goes with the process.

use super::model::{Post, Time};
use crate::error::{Error, Result};
use chrono::DateTime;
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::Path,
};

/// Messages of one export at most.
const MOST: usize = 20_000_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    place: u32,
    at: i64,
    offset: u64,
}

/// Takes messages in any order.
pub struct Spool {
    file: BufWriter<File>,
    index: Vec<Entry>,
    end: u64,
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::ours(format!("messages cannot be kept in a file on their way: {why}"))
}

impl Spool {
    /// In this folder, which has room for what the export says.
    pub fn begin(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(broken)?;
        Ok(Spool { file: BufWriter::new(file), index: Vec::new(), end: 0 })
    }

    pub fn add(&mut self, post: &Post) -> Result<()> {
        if self.index.len() >= MOST {
            return Err(Error::bad_input(format!("An export has at most {MOST} messages. Import it in parts.")));
        }
        // A line each: JSON has no line breaks in it.
        let mut line = serde_json::to_vec(post)?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(broken)?;
        self.index.push(Entry { place: post.place, at: post.at.timestamp_micros(), offset: self.end });
        self.end += line.len() as u64;
        Ok(())
    }

    pub fn sorted(self) -> Result<Sorted> {
        let file = self.file.into_inner().map_err(broken)?;
        let mut index = self.index;
        index.sort_unstable();
        Ok(Sorted { file: BufReader::new(file), index, next: 0, twins: HashMap::new(), twins_at: None })
    }
}

/// Gives messages back, by place and time.
pub struct Sorted {
    file: BufReader<File>,
    index: Vec<Entry>,
    next: usize,
    /// What messages of the same place and time were called, and how many were.
    twins: HashMap<String, usize>,
    twins_at: Option<(u32, Time)>,
}

/// A message, and whether the export has it twice.
pub struct Next {
    pub post: Post,
    pub twin: usize,
}

impl Sorted {
    /// When the next message of this place was written; None: there is none.
    pub fn time_of(&self, place: u32) -> Option<Time> {
        let entry = self.index.get(self.next).filter(|entry| entry.place == place)?;
        DateTime::from_timestamp_micros(entry.at)
    }

    /// The next message of this place; `twin`: how many of the same name and time came before. None: that was all.
    pub fn next_of(&mut self, place: u32) -> Result<Option<Next>> {
        let Some(entry) = self.index.get(self.next).filter(|entry| entry.place == place) else { return Ok(None) };
        self.file.seek(SeekFrom::Start(entry.offset)).map_err(broken)?;
        let mut line = Vec::new();
        self.file.read_until(b'\n', &mut line).map_err(broken)?;
        self.next += 1;
        let post: Post = serde_json::from_slice(&line)?;
        if self.twins_at != Some((place, post.at)) {
            self.twins.clear();
            self.twins_at = Some((place, post.at));
        }
        let named = self.twins.entry(post.key.clone()).or_default();
        let twin = *named;
        *named += 1;
        Ok(Some(Next { post, twin }))
    }
}
