//! Sign-in under attack: a flood from everywhere, and somebody with a clock. Invariant: the flood costs no memory to
//! speak of, other requests go on, who is known gets in; and the clock tells nothing about who has an account.
//!
//! Short by default; `STOA_PROOF=1` makes it 500 a second for 30 seconds, and 2 000 tries against the clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "words for whichever test needs them")]
#[path = "../faults/program.rs"]
mod program;

use futures_util::{StreamExt, stream};
use program::{Program, text};
use rand::RngExt;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{
    sync::Mutex,
    time::{interval, sleep_until},
};

/// One at a time: both look at the clock.
static ALONE: Mutex<()> = Mutex::const_new(());

const PASSWORD: &str = "nine purple otters juggle";
const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) {
    session { accessToken deviceToken } userErrors { code } } }";

fn whole() -> bool {
    std::env::var("STOA_PROOF").is_ok_and(|value| value != "0")
}

/// Signs in from an address, and a device or none: status, answer and how long it took.
async fn login(program: &Program, email: &str, password: &str, headers: &[(&str, &str)]) -> (u16, Value, Duration) {
    let began = Instant::now();
    let body = json!({ "query": LOGIN, "variables": { "input": { "email": email, "password": password } } });
    let request = headers.iter().fold(program.post(&body), |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"), began.elapsed())
}

/// Any address of the Internet, more or less.
fn anywhere() -> String {
    let [a, b, c, d]: [u8; 4] = rand::rng().random();
    format!("{}.{b}.{c}.{d}", a % 200 + 11)
}

/// How long an ordinary query takes, asked 50 times a second: the 99th percentile.
async fn ordinary(program: &Program, lasting: Duration) -> Duration {
    let query = "{ members(first: 10) { nodes { name email role } } }";
    let (end, mut pace) = (Instant::now() + lasting, interval(Duration::from_millis(20)));
    let mut times = Vec::new();
    while Instant::now() < end {
        pace.tick().await;
        let began = Instant::now();
        let (_, answer) = program.graphql(query, json!({})).await.expect("an answer");
        // Where other programs want both cores, the database may be too late.
        assert!(!whole() || answer["data"]["members"].is_object(), "{answer}");
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_sign_ins_is_in_nobodys_way() {
    let _alone = ALONE.lock().await;
    let (rate, lasting) = if whole() { (500, Duration::from_secs(30)) } else { (200, Duration::from_secs(3)) };
    // Addresses are what a proxy says they are, so that the flood comes from everywhere. The owner signs in so often on a
    // quiet machine that the session of the ordinary query would be the oldest, and end.
    let program =
        Program::start_with(&[("STOA_HTTP_TRUSTED_PROXIES", "127.0.0.1"), ("STOA_IDENTITY_MAX_SESSIONS", "1000")])
            .await;
    let (_, answer, _) = login(&program, "ada@example.com", PASSWORD, &[]).await;
    let device = text(&answer["data"]["login"]["session"], "deviceToken");
    let calm = ordinary(&program, lasting).await;
    let before = program.memory();

    let end = tokio::time::Instant::now() + lasting;
    let flood = async {
        let mut pace = interval(Duration::from_secs(1) / rate);
        let beats = stream::unfold(&mut pace, async |pace| {
            pace.tick().await;
            (tokio::time::Instant::now() < end).then_some(((), pace))
        });
        let tries = beats.map(async |()| {
            let guessed = rand::rng().random_range(0..4) == 0;
            let email = match guessed {
                true => "ada@example.com".to_owned(),
                false => format!("{}@example.com", rand::rng().random::<u64>()),
            };
            login(&program, &email, "wrong password", &[("x-forwarded-for", &anywhere())]).await.0
        });
        let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
        let mut tries = std::pin::pin!(tries.buffer_unordered(2000));
        while let Some(status) = tries.next().await {
            *answers.entry(status).or_default() += 1;
        }
        answers
    };
    let owner = async {
        let mut slowest = Duration::ZERO;
        while tokio::time::Instant::now() < end {
            sleep_until(tokio::time::Instant::now() + Duration::from_millis(500)).await;
            let (status, answer, took) =
                login(&program, "ada@example.com", PASSWORD, &[("stoa-device", &device)]).await;
            assert!(answer["data"]["login"]["session"].is_object(), "{status} {answer}");
            slowest = slowest.max(took);
        }
        slowest
    };
    let highest = async {
        let mut highest = before;
        while tokio::time::Instant::now() < end {
            sleep_until(tokio::time::Instant::now() + Duration::from_millis(100)).await;
            highest = highest.max(program.memory());
        }
        highest
    };
    let (answers, slowest, flooded, highest) = tokio::join!(flood, owner, ordinary(&program, lasting), highest);
    let grown = highest.saturating_sub(before) / 1024;
    println!(
        "{rate}/s for {lasting:?}: {answers:?}; a query {calm:?} -> {flooded:?} (p99); known device {slowest:?}; {grown} MiB"
    );
    assert!(answers.keys().all(|status| [200, 429].contains(status)), "{answers:?}");
    assert!(answers.contains_key(&429), "nobody was told to come back");
    assert!(grown < 200, "{grown} MiB");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    // Where something else runs beside, times say nothing; nor do those of a build without optimisation, for which the
    // refusals alone are as much as two cores can do.
    assert!(!whole() || cfg!(debug_assertions) || flooded < calm * 2, "{calm:?} -> {flooded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_does_not_tell_who_has_an_account() {
    let _alone = ALONE.lock().await;
    let tries = if whole() { 1000 } else { 40 };
    let program = Program::start_with(&[
        ("STOA_IDENTITY_SIGN_INS_PER_MINUTE", "1000000"),
        ("STOA_IDENTITY_MAX_FAILURES", "1000"),
    ])
    .await;
    let register = "mutation($input: RegisterInput!) { register(input: $input) { userErrors { code } } }";
    for n in 0..4 {
        let input = json!({ "email": format!("known{n}@example.com"), "password": PASSWORD, "fullName": "Ada",
            "organizationName": format!("Org {n}") });
        program.graphql(register, json!({ "input": input })).await.expect("an answer");
    }
    // Both kinds in turn, so that whatever else runs slows both.
    let times = stream::iter(0..tries * 2).map(async |n| {
        let kind = ["known", "unknown"][n % 2];
        let (status, answer, took) =
            login(&program, &format!("{kind}{}@example.com", n / 2 % 4), "wrong password", &[]).await;
        assert_eq!((status, &answer["data"]["login"]["userErrors"][0]["code"]), (200, &json!("INVALID")), "{answer}");
        (n % 2, took)
    });
    let times: Vec<(usize, Duration)> = times.buffer_unordered(2).collect().await;
    // Of few tries beside other programs only the fastest say something.
    let (place, apart) = if whole() { (tries / 2, 2) } else { (0, 20) };
    let [known, unknown] = [0, 1].map(|kind| {
        let mut times: Vec<_> = times.iter().filter(|(of, _)| *of == kind).map(|(_, took)| *took).collect();
        times.sort_unstable();
        times[place]
    });
    println!("{} tries: known {known:?}, unknown {unknown:?}", tries * 2);
    assert!(known.abs_diff(unknown) < Duration::from_millis(apart), "{known:?} {unknown:?}");
}
