//! What PostgreSQL alone can do: pgbench with prepared statements over the cluster's socket, as the role that Stoa's
//! requests run as.

use super::{
    http::Load,
    operations::Operation,
    world::{Database, World},
};
use std::{fs, path::Path, time::Duration};
use tokio::process::Command;

/// One in so many transactions is written down with its time: enough for percentiles, and nearly free.
const SAMPLE: &str = "0.2";

pub async fn load(
    database: &Database,
    world: &World,
    operation: &Operation,
    connections: u64,
    time: Duration,
    folder: &Path,
) -> Load {
    let script = folder.join(format!("{}.sql", operation.name));
    fs::write(&script, operation.script(world)).expect("a script");
    let log = folder.join("transactions");
    let (clients, seconds) = (connections.to_string(), time.as_secs().max(1).to_string());
    let output = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1", "--client", &clients, "--time", &seconds])
        .args(["--log", "--sampling-rate", SAMPLE, "--log-prefix"])
        .arg(&log)
        .arg("--file")
        .arg(&script)
        .arg("--host")
        .arg(&database.socket)
        .args(["--username=postgres", "stoa"])
        .env("PGOPTIONS", format!("-c role=stoa_request -c stoa.organization={}", world.organization))
        .kill_on_drop(true)
        .output()
        .await
        .expect("pgbench is installed");
    database.settle().await;
    // Its backends end after it: their time counts once the postmaster has seen them end.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !fault.contains("ERROR"), "pgbench: {fault}");
    let number = |before: &str| {
        let rest = said.split(before).nth(1).unwrap_or_else(|| panic!("pgbench says {said}"));
        let digits: String = rest.trim_start().chars().take_while(|it| it.is_ascii_digit() || *it == '.').collect();
        digits.parse::<f64>().expect("a number")
    };
    let requests = number("number of transactions actually processed:");
    let mut latencies = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with("transactions") {
            let text = fs::read_to_string(entry.path()).expect("a log");
            // client, number, microseconds, script, …
            latencies.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u32>().ok()));
            fs::remove_file(entry.path()).expect("a log removed");
        }
    }
    Load { requests: requests as u64, seconds: requests / number("tps ="), latencies }
}
