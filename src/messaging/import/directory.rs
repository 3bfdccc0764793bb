//! The end of a zip, where it says how many files it has and where its list of them stands. Invariant: whatever reads that list keeps
//! no more in memory than is said here. Only the plain end is taken that programs write: of any other a reader may come to believe
//! another record than this one. (PKWARE's APPNOTE.TXT, 4.3.14 to 4.3.16.)

use std::io::{self, Read, Seek, SeekFrom};

const HEADER: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
/// Two more records stand before the end of a zip with more files than 16 bits can count, or more bytes than 32.
const LARGE_END: &[u8] = b"PK\x06\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";
/// Bytes of each, without names and comments.
const HEADER_BYTES: u64 = 46;
const END_BYTES: usize = 22;
const LARGE_END_BYTES: usize = 56;
const LOCATOR_BYTES: usize = 20;
/// Bytes of all that may stand behind the list.
const MOST_BEHIND: u64 = (LARGE_END_BYTES + LOCATOR_BYTES + END_BYTES + u16::MAX as usize) as u64;

/// The list of the files in a zip, as the zip describes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Directory {
    pub files: u64,
    pub bytes: u64,
    begins: u64,
}

impl Directory {
    /// None: this is no zip, or none that ends as it should.
    pub fn of(zip: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let length = zip.seek(SeekFrom::End(0))?;
        let begins = zip.seek(SeekFrom::Start(length.saturating_sub(MOST_BEHIND)))?;
        let mut tail = Vec::new();
        zip.by_ref().take(MOST_BEHIND).read_to_end(&mut tail)?;
        let Some(directory) = said(&tail, begins) else { return Ok(None) };
        zip.seek(SeekFrom::Start(directory.begins))?;
        let mut first = Vec::new();
        zip.by_ref().take(HEADER.len() as u64).read_to_end(&mut first)?;
        Ok((directory.files == 0 || first == HEADER).then_some(directory))
    }

    /// Whether it reaches to that place, and has room for its files.
    fn reaches(&self, end: u64) -> bool {
        self.begins.checked_add(self.bytes) == Some(end) && self.files.saturating_mul(HEADER_BYTES) <= self.bytes
    }
}

/// What the last bytes of a zip say, of which the first stands at that place.
fn said(tail: &[u8], place: u64) -> Option<Directory> {
    let at = tail.windows(END.len()).rposition(|four| four == END)?;
    let (before, end) = tail.split_at_checked(at)?;
    if end.len() as u64 != END_BYTES as u64 + number(end, 20, 2)? {
        return None;
    }
    let small = Directory { files: number(end, 8, 2)?, bytes: number(end, 12, 4)?, begins: number(end, 16, 4)? };
    let full = small.files == u64::from(u16::MAX) || small.bytes.max(small.begins) == u64::from(u32::MAX);
    let locator = before.len().checked_sub(LOCATOR_BYTES).and_then(|at| before.split_at_checked(at));
    let Some((before, locator)) = locator.filter(|(_, locator)| locator.starts_with(LOCATOR)) else {
        let whole = number(end, 4, 4)? == 0 && number(end, 10, 2)? == small.files;
        return (whole && small.reaches(place + at as u64)).then_some(small);
    };
    let at = before.len().checked_sub(LARGE_END_BYTES)?;
    let (end, place) = (before.get(at..)?, place + at as u64);
    let large = Directory { files: number(end, 32, 8)?, bytes: number(end, 40, 8)?, begins: number(end, 48, 8)? };
    let found = end.starts_with(LARGE_END) && number(end, 4, 8)? == 44 && number(locator, 8, 8)? == place;
    // Of one volume, not of several.
    let whole = number(end, 16, 8)? == 0
        && number(end, 24, 8)? == large.files
        && number(locator, 4, 4)? == 0
        && number(locator, 16, 4)? <= 1;
    // Some programs write it where it is not needed: a reader then looks for the list, or else for another end.
    let sure = full || large == small && !before.windows(END.len()).any(|four| four == END);
    (found && whole && sure && large.reaches(place)).then_some(large)
}

/// The number of so many bytes at that place of a record, the least byte first.
fn number(record: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = record.get(at..)?.get(..bytes)?;
    Some(bytes.iter().rfold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};
    use zip::{ZipWriter, write::SimpleFileOptions};

    fn of(zip: &[u8]) -> Option<Directory> {
        Directory::of(&mut Cursor::new(zip)).unwrap()
    }

    /// The end of a list of that many files and bytes.
    fn end(files: u16, bytes: u32, begins: u32) -> Vec<u8> {
        let numbers = [&files.to_le_bytes()[..], &files.to_le_bytes(), &bytes.to_le_bytes(), &begins.to_le_bytes()];
        [END, &[0; 4], &numbers.concat(), &[0; 2]].concat()
    }

    /// What stands before the end, of a list from the beginning on; the locator leads to that place.
    fn large(files: u64, bytes: u64, place: u64) -> Vec<u8> {
        let numbers = [files, files, bytes, 0].map(u64::to_le_bytes).concat();
        let large = [LARGE_END, &44_u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8], &numbers].concat();
        let locator = [LOCATOR, &[0; 4], &place.to_le_bytes(), &[1, 0, 0, 0]].concat();
        [large, locator].concat()
    }

    #[test]
    fn what_programs_write_says_how_long_its_list_is() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        assert_eq!(of(&zip.finish().unwrap().into_inner()).map(|directory| directory.files), Some(0));
        zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["users.json", "general/2024-01-01.json"] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(b"[]").unwrap();
        }
        zip.set_comment("from there").unwrap();
        let zip = zip.finish().unwrap().into_inner();
        let directory = of(&zip).unwrap();
        assert!(directory.files == 2 && (92..500).contains(&directory.bytes), "{directory:?}");
        let (header, full) = ([HEADER, &[0; 42]].concat(), end(u16::MAX, u32::MAX, u32::MAX));
        for end in [&full, &end(1, 46, 0)] {
            let zip = [&header[..], &large(1, 46, 46), end].concat();
            assert_eq!(of(&zip), Some(Directory { files: 1, bytes: 46, begins: 0 }));
            assert_eq!(of(&[&b"#!"[..], &zip].concat()), None, "something before it");
        }
        for cut in 1..zip.len() {
            assert_eq!(of(&zip[..cut]), None, "{cut}");
        }
        for wrong in [
            Vec::new(),
            b"hello".to_vec(),
            // Something behind it; another end in its comment, or before it where a reader may look for one.
            [&zip[..], b"\n"].concat(),
            [&header[..], &end(1, 46, 0), &end(0, 0, 0)].concat(),
            [&header[..], &end(1, 46, 0), &large(1, 68, 68), &end(1, 68, 0)].concat(),
            // More files than there is room for, no file where the first should be, a locator that leads elsewhere, two counts.
            [&header[..], &end(2, 46, 0)].concat(),
            [&[0; 46][..], &end(1, 46, 0)].concat(),
            [&header[..], &large(2, 46, 46), &full].concat(),
            [&header[..], &large(1, 46, 0), &full].concat(),
            [&header[..], &header, &large(2, 92, 92), &end(1, 92, 0)].concat(),
        ] {
            assert_eq!(of(&wrong), None, "{wrong:?}");
        }
    }
}
