//! The program as people run it: a process of its own, with a data folder and the PostgreSQL in it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long the program may take to start, with whatever it needs on the way back itself.
const START: Duration = Duration::from_secs(60);

/// Between two looks whether something has come about.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A text member of a value.
pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}")).to_owned()
}

/// A folder that PostgreSQL's user can get to, also when the tests run as root.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("stoa-faults-").tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    folder
}

/// Kills the PostgreSQL of a data folder.
pub fn kill_postgres(data_dir: &Path) {
    let file = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).expect("a running PostgreSQL");
    let pid = file.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    kill_process(pid.expect("a number"), Signal::KILL).expect("killed");
}

/// A running `stoa`, and somebody signed in to it.
pub struct Program {
    /// None: it was killed, and is not back yet.
    process: Mutex<Option<Child>>,
    data_dir: PathBuf,
    address: String,
    settings: Vec<(String, String)>,
    client: reqwest::Client,
    /// Whoever asks where nobody else is named.
    pub token: String,
    _folder: Option<TempDir>,
}

impl Program {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings, as environment variables.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = folder();
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut program = Self::launch(folder.path().to_owned(), settings);
        program._folder = Some(folder);
        program.found().await;
        program
    }

    /// On a folder of somebody else's, where nobody is signed in yet.
    pub fn launch(data_dir: PathBuf, settings: Vec<(String, String)>) -> Self {
        let taken = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
        let address = taken.expect("a port").to_string();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
        let process = Mutex::new(None);
        let program = Program { process, data_dir, address, settings, client, token: String::new(), _folder: None };
        program.restart();
        program
    }

    /// Founds the organization, whose owner asks from now on.
    pub async fn found(&mut self) {
        let register =
            "mutation { register(input: { email: \"ada@example.com\", password: \"nine purple otters juggle\",
            fullName: \"Ada\", organizationName: \"Faults\" }) { session { accessToken } userErrors { message } } }";
        let (_, answer) = self.graphql(register, json!({})).await.expect("an answer");
        self.token = text(&answer["data"]["register"]["session"], "accessToken");
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
        let id = self.process.lock().expect("a process").as_ref().expect("a running program").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a running program");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Status and answer; None: nobody answered.
    pub async fn graphql(&self, query: &str, variables: Value) -> Option<(u16, Value)> {
        self.graphql_as(&self.token, query, variables).await
    }

    /// As somebody else.
    pub async fn graphql_as(&self, token: &str, query: &str, variables: Value) -> Option<(u16, Value)> {
        let body = json!({ "query": query, "variables": variables });
        let mut request = self.post(&body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// A new group of its founder and others, and its cursor.
    pub async fn conversation(&self, others: &[String]) -> (String, String) {
        let query = "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) {
            conversation { id cursor } userErrors { message } } }";
        let input = json!({ "input": { "title": "Talk", "memberIds": others } });
        let (_, answer) = self.graphql(query, input).await.expect("an answer");
        let conversation = &answer["data"]["conversationCreate"]["conversation"];
        (text(conversation, "id"), text(conversation, "cursor"))
    }

    /// Kills the program without a word.
    pub fn kill(&self) {
        if let Some(mut process) = self.process.lock().expect("a process").take() {
            process.kill().expect("killed");
            process.wait().expect("gone");
        }
    }

    /// Starts it again on the same data, in the same place.
    pub fn restart(&self) {
        let process = tokio::task::block_in_place(|| self.spawn());
        *self.process.lock().expect("a process") = Some(process);
    }

    /// Kills PostgreSQL, which the program has started.
    pub fn kill_postgres(&self) {
        kill_postgres(&self.data_dir);
    }

    /// Starts the program and waits until it says that it answers. What it needs may be on its way back as well: then it
    /// is started again, as whoever runs it does.
    fn spawn(&self) -> Child {
        let began = Instant::now();
        let log = self.data_dir.join(format!("log-{}", self.address));
        loop {
            let mut command = Command::new(executable());
            command.args(["serve", "--listen", &self.address, "--data-dir"]).arg(&self.data_dir);
            command.stdin(Stdio::null()).stdout(Stdio::piped());
            command.stderr(fs::OpenOptions::new().create(true).append(true).open(&log).expect("a file"));
            let own = |name: &String| name.starts_with("STOA_") && name != "STOA_POSTGRES_BIN";
            for (name, _) in std::env::vars().filter(|(name, _)| own(name)) {
                command.env_remove(name);
            }
            command.env_remove("DATABASE_URL").env_remove("REDIS_URL");
            command.envs(self.settings.iter().map(|(name, value)| (name, value)));
            let mut process = command.spawn().expect("a program");
            let mut said = String::new();
            BufReader::new(process.stdout.take().expect("its output")).read_line(&mut said).expect("a line");
            if said.starts_with("Stoa answers on") {
                return process;
            }
            process.wait().expect("gone");
            let why = || fs::read_to_string(&log).unwrap_or_default();
            assert!(said.is_empty() && began.elapsed() < START, "{said}\n{}", why());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // As an operator stops it, so that PostgreSQL ends with it.
        if let Ok(Some(process)) = self.process.get_mut() {
            let pid = Pid::from_raw(process.id().cast_signed());
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            let _ = process.wait();
        }
    }
}

/// The program to try: `STOA_PROOF_PROGRAM`, such as a build with optimisation, or the one of these tests.
fn executable() -> PathBuf {
    std::env::var_os("STOA_PROOF_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_stoa").into(), PathBuf::from)
}
