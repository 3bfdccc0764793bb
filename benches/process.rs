//! What the machine says of a process: the time it has computed and the memory it holds. From `/proc`, so Linux only.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{fs, process::Command};

/// `USER_HZ`: the unit of times in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// Time computed so far, in seconds, of everything that takes part.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub stoa: f64,
    pub postgres: f64,
    /// The load generator: this process, or pgbench.
    pub client: f64,
}

impl Cpu {
    /// Of Stoa, of a postmaster with its backends (those that have ended among them), and of this process and its own.
    pub fn now(stoa: Option<u32>, postmaster: u32) -> Self {
        let backends = processes().filter(|process| process.parent == postmaster).map(|process| process.own);
        let whole = |pid| Process::read(pid).map_or(0.0, |process| process.own + process.ended);
        Cpu {
            stoa: stoa.and_then(Process::read).map_or(0.0, |process| process.own),
            postgres: whole(postmaster) + backends.sum::<f64>(),
            client: whole(std::process::id()),
        }
    }

    pub fn since(self, before: Cpu) -> Self {
        Cpu {
            stoa: self.stoa - before.stoa,
            postgres: self.postgres - before.postgres,
            client: self.client - before.client,
        }
    }

    /// Per one of `count`, in microseconds.
    pub fn per(self, count: u64) -> Self {
        let each = |seconds: f64| seconds * 1e6 / (count.max(1) as f64);
        Cpu { stoa: each(self.stoa), postgres: each(self.postgres), client: each(self.client) }
    }
}

struct Process {
    parent: u32,
    /// Computed by the process itself.
    own: f64,
    /// Computed by its children that have ended.
    ended: f64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
        Some(Process {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            ended: ticks(13)? + ticks(14)?,
        })
    }
}

fn processes() -> impl Iterator<Item = Process> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| Process::read(name.to_str()?.parse().ok()?))
}

/// Memory of a process in KiB.
#[derive(Clone, Copy)]
pub struct Memory {
    /// All of it that is in RAM, the program's own code among it.
    pub resident: u64,
    /// What is the process's own: without the pages of its file.
    pub anonymous: u64,
}

pub fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    Memory { resident: of("VmRSS:"), anonymous: of("RssAnon:") }
}

/// What this was measured on.
pub fn machine() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|it| it.1);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let version = Command::new("pgbench").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{cores} × {}; {}; load before: {}",
        model.unwrap_or("processor"),
        String::from_utf8_lossy(&version).trim(),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}

/// Lets this process, and Stoa after it, have as many sockets open as the machine allows; the number.
pub fn raise_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Refused: then it stays as it is.
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
