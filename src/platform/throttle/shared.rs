//! What all nodes count together, in Redis: one script, one round trip each, by Redis's own clock. Invariant: everything there
//! fades by itself, and under names that nobody chooses: they are hashed with the installation's secret.

use super::{Bucket, Key, Lock};
use crate::{
    error::{Error, Result},
    platform::nodes::Redis,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use metrics::{Gauge, gauge};
use redis::{Script, ScriptInvocation, aio::MultiplexedConnection};
use sha2::Sha256;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// As `Memory::take_at`: the bucket is the moment when it will be full again, in microseconds.
const TAKE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, allowance = ARGV[1] / 1000, ARGV[2] / 1000
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + interval
local wait = full_at - now - allowance
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return 0";

/// As `Memory::attempt_at`.
const ATTEMPT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local max, lock = tonumber(ARGV[1]), ARGV[2] / 1000
local slot = redis.call('HMGET', KEYS[1], 'count', 'opens')
local count, opens = tonumber(slot[1] or 0), tonumber(slot[2] or 0)
if opens > now then return math.ceil(opens - now) end
count, opens = count + 1, 0
local beyond = count - math.floor(max / 2)
if count >= max then opens = now + lock
elseif beyond > 0 then opens = now + math.min(1000000 * 2 ^ math.min(beyond, 20), lock) end
redis.call('HSET', KEYS[1], 'count', count, 'opens', string.format('%.0f', opens))
redis.call('PEXPIRE', KEYS[1], math.max(math.ceil(lock / 1000), 1))
return 0";

const UNCOUNT: &str = "
local count = redis.call('HGET', KEYS[1], 'count')
if count then redis.call('HSET', KEYS[1], 'count', math.max(count - 1, 0), 'opens', 0) end
return 0";

const FORGIVE: &str = "redis.call('DEL', KEYS[1]) return 0";

/// How long a connection may take to open.
const OPEN: Duration = Duration::from_secs(5);
/// A connection that was good for so long is opened anew at once.
const STEADY: Duration = Duration::from_secs(1);
/// Between attempts to open one, doubled at each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Verdicts that wait to be told. What does not fit stays counted, and fades.
const QUEUE: usize = 1024;

pub(super) struct Shared {
    prefix: String,
    secret: Hmac<Sha256>,
    wait: Duration,
    take: Script,
    attempt: Script,
    link: watch::Receiver<Link>,
    /// The newest connection that somebody has found dead or slow.
    lost: Arc<watch::Sender<u64>>,
    verdicts: mpsc::Sender<(Verdict, String)>,
    _task: AbortOnDropHandle<()>,
}

/// The connection, of which there is one at a time.
#[derive(Clone)]
enum Link {
    /// It is being opened, and was not refused yet.
    Opening,
    Open(u64, MultiplexedConnection),
    Away,
}

#[derive(Clone, Copy)]
enum Verdict {
    Uncount,
    Forgive,
}

impl Shared {
    pub fn new(redis: Redis, secret: &[u8], wait: Duration) -> Result<Self> {
        let (tell, link) = watch::channel(Link::Opening);
        let (verdicts, told) = mpsc::channel(QUEUE);
        let lost = Arc::new(watch::Sender::new(0));
        let prefix = format!("{}:limit:", redis.prefix());
        let keeper = Keeper {
            redis,
            link: tell,
            lost: lost.subscribe(),
            verdicts: told,
            scripts: [Script::new(UNCOUNT), Script::new(FORGIVE)],
            shared: gauge!("stoa_limits_shared"),
        };
        Ok(Shared {
            prefix,
            secret: Hmac::new_from_slice(secret).map_err(Error::ours)?,
            wait,
            take: Script::new(TAKE),
            attempt: Script::new(ATTEMPT),
            link,
            lost,
            verdicts,
            _task: AbortOnDropHandle::new(tokio::spawn(keeper.run())),
        })
    }

    /// What a key is called there: 128 bits that tell nothing of it.
    pub fn name(&self, Key { kind, key }: Key<'_>) -> String {
        let mut mac = self.secret.clone();
        for part in [kind.as_bytes(), &[0], key.as_bytes()] {
            mac.update(part);
        }
        let hash = mac.finalize().into_bytes();
        let short = hash.first_chunk::<16>().map(|short| URL_SAFE_NO_PAD.encode(short));
        format!("{}{}", self.prefix, short.unwrap_or_default())
    }

    /// As `Memory::take`; None: Redis is away.
    pub async fn take(&self, key: Key<'_>, bucket: Bucket) -> Option<u64> {
        let name = self.name(key);
        self.ask(self.take.key(name).arg(bucket.interval).arg(bucket.allowance)).await
    }

    /// As `Memory::attempt`, of what is called so; None: Redis is away.
    pub async fn attempt(&self, name: &str, lock: Lock) -> Option<u64> {
        self.ask(self.attempt.key(name).arg(lock.max).arg(lock.nanos)).await
    }

    /// Soon.
    pub fn uncount(&self, name: String) {
        let _ = self.verdicts.try_send((Verdict::Uncount, name));
    }

    /// Soon.
    pub fn forgive(&self, name: String) {
        let _ = self.verdicts.try_send((Verdict::Forgive, name));
    }

    /// What a script answers, from microseconds to nanoseconds.
    async fn ask(&self, script: &ScriptInvocation<'_>) -> Option<u64> {
        let mut asked = None;
        let answer = timeout(self.wait, async {
            let mut link = self.link.clone();
            let opened = link.wait_for(|link| !matches!(link, Link::Opening)).await.ok()?.clone();
            let Link::Open(number, mut connection) = opened else { return None };
            asked = Some(number);
            let micros = script.invoke_async::<u64>(&mut connection).await.ok()?;
            asked = None;
            Some(micros.saturating_mul(1000))
        });
        let answer = answer.await.ok().flatten();
        // No answer, or one too late: whoever comes next is not to wait for the same.
        if let Some(number) = asked {
            self.lost.send_if_modified(|lost| std::mem::replace(lost, number.max(*lost)) < number);
        }
        answer
    }
}

/// Keeps a connection open, and tells verdicts.
struct Keeper {
    redis: Redis,
    link: watch::Sender<Link>,
    lost: watch::Receiver<u64>,
    verdicts: mpsc::Receiver<(Verdict, String)>,
    /// To uncount, and to forgive.
    scripts: [Script; 2],
    shared: Gauge,
}

impl Keeper {
    async fn run(mut self) {
        let (mut pause, mut away) = (FIRST_PAUSE, false);
        for number in 1.. {
            let opened = timeout(OPEN, self.open()).await;
            let why = match opened.unwrap_or_else(|_| Err(format!("no answer within {} s", OPEN.as_secs()))) {
                Ok(connection) => {
                    if std::mem::take(&mut away) {
                        tracing::info!("limits are shared with the other nodes again");
                    }
                    self.shared.set(1.0);
                    let opened = Instant::now();
                    self.link.send_replace(Link::Open(number, connection.clone()));
                    self.serve(number, connection).await;
                    if opened.elapsed() >= STEADY {
                        // Whoever asks meanwhile waits for it: most often it was slow for a moment.
                        self.link.send_replace(Link::Opening);
                        pause = FIRST_PAUSE;
                        continue;
                    }
                    "Redis answers too late".to_owned()
                }
                Err(why) => why,
            };
            self.link.send_replace(Link::Away);
            self.shared.set(0.0);
            if !std::mem::replace(&mut away, true) {
                tracing::warn!(why, "limits are not shared: this node counts alone until Redis is back");
            }
            let again = sleep(pause.mul_f64(rand::random_range(0.8..1.2)));
            tokio::pin!(again);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    // What it is about is out of reach, and fades.
                    Some(_) = self.verdicts.recv() => {}
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A connection on which scripts may be run.
    async fn open(&self) -> std::result::Result<MultiplexedConnection, String> {
        let mut connection = self.redis.connection().await?;
        let [_, forgive] = &self.scripts;
        let nobody = format!("{}:limit:", self.redis.prefix());
        let answer = forgive.key(nobody).invoke_async::<u64>(&mut connection).await;
        answer.map(|_| connection).map_err(|fault| format!("Redis: {fault}"))
    }

    /// Tells verdicts until the connection is lost.
    async fn serve(&mut self, number: u64, mut connection: MultiplexedConnection) {
        let Keeper { lost, verdicts, scripts: [uncount, forgive], .. } = self;
        loop {
            let (verdict, name) = tokio::select! {
                _ = lost.wait_for(|lost| *lost >= number) => return,
                Some(verdict) = verdicts.recv() => verdict,
            };
            let script = match verdict {
                Verdict::Uncount => &*uncount,
                Verdict::Forgive => &*forgive,
            };
            let told = timeout(OPEN, script.key(name).invoke_async::<u64>(&mut connection)).await;
            if !matches!(told, Ok(Ok(_))) {
                return;
            }
        }
    }
}
