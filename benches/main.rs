//! `make bench`: what Stoa costs, beside what PostgreSQL alone would do, in one run. A Stoa of the bench's own with
//! its own PostgreSQL (fsync on) is filled with rows; then operations are sent to Stoa and their statement to pgbench,
//! in turns, so that whatever else the machine does hits both. Load generator, server and PostgreSQL share the machine.
//!
//! `make bench ARGS="--only Q2 --seconds 10 --rounds 5 --keep /tmp/bench"`: one operation, longer rounds, and the
//! rows kept for the next run. S1 to S6 are what `messaging` says; `--sockets` is how many are idle in S5.

mod http;
mod messaging;
mod operations;
mod pgbench;
mod process;
mod sockets;
mod world;

use http::{Connection, Load, request};
use operations::Operation;
use process::{Cpu, machine, memory};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use world::{Database, Stoa, World, ask};

struct Arguments {
    /// The program to measure.
    stoa: PathBuf,
    only: Option<String>,
    seconds: u64,
    rounds: usize,
    connections: u64,
    /// Open and idle at once in S5.
    sockets: u64,
    keep: Option<PathBuf>,
}

impl Arguments {
    fn read() -> Self {
        let mut arguments = Arguments {
            stoa: "target/release/stoa".into(),
            only: None,
            seconds: 4,
            rounds: 3,
            connections: 16,
            sockets: 10_000,
            keep: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{word} needs a number"));
            match word.as_str() {
                "--stoa" => arguments.stoa = value.into(),
                "--only" => arguments.only = Some(value.to_uppercase()),
                "--seconds" => arguments.seconds = number().max(1),
                "--rounds" => arguments.rounds = number().max(1) as usize,
                "--connections" => arguments.connections = number().max(1),
                "--sockets" => arguments.sockets = number().max(1),
                "--keep" => arguments.keep = Some(value.into()),
                _ => {
                    panic!("there is no {word}: --stoa, --only, --seconds, --rounds, --connections, --sockets, --keep")
                }
            }
        }
        arguments
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == name)
    }
}

/// One thread: the generator is to leave the others alone.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::read();
    println!("{}\n", machine());
    process::raise_files();
    if arguments.wants("START") {
        starts(&arguments.stoa);
    }
    let temporary = world::folder();
    let data_dir = arguments.keep.clone().unwrap_or_else(|| temporary.path().join("data"));
    let stoa = Stoa::start(&arguments.stoa, &data_dir, false);
    let database = Database::of(&data_dir).await;
    let world = World::found(&stoa.address, &database).await;
    world.fill(&database, 0.01).await;
    let small = flatness(&stoa, &world, "leads(first: 50)", &[None]).await[0];
    let begin = Instant::now();
    world.fill(&database, 1.0).await;
    println!("rows filled in {:.0} s", begin.elapsed().as_secs_f64());
    let operations: Vec<_> = operations::ALL.iter().filter(|operation| arguments.wants(operation.name)).collect();
    if !operations.is_empty() {
        println!(
            "\n{:<4} {:>9} {:>8} {:>8} {:>9} {:>8} {:>8} {:>6} {:>7}   CPU a request: stoa + PostgreSQL (client) | PostgreSQL alone (pgbench)",
            "", "stoa/s", "p50 ms", "p99 ms", "pgbench/s", "p50 ms", "p99 ms", "ratio", "target"
        );
    }
    for operation in operations {
        compare(operation, &arguments, &stoa, &database, &world, temporary.path()).await;
    }
    println!("\nmemory of stoa after this: {}", told(memory(stoa.pid())));
    messaging::measure(&stoa, &database, &world, &arguments).await;
    if arguments.wants("PAGES") {
        pages(&stoa, &world, small).await;
    }
    stoa.stop();
}

fn told(memory: process::Memory) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    format!("{:.1} MiB resident, of which {:.1} MiB its own", mib(memory.resident), mib(memory.anonymous))
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The value below which that part of the sample lies, in milliseconds.
fn percentile(sample: &mut [u32], part: f64) -> f64 {
    sample.sort_unstable();
    let at = ((sample.len() as f64 * part) as usize).min(sample.len().saturating_sub(1));
    sample.get(at).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
}

/// How long it takes until a fresh Stoa with demo data answers, and until a later one does; and what it holds idle.
fn starts(program: &Path) {
    let folder = world::folder();
    let data_dir = folder.path().join("data");
    let mut later = Vec::new();
    for number in 0..4 {
        let stoa = Stoa::start(program, &data_dir, true);
        let (ready, own) = (stoa.ready.as_secs_f64(), (stoa.ready.saturating_sub(stoa.database)).as_secs_f64());
        if number == 0 {
            println!("first start, with cluster, migrations and demo data: {ready:.2} s");
        } else {
            later.push((ready, own));
        }
        if number == 3 {
            std::thread::sleep(Duration::from_secs(2));
            println!("idle: {}", told(memory(stoa.pid())));
        }
        stoa.stop();
    }
    let (ready, own) = later.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
    println!("later start: {:.2} s, of which {:.0} ms after the database", middle(ready), middle(own) * 1000.0);
}

#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    latencies: Vec<u32>,
    cpu: Cpu,
    requests: u64,
}

impl Side {
    fn add(&mut self, load: Load, cpu: Cpu) {
        self.rates.push(load.requests as f64 / load.seconds);
        self.latencies.extend(load.latencies);
        self.requests += load.requests;
        self.cpu.stoa += cpu.stoa;
        self.cpu.postgres += cpu.postgres;
        self.cpu.client += cpu.client;
    }
}

/// Stoa, pgbench, Stoa, pgbench …: a line of the table.
async fn compare(
    operation: &Operation,
    arguments: &Arguments,
    stoa: &Stoa,
    database: &Database,
    world: &World,
    folder: &Path,
) {
    let time = Duration::from_secs(arguments.seconds);
    let scripts = folder.join("pgbench");
    std::fs::create_dir_all(&scripts).expect("a folder");
    http::load(&stoa.address, &world.token, operation, arguments.connections, Duration::from_millis(700)).await;
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    let mut ratios = Vec::new();
    for _ in 0..arguments.rounds {
        let before = Cpu::now(Some(stoa.pid()), database.postmaster);
        let load = http::load(&stoa.address, &world.token, operation, arguments.connections, time).await;
        let between = Cpu::now(Some(stoa.pid()), database.postmaster);
        ours.add(load, between.since(before));
        let load = pgbench::load(database, world, operation, arguments.connections, time, &scripts).await;
        theirs.add(load, Cpu::now(Some(stoa.pid()), database.postmaster).since(between));
        ratios.extend(ours.rates.last().zip(theirs.rates.last()).map(|(ours, theirs)| ours / theirs));
    }
    let ratio = middle(ratios);
    let (own, alone) = (ours.cpu.per(ours.requests), theirs.cpu.per(theirs.requests));
    println!(
        "{:<4} {:>9.0} {:>8.2} {:>8.2} {:>9.0} {:>8.2} {:>8.2} {:>6.2} {:>7}   {:.0} + {:.0} ({:.0}) µs | {:.0} ({:.0}) µs   {}",
        operation.name,
        middle(ours.rates.clone()),
        percentile(&mut ours.latencies, 0.5),
        percentile(&mut ours.latencies, 0.99),
        middle(theirs.rates.clone()),
        percentile(&mut theirs.latencies, 0.5),
        percentile(&mut theirs.latencies, 0.99),
        ratio,
        format!("{}{}", operation.target, if ratio >= operation.target { " ok" } else { " no" }),
        own.stoa,
        own.postgres,
        own.client,
        alone.postgres,
        alone.client,
        operation.what,
    );
}

/// The time of a list's page at each of the cursors, in milliseconds: medians of requests sent in turns.
async fn flatness(stoa: &Stoa, world: &World, list: &str, cursors: &[Option<String>]) -> Vec<f64> {
    let mut connection = Connection::open(&stoa.address).await;
    let mut times = vec![Vec::new(); cursors.len()];
    for round in 0..300 {
        for (cursor, times) in cursors.iter().zip(&mut times) {
            let query = format!(
                "query($after: String) {{ {} {{ nodes {{ id lastName status }} }} }}",
                list.replace(')', ", after: $after)")
            );
            let body = json!({ "query": query, "variables": { "after": cursor } }).to_string();
            let request = request(Some(&world.token), &body);
            let begin = Instant::now();
            connection.exchange(&request).await;
            // The first ones prepare statements on the connections of the pool.
            if round >= 50 {
                times.push(begin.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    times.into_iter().map(middle).collect()
}

/// Whether a page costs the same however deep it lies and however large the table is.
async fn pages(stoa: &Stoa, world: &World, small: f64) {
    let query = "query($after: String) { leads(first: 100, after: $after) { pageInfo { endCursor } } }";
    let mut cursor = None;
    // 999 pages of fifty.
    for _ in 0..999 / 2 {
        let answer = ask(&stoa.address, Some(&world.token), query, json!({ "after": cursor })).await;
        cursor = answer["data"]["leads"]["pageInfo"]["endCursor"].as_str().map(str::to_owned);
    }
    let times = flatness(stoa, world, "leads(first: 50)", &[None, cursor]).await;
    println!("\npages of 50 leads, one request at a time: page 1 {:.2} ms, page 1000 {:.2} ms", times[0], times[1]);
    println!("page 1 of {} leads {small:.2} ms, of {} leads {:.2} ms", world::LEADS / 100, world::LEADS, times[0]);
}
