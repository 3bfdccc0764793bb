//! The program as people run it: a process of its own, with a data folder and the PostgreSQL in it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};
use tempfile::TempDir;

/// Between two looks whether something has come about.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A text member of a value.
pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_owned()
}

/// A running `stoa`, and somebody signed in to it.
pub struct Program {
    process: Mutex<Child>,
    folder: TempDir,
    address: String,
    settings: &'static [(&'static str, &'static str)],
    client: reqwest::Client,
    pub token: String,
}

impl Program {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings, as environment variables.
    pub async fn start_with(settings: &'static [(&'static str, &'static str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("stoa-faults-").tempdir().expect("a folder");
        // PostgreSQL's user has to get there when the tests run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).expect("a port").to_string();
        let process = Mutex::new(launch_in(folder.path(), &address, settings));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
        let mut program = Program { process, folder, address, settings, client, token: String::new() };
        let register =
            "mutation { register(input: { email: \"ada@example.com\", password: \"nine purple otters juggle\",
            fullName: \"Ada\", organizationName: \"Faults\" }) { session { accessToken } userErrors { message } } }";
        let (_, answer) = program.graphql(register, json!({})).await.expect("an answer");
        program.token = answer["data"]["register"]["session"]["accessToken"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned();
        program
    }

    pub fn ws_url(&self) -> String {
        format!("ws://{}/graphql", self.address)
    }

    /// A request of a stranger.
    pub fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}/graphql", self.address)).json(body)
    }

    /// Resident memory in KiB; what PostgreSQL takes is not counted.
    pub fn memory(&self) -> u64 {
        let id = self.process.lock().expect("a process").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a running program");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Status and answer; None: nobody answered.
    pub async fn graphql(&self, query: &str, variables: Value) -> Option<(u16, Value)> {
        let body = json!({ "query": query, "variables": variables });
        let mut request = self.post(&body);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// A new group and its cursor.
    pub async fn conversation(&self) -> (String, String) {
        let query = "mutation { conversationCreate(input: { title: \"Talk\" }) { conversation { id cursor } } }";
        let (_, answer) = self.graphql(query, json!({})).await.expect("an answer");
        let conversation = &answer["data"]["conversationCreate"]["conversation"];
        (text(conversation, "id"), text(conversation, "cursor"))
    }

    /// Kills the program without a word, and starts it again on the same data.
    pub async fn kill_and_restart(&self) {
        let (folder, address) = (self.folder.path().to_owned(), self.address.clone());
        let mut process = self.process.lock().expect("a process");
        process.kill().expect("killed");
        process.wait().expect("gone");
        *process = tokio::task::block_in_place(|| launch_in(&folder, &address, self.settings));
    }

    /// Kills PostgreSQL, which the program has started.
    pub fn kill_postgres(&self) {
        let file =
            fs::read_to_string(self.folder.path().join("postgres/postmaster.pid")).expect("a running PostgreSQL");
        let pid =
            file.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw).expect("a number");
        kill_process(pid, Signal::KILL).expect("killed");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // As an operator stops it, so that PostgreSQL ends with it.
        if let Ok(mut process) = self.process.lock() {
            let pid = Pid::from_raw(process.id().cast_signed());
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            let _ = process.wait();
        }
    }
}

/// Starts the program and waits until it says that it answers.
fn launch_in(folder: &Path, address: &str, settings: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
    command.args(["serve", "--listen", address, "--data-dir"]).arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a file"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STOA_") && name != "STOA_POSTGRES_BIN") {
        command.env_remove(name);
    }
    command.envs(settings.iter().copied());
    let mut process = command.env_remove("DATABASE_URL").env_remove("REDIS_URL").spawn().expect("a program");
    let mut said = String::new();
    BufReader::new(process.stdout.take().expect("its output")).read_line(&mut said).expect("a line");
    let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert!(said.starts_with("Stoa answers on"), "{said}\n{}", log());
    process
}
