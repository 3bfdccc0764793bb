//! Keys in files. Invariant: a key is only ever written to a file of this user, whole or not at all, and one that is
//! there is replaced only by whoever means to.

use crate::error::{Error, Result};
use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// What is in the file; `None`: there is none.
pub fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(Error::ours(format!("cannot read the key {}: {why}", path.display()))),
    }
}

/// Writes a key where none is. Of two processes that do so at once one is first, and that key is there for both.
pub fn write_new(path: &Path, text: &str) -> Result<()> {
    write(path, text, |draft| match fs::hard_link(draft, path) {
        Err(other) if other.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    })
}

/// Writes a key in the place of another.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    write(path, text, |draft| fs::rename(draft, path))
}

/// It is written beside its place and put there as a whole, so that nobody reads half a key.
fn write(path: &Path, text: &str, put: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let draft = path.with_extension(format!("{}.draft", uuid::Uuid::new_v4()));
    let written = (|| {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        put(&draft)
    })();
    // Whatever happened: the draft is of no use any more, and there may be none.
    let _ = fs::remove_file(&draft);
    written.map_err(|why| Error::ours(format!("cannot write the key {}: {why}", path.display())))
}
