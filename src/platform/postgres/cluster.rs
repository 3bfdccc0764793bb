//! The files of the embedded PostgreSQL. Invariant: one Stoa at a time has a cluster, and a cluster is either
//! whole or not there.

use super::{EmbeddedOptions, binaries, binaries::Installation, user::Owner};
use crate::error::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

/// Chosen when the cluster is made; whoever wants others edits `postgresql.conf`. Sized for a server that
/// PostgreSQL shares with Stoa.
const SETTINGS: &str = "
# Chosen by Stoa when it made this cluster. Change what you like; Stoa itself sets only where to listen.
max_connections = 100
shared_buffers = 128MB
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 64MB
random_page_cost = 1.1
jit = off
max_wal_size = 1GB
checkpoint_timeout = 15min
log_checkpoints = off
log_min_messages = log
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
";

/// What PostgreSQL says is kept in one file up to this size and one older file.
const MAX_LOG: u64 = 10 * 1024 * 1024;

/// `sun_path` holds 104 bytes on macOS and 108 on Linux, with a NUL.
const MAX_SOCKET_PATH: usize = 103;

/// How long a PostgreSQL that a dead Stoa left behind may take to stop.
const LEFTOVER: Duration = Duration::from_secs(60);

/// A cluster that is ready to be started and that nobody else may start.
pub(super) struct Cluster {
    pub folder: PathBuf,
    pub owner: Owner,
    pub installation: Installation,
    /// The folder of the socket.
    pub socket: PathBuf,
    pub log: PathBuf,
    /// Exists until everything that `initdb` wrote is known to be on the disk.
    pub unsynced: PathBuf,
    /// Held as long as the cluster runs.
    lock: File,
}

impl Cluster {
    /// Finds or makes the cluster of a data folder. Blocks: up to a second when it is made.
    pub fn prepare(options: &EmbeddedOptions) -> Result<Self> {
        let data_dir = &options.data_dir;
        let at = |what: &str, path: &Path, fault: std::io::Error| {
            Error::ours(format!("cannot {what} {}: {fault}", path.display()))
        };
        fs::create_dir_all(data_dir).map_err(|fault| at("create", data_dir, fault))?;
        let data_dir = data_dir.canonicalize().map_err(|fault| at("open", data_dir, fault))?;
        let lock = lock(&data_dir)?;
        let owner = Owner::choose()?;
        let folder = data_dir.join("postgres");
        owner.can_reach(&folder)?;
        let made_by = fs::read_to_string(folder.join("PG_VERSION")).ok();
        let major = made_by.as_deref().and_then(|version| version.trim().parse().ok());
        let installation = binaries::find(options.binaries.as_deref(), major)?;
        owner.can_reach(&installation.program("postgres"))?;
        let unsynced = data_dir.join("postgres-unsynced");
        if made_by.is_some() {
            stop_leftover(&folder)?;
        } else if folder.exists() {
            return Err(Error::ours(format!("{} is not a PostgreSQL cluster; move it away", folder.display())));
        } else {
            File::create(&unsynced).map_err(|fault| at("create", &unsynced, fault))?;
            create(&folder, &data_dir.join("postgres-new"), &owner, &installation)?;
        }
        let socket = socket_folder(&folder, &owner)?;
        let log = data_dir.join("postgres.log");
        if fs::metadata(&log).is_ok_and(|file| file.len() > MAX_LOG) {
            fs::rename(&log, data_dir.join("postgres.log.1")).map_err(|fault| at("rename", &log, fault))?;
        }
        Ok(Cluster { folder, owner, installation, socket, log, unsynced, lock })
    }

    /// Where PostgreSQL's next words will go, and where they begin.
    pub fn open_log(&self) -> std::io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.log)?;
        let end = file.metadata()?.len();
        Ok((file, end))
    }

    /// What PostgreSQL has said since `from`, shortened.
    pub fn said_since(&self, from: u64) -> String {
        let mut said = Vec::new();
        if let Ok(mut file) = File::open(&self.log)
            && file.seek(SeekFrom::Start(from)).is_ok()
        {
            _ = file.take(4096).read_to_end(&mut said);
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    /// Lets the next one have it: PostgreSQL has ended.
    pub fn release(&self) {
        if self.socket != self.folder {
            _ = fs::remove_dir(&self.socket);
        }
        // Not left to the closing of the file: a process that is being forked has it, too, until it becomes another.
        _ = self.lock.unlock();
    }
}

/// One Stoa per data folder: the lock dies with the process, however it dies.
fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("postgres.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|fault| Error::ours(format!("cannot open {}: {fault}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            _ = (&mut file).take(20).read_to_string(&mut process);
            return Err(Error::ours(format!(
                "another stoa (process {}) already runs on {}: stop it, or choose another folder with STOA_DATA_DIR",
                process.trim(),
                data_dir.display()
            )));
        }
        Err(TryLockError::Error(fault)) => {
            return Err(Error::ours(format!("cannot lock {}: {fault}", path.display())));
        }
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|fault| Error::ours(format!("cannot write {}: {fault}", path.display())))?;
    Ok(file)
}

/// The folder of the socket and the port of the PostgreSQL that another Stoa, which lives, runs on this data folder.
pub(super) fn running(data_dir: &Path) -> Option<(PathBuf, String)> {
    let data_dir = data_dir.canonicalize().ok()?;
    let lock = File::open(data_dir.join("postgres.lock")).ok()?;
    if !matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    // Its lines: process, folder, time of start, port, folder of the socket (PostgreSQL, storage/pidfile.h).
    let folder = data_dir.join("postgres");
    let file = fs::read_to_string(folder.join("postmaster.pid")).ok()?;
    let mut lines = file.lines().map(str::trim);
    let pid = Pid::from_raw(lines.next()?.parse().ok()?)?;
    let (port, socket) = (lines.nth(2)?, lines.next()?);
    runs_on(pid, &folder).then(|| (PathBuf::from(socket), port.to_owned()))
}

/// Makes a cluster beside its place and moves it there when it is whole. Without waiting for the disk, which would
/// take longer than all else: nothing is in it yet, and what was written is flushed once PostgreSQL answers.
fn create(folder: &Path, new: &Path, owner: &Owner, installation: &Installation) -> Result<()> {
    let failed = |fault: std::io::Error| Error::ours(format!("cannot create the cluster {}: {fault}", new.display()));
    let mut said = String::new();
    for locale in locales(installation.major) {
        if new.exists() {
            fs::remove_dir_all(new).map_err(failed)?;
        }
        DirBuilder::new().mode(0o700).create(new).map_err(failed)?;
        owner.own(new).map_err(failed)?;
        // Whoever gets to the socket is let in: its folder lets in nobody but the owner.
        let made = owner
            .command(&installation.program("initdb"))
            .args(["--username=postgres", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8"])
            .args(["--no-sync", "--no-instructions", "--lc-messages=C"])
            .args(*locale)
            .arg("--pgdata")
            .arg(new)
            .current_dir(new)
            .stdin(Stdio::null())
            .output()
            .map_err(failed)?;
        if made.status.success() {
            let mut file = OpenOptions::new().append(true).open(new.join("postgresql.conf")).map_err(failed)?;
            file.write_all(SETTINGS.as_bytes()).map_err(failed)?;
            return fs::rename(new, folder).map_err(failed);
        }
        said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
    }
    _ = fs::remove_dir_all(new);
    Err(Error::ours(format!("initdb could not create the cluster: {said}")))
}

/// Text is ordered by code point and knows every script's letters, on every machine alike.
fn locales(major: u32) -> &'static [&'static [&'static str]] {
    const BUILTIN: &[&str] = &["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"];
    const LIBC: &[&str] = &["--locale=C.UTF-8"];
    const MACOS: &[&str] = &["--locale=C", "--lc-ctype=en_US.UTF-8"];
    match major {
        17.. => &[BUILTIN],
        _ => &[LIBC, MACOS, &["--locale=C"]],
    }
}

/// The cluster's own folder, private as it is; or, where that path is too long for a socket, one in `/tmp`.
fn socket_folder(folder: &Path, owner: &Owner) -> Result<PathBuf> {
    if folder.join(".s.PGSQL.65535").as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok(folder.to_owned());
    }
    let hash = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let short = PathBuf::from(format!("/tmp/stoa-{name}"));
    let failed = |fault: std::io::Error| Error::ours(format!("cannot create {}: {fault}", short.display()));
    match DirBuilder::new().mode(0o700).create(&short) {
        Ok(()) => owner.own(&short).map_err(failed)?,
        Err(fault) if fault.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(fault)),
        Err(_) => {
            // In /tmp somebody else may have been faster.
            let of = fs::symlink_metadata(&short).map_err(failed)?;
            if !of.is_dir() || of.uid() != owner.uid || of.mode() & 0o077 != 0 {
                return Err(Error::ours(format!("{} is not a private folder of ours; remove it", short.display())));
            }
        }
    }
    Ok(short)
}

/// Stops a PostgreSQL that runs on this cluster although its Stoa is dead (we hold the lock).
fn stop_leftover(folder: &Path) -> Result<()> {
    let file = folder.join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.lines().next().and_then(|line| line.trim().parse().ok()))
        .and_then(Pid::from_raw)
    else {
        return Ok(());
    };
    if !runs_on(pid, folder) {
        // After a reboot the number may belong to anybody; PostgreSQL would believe it is running.
        _ = fs::remove_file(&file);
        return Ok(());
    }
    tracing::info!("stopping the PostgreSQL that a Stoa which was killed has left running");
    let begin = Instant::now();
    _ = kill_process(pid, Signal::INT);
    let mut asked_twice = false;
    while runs_on(pid, folder) {
        if begin.elapsed() > LEFTOVER {
            return Err(Error::ours(format!("PostgreSQL (process {pid}) on {} does not stop", folder.display())));
        }
        if begin.elapsed() > LEFTOVER / 3 && !std::mem::replace(&mut asked_twice, true) {
            _ = kill_process(pid, Signal::QUIT);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether this process is the postmaster of this cluster: it works in the cluster's folder.
#[cfg(target_os = "linux")]
fn runs_on(pid: Pid, folder: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)
}

/// Whether this process is the postmaster of this cluster: it was started with the cluster's folder.
#[cfg(not(target_os = "linux"))]
fn runs_on(pid: Pid, folder: &Path) -> bool {
    let answer = std::process::Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).contains(&*folder.to_string_lossy()))
}
