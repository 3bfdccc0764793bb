//! The loads of messaging, beside what is promised of each:
//!
//! - S1: one message to a thousand sockets, each a subscriber of the conversation;
//! - S2: 64 write into one conversation; S3: 64 write into as many;
//! - S4: a burst to a thousand subscribers, and how soon after its commit one message is with all of them;
//! - S5: ten thousand sockets that wait, a subscription each; then all of them come back at once;
//! - S6: one in twenty subscribers reads nothing.

use super::{
    Arguments, middle, percentile,
    process::{Cpu, memory, raise_files},
    sockets::{self, Audience, Heard, ONE_SLOW_OF, SOCKETS, Sender, TALK, WORDS, listen, subscribe},
    told,
    world::{CONVERSATION, CONVERSATIONS, Database, Stoa, World, ask, digits},
};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Who write at once.
const WRITERS: u64 = 64;
/// The first of the conversations that they write into.
const ROOMS: u64 = 100;
/// Messages of each writer in a burst.
const BURST: u64 = 4;
/// How many sockets are opened at once.
const AT_ONCE: usize = 256;
/// Files that this process, and Stoa, have open beside sockets.
const OTHER_FILES: u64 = 500;

/// What is measured, and who takes part.
struct Stage<'a> {
    stoa: &'a Stoa,
    database: &'a Database,
    arguments: &'a Arguments,
    tokens: Vec<String>,
}

pub async fn measure(stoa: &Stoa, database: &Database, world: &World, arguments: &Arguments) {
    if !["S1", "S2", "S3", "S4", "S5", "S6"].into_iter().any(|name| arguments.wants(name)) {
        return;
    }
    sockets::begin();
    let tokens = [vec![world.token.clone()], world.members(&stoa.address).await].concat();
    let stage = Stage { stoa, database, arguments, tokens };
    if arguments.wants("S1") || arguments.wants("S4") {
        stage.fan_out().await;
    }
    if arguments.wants("S2") {
        stage.writers("S2", "64 write into one conversation", |_| ROOMS, 250.0).await;
    }
    if arguments.wants("S3") {
        stage.writers("S3", "64 write into 64 conversations", |writer| ROOMS + writer, 600.0).await;
    }
    if arguments.wants("S5") {
        stage.idle().await;
    }
    if arguments.wants("S6") {
        stage.slow().await;
    }
}

/// A value beside its target.
fn verdict(good: bool, target: &str) -> String {
    format!("(target {target} {})", if good { "ok" } else { "no" })
}

impl Stage<'_> {
    fn token(&self, number: u64) -> &str {
        &self.tokens[number as usize % self.tokens.len()]
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds)
    }

    fn cpu(&self) -> Cpu {
        Cpu::now(Some(self.stoa.pid()), self.database.postmaster)
    }

    async fn sender(&self, number: u64, talk: u64, words: &str) -> Sender {
        Sender::open(&self.stoa.address, self.token(number), talk, words).await
    }

    /// S1 and S4: the same thousand sockets.
    async fn fan_out(&self) {
        let (address, begin) = (&self.stoa.address, sockets::begin());
        let audience = Audience::gather(address, &self.tokens, false).await;
        let mut sender = self.sender(0, TALK, WORDS).await;
        if self.arguments.wants("S1") {
            println!("\nS1   one message to {SOCKETS} sockets of {} members", self.tokens.len());
            let mut alone = audience.one_by_one(&mut sender, 100, false, begin).await;
            println!(
                "     one at a time, from sending to arrival: p50 {:.2} ms, p99 {:.2} ms",
                percentile(&mut alone, 0.5),
                percentile(&mut alone, 0.99)
            );
            self.flood(&audience).await;
        }
        if self.arguments.wants("S4") {
            println!("\nS4   a burst of {} messages by {WRITERS} writers to {SOCKETS} sockets", WRITERS * BURST);
            let mut rates = Vec::new();
            for _ in 0..self.arguments.rounds {
                let mut senders = Vec::new();
                for number in 0..WRITERS {
                    senders.push(self.sender(number, TALK, WORDS).await);
                }
                let burst = audience.burst(senders, BURST).await;
                rates.push(burst.deliveries as f64 / burst.seconds);
            }
            let rate = middle(rates);
            println!(
                "     from the first sending to the last arrival: {rate:.0} deliveries/s {}",
                verdict(rate >= 150_000.0, "150000")
            );
            let mut times = audience.one_by_one(&mut sender, 200, true, begin).await;
            let (half, most) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
            println!(
                "     one message, from its acknowledgement to arrival: p50 {half:.2} ms, p99 {most:.2} ms {}",
                verdict(most < 10.0, "10")
            );
        }
    }

    async fn flood(&self, audience: &Audience) {
        let mut rates = Vec::new();
        let (mut total, mut cpu) = (0, Cpu::default());
        for _ in 0..self.arguments.rounds {
            let before = self.cpu();
            let flood = audience.flood(&self.stoa.address, self.token(0), self.seconds()).await;
            let spent = self.cpu().since(before);
            rates.push(flood.deliveries as f64 / flood.seconds);
            total += flood.deliveries;
            cpu.stoa += spent.stoa;
            cpu.postgres += spent.postgres;
            cpu.client += spent.client;
        }
        let (rate, each) = (middle(rates), cpu.per(total));
        println!(
            "     one after the other: {rate:.0} deliveries/s {}; CPU a delivery: stoa {:.1} + PostgreSQL {:.1} (client {:.1}) µs",
            verdict(rate >= 80_000.0, "80000"),
            each.stoa,
            each.postgres,
            each.client
        );
    }

    /// S2 and S3: each writer sends the next message when the one before is acknowledged.
    async fn writers(&self, name: &str, what: &str, room: impl Fn(u64) -> u64, target: f64) {
        let (mut rates, mut latencies) = (Vec::new(), Vec::new());
        let (mut total, mut cpu) = (0, Cpu::default());
        for _ in 0..self.arguments.rounds {
            let (before, mut writing) = (self.cpu(), JoinSet::new());
            let (begin, time) = (Instant::now(), self.seconds());
            for writer in 0..WRITERS {
                let mut sender = self.sender(writer, room(writer), WORDS).await;
                writing.spawn(async move {
                    let mut times = Vec::new();
                    while begin.elapsed() < time {
                        let sent = Instant::now();
                        sender.send().await;
                        times.push(sent.elapsed().as_micros() as u32);
                    }
                    times
                });
            }
            let times = writing.join_all().await.concat();
            let spent = self.cpu().since(before);
            rates.push(times.len() as f64 / begin.elapsed().as_secs_f64());
            total += times.len() as u64;
            latencies.extend(times);
            cpu.stoa += spent.stoa;
            cpu.postgres += spent.postgres;
            cpu.client += spent.client;
        }
        let (rate, each) = (middle(rates), cpu.per(total));
        let (half, most) = (percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99));
        println!("\n{name}   {what}");
        println!(
            "     {rate:.0} messages/s {}; p50 {half:.1} ms, p99 {most:.1} ms {}; CPU a message: stoa {:.0} + PostgreSQL {:.0} (client {:.0}) µs",
            verdict(rate >= target, &target.to_string()),
            verdict(most < 200.0, "200"),
            each.stoa,
            each.postgres,
            each.client
        );
    }

    /// S5: sockets over all conversations.
    async fn idle(&self) {
        let (count, files) = (self.arguments.sockets, raise_files());
        println!("\nS5   {count} sockets of {} members, each with a subscription", self.tokens.len());
        if files < count + OTHER_FILES {
            println!(
                "     not measured: a process may have {files} files open; raise it (ulimit -n {})",
                count + OTHER_FILES
            );
            return;
        }
        let cursors = self.cursors().await;
        // What the audience before has left behind is given back.
        sleep(Duration::from_secs(2)).await;
        let (before, heard) = (memory(self.stoa.pid()), Arc::new(Heard::default()));
        let listeners = self.come(count, None, &heard).await;
        sleep(Duration::from_secs(5)).await;
        let (after, cpu, begin) = (memory(self.stoa.pid()), self.cpu(), Instant::now());
        sleep(self.seconds().max(Duration::from_secs(10))).await;
        let spent = self.cpu().since(cpu).stoa / begin.elapsed().as_secs_f64() * 100.0;
        let mib = after.resident as f64 / 1024.0;
        println!(
            "     idle: {} {}; {:.1} KiB a socket {}; CPU {spent:.2} % of a core {}",
            told(after),
            verdict(mib < 250.0, "250"),
            after.resident.saturating_sub(before.resident) as f64 / count as f64,
            verdict(after.resident.saturating_sub(before.resident) as f64 <= 13.0 * count as f64, "13"),
            verdict(spent < 2.0, "2")
        );
        drop(listeners);
        // One message each, so that whoever is live again has heard it.
        for talk in 0..CONVERSATIONS.min(count) {
            self.sender(talk, talk, WORDS).await.send().await;
        }
        let (heard, begin) = (Arc::new(Heard::until(count)), Instant::now());
        let listeners = self.come(count, Some(&cursors), &heard).await;
        let all = timeout(Duration::from_secs(120), heard.wait(count)).await;
        let seconds = begin.elapsed().as_secs_f64();
        assert!(all.is_ok(), "not all are live again after {seconds:.0} s");
        println!(
            "     all come back, {AT_ONCE} at once: live again after {seconds:.1} s {}",
            verdict(seconds < 30.0, "30")
        );
        drop(listeners);
    }

    /// The cursor of each conversation.
    async fn cursors(&self) -> Vec<String> {
        let mut cursors = Vec::new();
        for talk in 0..CONVERSATIONS {
            let id = format!("{CONVERSATION}{}", digits(talk));
            let query = "query($id: ID!) { conversation(id: $id) { cursor } }";
            let answer = ask(&self.stoa.address, Some(self.token(0)), query, json!({ "id": id })).await;
            cursors.push(answer["data"]["conversation"]["cursor"].as_str().expect("a cursor").to_owned());
        }
        cursors
    }

    /// Opens so many sockets, some at once, behind these cursors or from now on.
    async fn come(&self, count: u64, cursors: Option<&[String]>, heard: &Arc<Heard>) -> JoinSet<()> {
        let (places, mut listeners, mut opening) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new(), JoinSet::new());
        for number in 0..count {
            let place = places.clone().acquire_owned().await.expect("it is never closed");
            let (address, token) = (self.stoa.address.clone(), self.token(number).to_owned());
            let talk = number % CONVERSATIONS;
            let after = cursors.map(|cursors| cursors[talk as usize].clone());
            opening.spawn(async move {
                let stream = subscribe(&address, &token, talk, after.as_deref(), false).await;
                drop(place);
                stream
            });
            while let Some(stream) = opening.try_join_next() {
                listeners.spawn(listen(stream.expect("a socket"), heard.clone(), None));
            }
        }
        for stream in opening.join_all().await {
            listeners.spawn(listen(stream, heard.clone(), None));
        }
        listeners
    }

    /// S6: with all reading and with some that read nothing, in turns.
    async fn slow(&self) {
        println!("\nS6   one message to {SOCKETS} sockets, of which one in {ONE_SLOW_OF} reads nothing");
        // So long that whoever does not read holds up the server soon.
        let words = "word ".repeat(800);
        let (mut calm, mut stalled) = (Vec::new(), Vec::new());
        for _ in 0..self.arguments.rounds {
            let audience = Audience::gather(&self.stoa.address, &self.tokens, true).await;
            let mut sender = self.sender(0, TALK, &words).await;
            for (slow, times) in [(false, &mut calm), (true, &mut stalled)] {
                audience.stall(slow);
                // Until their buffers are full, in the kernel and here.
                audience.one_by_one(&mut sender, 150, false, sockets::begin()).await;
                let mut some = audience.one_by_one(&mut sender, 150, false, sockets::begin()).await;
                times.push(percentile(&mut some, 0.99));
            }
        }
        let (calm, stalled) = (middle(calm), middle(stalled));
        println!(
            "     the others, from sending to arrival: p99 {calm:.2} ms with all reading, {stalled:.2} ms with some that do not {}",
            verdict(stalled <= calm * 1.1, "a tenth more")
        );
    }
}
