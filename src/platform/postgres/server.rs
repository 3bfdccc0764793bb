//! The process of the embedded PostgreSQL: a thread starts it, waits for its end and starts it again.
//! Invariant: it ends when Stoa ends, even when Stoa is killed.

use super::cluster::Cluster;
use crate::error::{Error, Result};
use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::{
    os::unix::process::CommandExt,
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Between an end that nobody asked for and the next start.
const PAUSE: Duration = Duration::from_millis(500);

/// What became of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// It ended by itself and said this.
    Failed(String),
    Stopped,
}

/// The process and whoever looks after it.
pub(super) struct Server {
    control: Arc<Control>,
    pub phase: watch::Receiver<Phase>,
}

#[derive(Default)]
struct Control {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    /// Set as long as the process is there, at least as a zombie: a signal never reaches somebody else.
    pid: Option<Pid>,
    stopping: bool,
}

impl Server {
    pub fn start(cluster: Arc<Cluster>, settings: Vec<(String, String)>) -> Result<Self> {
        let control = Arc::new(Control::default());
        let (sender, phase) = watch::channel(Phase::Running);
        let shared = control.clone();
        std::thread::Builder::new()
            .name("postgres".into())
            .stack_size(256 * 1024)
            .spawn(move || shared.supervise(&cluster, &settings, &sender))
            .map_err(Error::ours)?;
        Ok(Server { control, phase })
    }

    /// Asks for the end and sends `signal` if the process still runs: INT ends sessions and writes a checkpoint,
    /// QUIT does neither.
    pub fn end(&self, signal: Signal) {
        let mut state = self.control.state.lock();
        state.stopping = true;
        if let Some(pid) = state.pid {
            _ = kill_process(pid, signal);
        }
        self.control.woken.notify_all();
    }

    /// Waits for the end.
    pub async fn ended(&self) {
        // An error means that the thread is gone, and it goes last.
        _ = self.phase.clone().wait_for(|phase| *phase == Phase::Stopped).await;
    }
}

impl Control {
    fn supervise(&self, cluster: &Cluster, settings: &[(String, String)], phase: &watch::Sender<Phase>) {
        loop {
            let mut state = self.state.lock();
            if state.stopping {
                break;
            }
            let (child, from) = match spawn(cluster, settings) {
                Ok(child) => child,
                Err(fault) => {
                    phase.send_replace(Phase::Failed(fault.to_string()));
                    self.woken.wait_for(&mut state, PAUSE);
                    continue;
                }
            };
            state.pid = Pid::from_raw(child.id().cast_signed());
            drop(state);
            phase.send_replace(Phase::Running);
            self.wait(child);
            let said = cluster.said_since(from);
            let mut state = self.state.lock();
            if !state.stopping {
                phase.send_replace(Phase::Failed(said));
                self.woken.wait_for(&mut state, PAUSE);
            }
        }
        cluster.release();
        phase.send_replace(Phase::Stopped);
    }

    /// Until the end of the process; only then its number is given back, under the lock.
    fn wait(&self, mut child: Child) {
        if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
            while let Err(rustix::io::Errno::INTR) =
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            {}
        }
        let mut state = self.state.lock();
        _ = child.wait();
        state.pid = None;
    }
}

fn spawn(cluster: &Cluster, settings: &[(String, String)]) -> std::io::Result<(Child, u64)> {
    let (log, from) = cluster.open_log()?;
    let mut command = cluster.owner.command(&cluster.installation.program("postgres"));
    command.arg("-D").arg(&cluster.folder).current_dir(&cluster.folder);
    let socket = cluster.socket.display().to_string();
    let own = [
        ("listen_addresses", ""),
        ("port", "5432"),
        ("unix_socket_directories", &socket),
        ("unix_socket_permissions", "0700"),
    ];
    let given = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().chain(given) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // A group of its own: Ctrl-C in the terminal is for Stoa, which first finishes what it has begun.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    die_with_parent(&mut command);
    Ok((command.spawn()?, from))
}

/// When this thread ends, and so when Stoa is killed, PostgreSQL is told to stop.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "only between fork and exec can a child ask to be told when its parent dies")]
fn die_with_parent(command: &mut std::process::Command) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only two system calls are made, which allocate nothing and take no lock.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::INT))?;
            // Stoa may have been killed before the line above.
            match rustix::process::getppid() {
                Some(now) if now == parent => Ok(()),
                _ => Err(std::io::Error::other("stoa is gone")),
            }
        });
    }
}

/// Elsewhere the next Stoa finds it running and stops it.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut std::process::Command) {}
