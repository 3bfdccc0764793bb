//! Where PostgreSQL is installed. Invariant: what is returned has answered with its version.

use crate::error::{Error, Result};
use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The oldest major version that Stoa runs on.
const OLDEST: u32 = 14;

/// Folders of packages, `*` for one name.
const USUAL: [&str; 9] = [
    ".postgres/*/bin",
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/usr/local/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// One installed PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Installation {
    pub major: u32,
    minor: u32,
    /// The folder of `postgres` and `initdb`.
    pub bin: PathBuf,
}

impl std::fmt::Display for Installation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{} in {}", self.major, self.minor, self.bin.display())
    }
}

impl Installation {
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn at(folder: &Path) -> Option<Self> {
        // Followed to its end: PostgreSQL finds its other files beside the real one.
        let postgres = folder.join("postgres").canonicalize().ok()?;
        let bin = postgres.parent()?.to_owned();
        if !bin.join("initdb").exists() {
            return None;
        }
        let answer = Command::new(&postgres).arg("--version").output().ok()?;
        let (major, minor) = version(std::str::from_utf8(&answer.stdout).ok()?)?;
        Some(Installation { major, minor, bin })
    }
}

/// The newest installation, or the newest of one major version: a cluster can only be run by its own. `given` (or
/// else `STOA_POSTGRES_BIN`) is the folder to look in and nowhere else.
pub(super) fn find(given: Option<&Path>, major: Option<u32>) -> Result<Installation> {
    let named = || env::var_os("STOA_POSTGRES_BIN").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let given = given.map(Path::to_owned).or_else(named);
    let installed = match &given {
        Some(folder) => search([folder.clone()]),
        None => {
            let path = env::var_os("PATH").unwrap_or_default();
            search(env::split_paths(&path).chain(USUAL.iter().flat_map(|pattern| expand(pattern))))
        }
    };
    let fits = |one: &&Installation| major.map_or(one.major >= OLDEST, |major| one.major == major);
    if let Some(newest) = installed.iter().rfind(fits) {
        return Ok(newest.clone());
    }
    // Last, because Debian's takes longer than all else here.
    let asked = if given.is_none() { search(pg_config()) } else { BTreeSet::new() };
    if let Some(newest) = asked.iter().rfind(fits) {
        return Ok(newest.clone());
    }
    let wanted = major.map_or("14 or newer".to_owned(), |major| major.to_string());
    Err(Error::ours(match given {
        Some(folder) => format!("no PostgreSQL {wanted} in {} (STOA_POSTGRES_BIN)", folder.display()),
        None => format!(
            "PostgreSQL {wanted} was not found. Install it ({}), name its folder in STOA_POSTGRES_BIN, or give \
             Stoa a running one with DATABASE_URL.",
            install_command(major)
        ),
    }))
}

fn search(folders: impl IntoIterator<Item = PathBuf>) -> BTreeSet<Installation> {
    let real: BTreeSet<_> = folders
        .into_iter()
        .filter_map(|folder| Some(folder.join("postgres").canonicalize().ok()?.parent()?.to_owned()))
        .collect();
    real.iter().filter_map(|folder| Installation::at(folder)).collect()
}

fn pg_config() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(std::str::from_utf8(&answer.stdout).ok()?.trim()))
}

/// The folders that a pattern with at most one `*` stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    // What lies in the folder that one happens to be in is run only if it is one's own.
    let ours = |folder: fs::Metadata| folder.uid() == 0 || folder.uid() == rustix::process::geteuid().as_raw();
    if !pattern.starts_with('/') && !fs::metadata(parent).is_ok_and(ours) {
        return Vec::new();
    }
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

/// `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`: 15 and 13.
fn version(line: &str) -> Option<(u32, u32)> {
    let number = line.split(' ').nth(2)?.trim();
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    Some((parts.next()?.parse().ok()?, parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

fn install_command(major: Option<u32>) -> String {
    let suffix = |separator: &str| major.map(|major| format!("{separator}{major}")).unwrap_or_default();
    if cfg!(target_os = "macos") {
        format!("brew install postgresql@{}", major.unwrap_or(18))
    } else if Path::new("/etc/alpine-release").exists() {
        format!("apk add postgresql{}-contrib", suffix(""))
    } else if Path::new("/etc/redhat-release").exists() {
        "dnf install postgresql-server postgresql-contrib".to_owned()
    } else if Path::new("/etc/arch-release").exists() {
        "pacman -S postgresql".to_owned()
    } else {
        format!("apt install postgresql{}", suffix("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some((15, 13)));
        assert_eq!(version("postgres (PostgreSQL) 18beta2\n"), Some((18, 2)));
        assert_eq!(version("bash: no such file"), None);
    }

    #[test]
    fn a_folder_without_postgresql_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let fault = format!("{:?}", find(Some(folder.path()), None).unwrap_err());
        assert!(fault.contains(folder.path().to_str().unwrap()), "{fault}");
    }

    #[test]
    fn patterns_are_expanded() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("pgsql-16/bin")).unwrap();
        let pattern = format!("{}/pgsql-*/bin", folder.path().display());
        assert_eq!(expand(&pattern), [folder.path().join("pgsql-16/bin")]);
        assert_eq!(expand("/nowhere/*/bin"), Vec::<PathBuf>::new());
    }
}
