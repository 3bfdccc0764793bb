//! Limits in memory and in Redis, by the same tests where these need no clock of their own.

use super::{memory::SETS, memory::WAYS, *};
use crate::platform::nodes;
use redis::Redis;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};
use tokio::time::{Instant, sleep};

#[path = "../../../tests/api/kit/redis.rs"]
#[allow(dead_code, reason = "the tests of the API use more of it")]
mod redis;

const SECOND: u64 = 1_000_000_000;
const LOCK: Duration = Duration::from_secs(900);

fn key(key: &str) -> Key<'_> {
    Key { kind: "test", key }
}

fn retry_after<T>(result: Result<T>) -> u64 {
    let Err(Error::Yours(refusal)) = result else { panic!("let through") };
    assert_eq!(refusal.code, Code::RateLimited);
    refusal.extensions.iter().find(|(name, _)| *name == "retryAfter").and_then(|(_, v)| v.as_u64()).unwrap()
}

/// What comes about soon.
async fn soon<T>(what: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = what().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "did not come to be");
        sleep(Duration::from_millis(5)).await;
    }
}

fn node(redis: &Redis, secret: &[u8], wait: Duration) -> Throttle {
    let redis = nodes::Redis::new(&redis.url(), "test").unwrap();
    Throttle::shared(redis, secret, wait).unwrap()
}

/// Where a busy machine may take its time.
const PATIENT: Duration = Duration::from_secs(10);

async fn a_bucket_gives_its_burst_and_then_its_rate(throttle: Throttle) {
    let take = async |key| throttle.take("test", key, 3, 6).await;
    for _ in 0..3 {
        take("a").await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(retry_after(take("a").await), 10, "a refusal costs nothing");
    }
    take("b").await.expect("another key has its own bucket");
    throttle.take("other", "a", 3, 6).await.expect("so has another kind");
    let quick = async || throttle.take("test", "quick", 1, 300).await;
    quick().await.unwrap();
    let (began, mut given) = (Instant::now(), 0);
    while given < 5 {
        given += u32::from(quick().await.is_ok());
        sleep(Duration::from_millis(2)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(950), "one each 200 ms: {:?}", began.elapsed());
    for extreme in [0, u32::MAX] {
        throttle.take("extreme", &extreme.to_string(), extreme, extreme).await.unwrap();
    }
}

async fn failures_delay_and_then_lock(throttle: Throttle) {
    let attempt = async || throttle.attempt("test", "a@example.com", 4, LOCK).await;
    for _ in 0..3 {
        attempt().await.unwrap().failed();
    }
    assert_eq!(retry_after(attempt().await), 2);
    let last = soon(async || attempt().await.ok()).await;
    last.failed();
    assert!(retry_after(attempt().await) > 890);
    throttle.forgive("test", "a@example.com");
    soon(async || attempt().await.ok()).await.failed();
    attempt().await.expect("the count began anew").failed();
}

async fn a_lock_ends_and_the_count_begins_anew(throttle: Throttle) {
    let attempt = async || throttle.attempt("test", "a", 1, Duration::from_millis(300)).await;
    attempt().await.unwrap().failed();
    assert_eq!(retry_after(attempt().await), 1);
    soon(async || attempt().await.ok()).await.failed();
    retry_after(attempt().await);
}

async fn success_forgives_and_no_verdict_uncounts(throttle: Throttle) {
    let attempt = async || throttle.attempt("test", "a", 2, LOCK).await;
    for _ in 0..20 {
        drop(soon(async || attempt().await.ok()).await);
    }
    soon(async || attempt().await.ok()).await.failed();
    soon(async || attempt().await.ok()).await.succeeded();
    soon(async || attempt().await.ok()).await.failed();
}

async fn attempts_at_once_count_before_they_are_judged(throttle: Throttle) {
    let attempts = (0..50).map(|_| throttle.attempt("test", "a", 1, LOCK));
    let attempts = futures_util::future::join_all(attempts).await;
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
}

macro_rules! both {
    ($($name:ident),+) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Throttle::new()).await;
            })+
        }
        mod in_redis {
            $(#[tokio::test]
            async fn $name() {
                if let Some(redis) = super::Redis::start() {
                    super::$name(super::node(&redis, b"secret", super::PATIENT)).await;
                }
            })+
        }
    };
}

both!(
    a_bucket_gives_its_burst_and_then_its_rate,
    failures_delay_and_then_lock,
    a_lock_ends_and_the_count_begins_anew,
    success_forgives_and_no_verdict_uncounts,
    attempts_at_once_count_before_they_are_judged
);

#[tokio::test]
async fn nodes_count_together_under_names_that_tell_nothing_and_fade() {
    let Some(redis) = Redis::start() else { return };
    let [one, two, stranger] = [&b"secret"[..], b"secret", b"another"].map(|secret| node(&redis, secret, PATIENT));
    for node in [&one, &two, &one] {
        node.take("sign-in", "192.0.2.7", 3, 1).await.unwrap();
        node.attempt("password", "ada@example.com", 3, LOCK).await.map(Attempt::failed).ok();
    }
    for node in [&one, &two] {
        retry_after(node.take("sign-in", "192.0.2.7", 3, 1).await);
        retry_after(node.attempt("password", "ada@example.com", 3, LOCK).await);
        node.take_here("sign-in", "192.0.2.7", 1, 1).expect("what is counted here is not what is shared");
    }
    stranger.take("sign-in", "192.0.2.7", 3, 1).await.expect("of another installation");
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let names: Vec<String> = ::redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(names.len(), 3);
    for name in names {
        let hash = name.strip_prefix("test:limit:").expect("a name of ours");
        assert!(hash.len() == 22 && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{name}");
        let millis: i64 = ::redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
        assert!((1..=900_000).contains(&millis), "{name} stays {millis} ms");
    }
}

#[tokio::test]
async fn a_node_counts_alone_while_redis_is_away() {
    let Some(mut redis) = Redis::start() else { return };
    let throttle = node(&redis, b"secret", PATIENT);
    throttle.take("test", "a", 1, 1).await.unwrap();
    retry_after(throttle.take("test", "a", 1, 1).await);
    let counted = throttle.attempt("test", "a", 2, LOCK).await.unwrap();
    let began = Instant::now();
    redis.end();
    throttle.take("test", "a", 1, 1).await.expect("this node has not seen it");
    retry_after(throttle.take("test", "a", 1, 1).await);
    assert!(began.elapsed() < Duration::from_secs(5), "a Redis that is gone is waited for: {:?}", began.elapsed());
    drop(counted);
    redis.begin();
    soon(async || throttle.take("test", "a", 1, 1).await.ok()).await;
    retry_after(throttle.take("test", "a", 1, 1).await);
}

#[tokio::test]
async fn who_was_right_while_redis_was_slow_is_not_locked_by_it_later() {
    let Some(redis) = Redis::start() else { return };
    let (wait, steady) = (Duration::from_millis(50), Duration::from_millis(1100));
    let one = node(&redis, b"secret", wait);
    // A connection that was good for a second is opened anew at once.
    soon(async || one.0.shared.as_ref()?.take(key("a"), Bucket::new(1000, 1000)).await).await;
    sleep(steady).await;
    let mut busy = UnixStream::connect(redis.socket()).unwrap();
    busy.write_all(b"EVAL \"for turn = 1, 100000000 do end return 0\" 0\r\n").unwrap();
    sleep(wait).await;
    let began = Instant::now();
    one.attempt("test", "a", 1, LOCK).await.unwrap().succeeded();
    assert!(began.elapsed() >= wait, "Redis was as quick as ever");
    tokio::task::spawn_blocking(move || busy.read_exact(&mut [0; 4]).unwrap()).await.unwrap();
    // It counted in the end, and then heard that it was right.
    let two = node(&redis, b"secret", PATIENT);
    soon(async || two.attempt("test", "a", 1, LOCK).await.ok()).await.failed();
    retry_after(two.attempt("test", "a", 1, LOCK).await);
}

#[tokio::test]
async fn nobody_waits_for_a_redis_that_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let redis = nodes::Redis::new(&format!("redis+unix://{}", socket.display()), "test").unwrap();
    let throttle = Throttle::shared(redis, b"secret", Duration::from_millis(50)).unwrap();
    let began = Instant::now();
    for _ in 0..3 {
        throttle.take("test", "a", 3, 1).await.unwrap();
    }
    retry_after(throttle.take("test", "a", 3, 1).await);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn buckets_and_locks_by_the_clock() {
    let memory = Memory::new();
    let bucket = Bucket::new(3, 6);
    for (now, wait) in
        [(0, 0), (0, 0), (0, 0), (0, 10 * SECOND), (9 * SECOND, SECOND), (10 * SECOND, 0), (10 * SECOND, 10 * SECOND)]
    {
        assert_eq!(memory.take_at(key("a"), bucket, now), wait, "at {now}");
    }
    for wait in [0, 0, 0, 10 * SECOND] {
        assert_eq!(memory.take_at(key("a"), bucket, 1000 * SECOND), wait, "full again, and no fuller than its burst");
    }
    assert_eq!(memory.take_at(key("zero"), Bucket::new(0, 0), 0), 0);
    assert_eq!(memory.take_at(key("zero"), Bucket::new(0, 0), 0), 60 * SECOND);
    assert_eq!(memory.take_at(key("huge"), Bucket::new(u32::MAX, u32::MAX), u64::MAX), 0);
    let (lock, failure) = (Lock::new(4, LOCK), memory.failure(key("a")));
    let attempts = [(0, 0), (0, 0), (0, 0), (0, 2), (2, 0), (3, 899), (902, 0), (902, 0)];
    for (now, wait) in attempts {
        assert_eq!(memory.attempt_at(failure, lock, now * SECOND), wait * SECOND, "at {now} s");
    }
}

#[test]
fn a_flood_of_keys_frees_nobody_and_stays_bounded() {
    let memory = Memory::new();
    let (bucket, lock) = (Bucket::new(3, 1), Lock::new(2, LOCK));
    for _ in 0..3 {
        assert_eq!(memory.take_at(key("mallory"), bucket, 0), 0);
    }
    let victim = memory.failure(key("victim"));
    for _ in 0..2 {
        assert_eq!(memory.attempt_at(victim, lock, 0), 0);
    }
    for flood in 0..4 * SETS * WAYS {
        let flood = flood.to_string();
        assert_eq!(memory.take_at(key(&flood), bucket, 1), 0);
        assert_eq!(memory.attempt_at(memory.failure(key(&flood)), lock, 1), 0);
    }
    assert_ne!(memory.take_at(key("mallory"), bucket, 2), 0);
    assert_ne!(memory.attempt_at(victim, lock, 2), 0);
    for table in [&memory.buckets, &memory.failures] {
        assert!(table.sets.iter().all(|set| set.lock().len() <= WAYS));
    }
}
