//! A Redis of a test's own, where the machine has one; it ends with the test, or with its process.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub struct Redis {
    folder: tempfile::TempDir,
    program: &'static str,
    /// A shell that kills the server when it has nothing to read any more.
    shell: Option<Child>,
}

impl Redis {
    /// None, and a line that says so: this machine has none.
    pub fn start() -> Option<Self> {
        let found = ["redis-server", "valkey-server"].into_iter().find(|name| {
            Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        });
        let Some(program) = found else {
            // Past what the test harness keeps of tests that pass.
            let _ = writeln!(io::stderr(), "SKIPPED: there is no redis-server here; scripts/redis gets one");
            return None;
        };
        let mut redis = Redis { folder: tempfile::tempdir().expect("a folder"), program, shell: None };
        redis.begin();
        Some(redis)
    }

    /// Starts it where it was killed, with nothing in it.
    pub fn begin(&mut self) {
        let socket = self.socket();
        let script = r#"program=$1 socket=$2; "$program" --port 0 --unixsocket "$socket" --save '' --appendonly no &
            read -r _; kill -9 $!; wait; rm -f "$socket""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", self.program]).arg(&socket).stdin(Stdio::piped()).stdout(Stdio::null());
        self.shell = Some(shell.spawn().expect("a shell"));
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "Redis does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Kills it, lets something be done meanwhile, and starts another one in its place.
    pub async fn replaced(&mut self, meanwhile: impl Future) {
        self.end();
        meanwhile.await;
        self.begin();
    }

    /// Kills it.
    pub fn end(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}
