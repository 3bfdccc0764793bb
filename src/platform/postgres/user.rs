//! Who runs PostgreSQL: whoever runs Stoa, or, because PostgreSQL refuses root, somebody with no rights.

use crate::error::{Error, Result};
use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::Command,
};

/// The user that a cluster belongs to.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub uid: u32,
    /// Set when it is not whom Stoa runs as.
    other: Option<Other>,
}

#[derive(Clone, Debug)]
struct Other {
    name: &'static str,
    gid: u32,
}

impl Owner {
    /// Us, or as root `postgres`, or `nobody`.
    pub fn choose() -> Result<Self> {
        let me = rustix::process::geteuid();
        if !me.is_root() {
            return Ok(Owner { uid: me.as_raw(), other: None });
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                let mut fields =
                    users.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
                let uid = number(fields.nth(2)?)?;
                let gid = number(fields.next()?)?;
                (uid != 0).then_some(Owner { uid, other: Some(Other { name, gid }) })
            })
            .ok_or_else(|| {
                Error::ours(
                    "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run \
                     it. Start Stoa as another user, or give it a running PostgreSQL with DATABASE_URL.",
                )
            })
    }

    /// Lets a command run as this user, without the settings of libpq's environment and with messages in English.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        if let Some(other) = &self.other {
            command.uid(self.uid).gid(other.gid);
        }
        command
    }

    /// Hands a file or folder over.
    pub fn own(&self, path: &Path) -> std::io::Result<()> {
        match &self.other {
            Some(other) => std::os::unix::fs::chown(path, Some(self.uid), Some(other.gid)),
            None => Ok(()),
        }
    }

    /// Whether this user can get to `path`; the error names the folder that is in the way.
    pub fn can_reach(&self, path: &Path) -> Result<()> {
        let Some(other) = &self.other else { return Ok(()) };
        let closed = path.ancestors().skip(1).filter(|folder| {
            folder.metadata().is_ok_and(|of| {
                let bit = match (of.uid() == self.uid, of.gid() == other.gid) {
                    (true, _) => 0o100,
                    (_, true) => 0o010,
                    _ => 0o001,
                };
                of.mode() & bit == 0
            })
        });
        match closed.last() {
            None => Ok(()),
            Some(folder) => Err(Error::ours(format!(
                "PostgreSQL does not run as root; Stoa runs it as {}, who may not enter {} on the way to {}. Choose \
                 another folder (STOA_DATA_DIR, such as /var/lib/stoa) or start Stoa as another user.",
                other.name,
                folder.display(),
                path.display()
            ))),
        }
    }
}

/// Ids as `/etc/passwd` has them; macOS writes nobody's as -2.
fn number(text: &str) -> Option<u32> {
    let id: i64 = text.parse().ok()?;
    u32::try_from(id).ok().or_else(|| i32::try_from(id).ok().map(i32::cast_unsigned))
}
