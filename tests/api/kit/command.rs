//! The binary beside a server that runs, on the same database.

use super::Server;
use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Runs `stoa` with these arguments and a data directory of its own; its exit code, and all that it said.
pub async fn stoa(server: &Server, arguments: &[&str], stdin: &str) -> (i32, String) {
    run(server, arguments, server.app.config.data_dir.join("cli"), stdin).await
}

/// As `stoa`, with the server's own data directory: what is stored as a file the server has.
pub async fn stoa_with_files(server: &Server, arguments: &[&str]) -> (i32, String) {
    run(server, arguments, server.app.config.data_dir.clone(), "").await
}

async fn run(server: &Server, arguments: &[&str], data_dir: PathBuf, stdin: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoa"));
    command.args(arguments).args(["--log", "warn", "--data-dir"]).arg(data_dir);
    command.env("DATABASE_URL", &server.database).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let stdin = stdin.to_owned();
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("the binary");
        // Whoever refuses the arguments does not read.
        _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
        child.wait_with_output().expect("an end")
    });
    let ended = ended.await.expect("an end");
    let said = String::from_utf8(ended.stdout).expect("UTF-8") + &String::from_utf8(ended.stderr).expect("UTF-8");
    (ended.status.code().expect("a code"), said)
}
