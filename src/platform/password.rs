//! Password hashes: argon2id (RFC 9106) on a bounded pool. Invariant: a flood of sign-ins costs neither memory nor the
//! time of other requests: so many hash at once, so many wait, the rest is told to come back; and threads that hash stand
//! behind all others. Whoever is known waits behind one stranger at most.

use super::{random::random, threads::Threads};
use crate::{
    config::IdentityConfig,
    error::{Code, Error, Result},
};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version, password_hash::phc};
use parking_lot::Mutex;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

/// Characters of a password at least.
pub const MIN_LENGTH: usize = 10;
/// Characters of a password at most.
pub const MAX_LENGTH: usize = 128;

const SALT: usize = 16;
const OUTPUT: usize = 32;
/// No stored hash may ask for more: one row must not be able to take the machine's memory. 1 GiB in KiB.
const MAX_MEMORY: u32 = 1 << 20;

/// Places that are left for people who are known when strangers have taken theirs.
const RESERVE: usize = 16;

/// Hashes and checks passwords. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Passwords {
    pool: Arc<Pool>,
    /// Whether it is for somebody who is known.
    known: bool,
}

struct Pool {
    params: Params,
    /// Of no password, at the price of a real one: what unknown accounts are checked against.
    decoy: String,
    turns: Arc<Semaphore>,
    /// What strangers pass before they wait for a turn: no more of them stand in front of somebody who is known than
    /// can hash at once.
    door: Arc<Semaphore>,
    /// Strangers hashing and waiting at most.
    places: usize,
    queue: Mutex<Queue>,
    threads: Threads,
}

#[derive(Default)]
struct Queue {
    inside: usize,
    strangers: usize,
    /// Memory of finished hashes, for those that wait; given back when nobody does.
    spare: Vec<Vec<Block>>,
}

impl Passwords {
    /// A pool with the configured parameters. Nothing is hashed yet and no memory is taken.
    pub fn new(config: &IdentityConfig) -> Self {
        let params = Params::new(
            config.argon2_memory_kib.clamp(Params::MIN_M_COST, MAX_MEMORY),
            config.argon2_passes.max(Params::MIN_T_COST),
            1,
            Some(OUTPUT),
        )
        .unwrap_or_default();
        let hashers = match config.hashers {
            0 => (std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1),
            hashers => hashers.min(Semaphore::MAX_PERMITS),
        };
        // Random bytes are as good as a hash nobody knows the password of. Should there be none, the decoy is a
        // constant, and still nobody knows one.
        let (salt, output) = (random().unwrap_or([1; SALT]), random().unwrap_or([1; OUTPUT]));
        let pool = Pool {
            decoy: phc_string(&params, &salt, &output).unwrap_or_default(),
            params,
            turns: Arc::new(Semaphore::new(hashers)),
            door: Arc::new(Semaphore::new(hashers)),
            places: hashers.saturating_add(config.hash_queue),
            queue: Mutex::default(),
            threads: Threads::new("stoa-hash", hashers),
        };
        Passwords { pool: Arc::new(pool), known: false }
    }

    /// The same pool for people who are known by their session or their device: a flood of strangers is not in their way.
    pub fn for_known(&self) -> Self {
        Passwords { known: true, ..self.clone() }
    }

    /// The PHC string to store. RATE_LIMITED when too many wait.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.run(move |pool| {
            let salt: [u8; SALT] = random()?;
            let output = pool.digest(&pool.params, &password, &salt)?;
            phc_string(&pool.params, &salt, &output)
        })
        .await
    }

    /// Whether the password is the one hashed; with `None` spends the same time and says no. RATE_LIMITED when too
    /// many wait.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        self.run(move |pool| {
            let known = hash.is_some();
            let hash = PasswordHash::new(hash.as_deref().unwrap_or(&pool.decoy)).map_err(Error::ours)?;
            let params = Params::try_from(&hash).map_err(Error::ours)?;
            let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
                return Err(Error::ours("a stored password hash has no salt or no output"));
            };
            // What is too long was never accepted as a password: the same work, and no.
            let acceptable = password.chars().nth(MAX_LENGTH).is_none();
            let output = pool.digest(&params, if acceptable { &password } else { "" }, salt.as_ref())?;
            let equal = bool::from(output.ct_eq(expected.as_bytes()));
            Ok(equal && known && acceptable && hash.algorithm == Algorithm::Argon2id.ident())
        })
        .await
    }

    /// Whether the hash was made with less than the parameters of today, and is to be made anew at the next sign-in.
    pub fn is_outdated(&self, hash: &str) -> bool {
        let today = &self.pool.params;
        let then = PasswordHash::new(hash).ok().and_then(|hash| Params::try_from(&hash).ok());
        then.is_none_or(|then| then.m_cost() < today.m_cost() || then.t_cost() < today.t_cost())
    }

    /// Why the password is too easy to guess (zxcvbn below 3 of 4), for the person who chose it; `None` when it is
    /// not. `about` is what an attacker knows of that person. RATE_LIMITED when too many wait.
    pub async fn weakness(&self, password: String, about: Vec<String>) -> Result<Option<String>> {
        self.run(move |_| {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            let judged = zxcvbn::zxcvbn(&password, &about);
            if judged.score() >= zxcvbn::Score::Three {
                return Ok(None);
            }
            let mut why = String::from("This password is too easy to guess.");
            if let Some(feedback) = judged.feedback() {
                if let Some(warning) = feedback.warning() {
                    why.push_str(&format!(" {warning}"));
                }
                if let Some(suggestion) = feedback.suggestions().first() {
                    why.push_str(&format!(" {suggestion}"));
                }
            }
            Ok(Some(why))
        })
        .await
    }

    /// Runs on the pool. The place is kept by the work and not by who waits for it, so that hanging up frees nothing
    /// that is still in use.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Pool) -> Result<T> + Send + 'static) -> Result<T> {
        let place = Place::take(&self.pool, self.known)?;
        let door = match self.known {
            true => None,
            false => Some(Arc::clone(&self.pool.door).acquire_owned().await.map_err(Error::ours)?),
        };
        let turn = Arc::clone(&self.pool.turns).acquire_owned().await.map_err(Error::ours)?;
        let hashing = self.pool.threads.handle().spawn_blocking(move || {
            let result = work(&place.pool);
            drop((place, turn, door));
            result
        });
        hashing.await.map_err(Error::ours)?
    }
}

impl Pool {
    fn digest(&self, params: &Params, password: &str, salt: &[u8]) -> Result<[u8; OUTPUT]> {
        if params.m_cost() > MAX_MEMORY {
            return Err(Error::ours("a stored password hash asks for more than 1 GiB"));
        }
        // The same characters may be typed as different code points (RFC 8265, section 4.2.2).
        let password: String = password.nfc().collect();
        let mut memory = self.queue.lock().spare.pop().unwrap_or_default();
        let blocks = params.block_count();
        if let Some(missing) = blocks.checked_sub(memory.len()) {
            memory.try_reserve_exact(missing).map_err(Error::unavailable)?;
            memory.resize(blocks, Block::new());
        }
        let mut output = [0; OUTPUT];
        let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone()).hash_password_into_with_memory(
            password.as_bytes(),
            salt,
            &mut output,
            &mut memory,
        );
        self.queue.lock().spare.push(memory);
        done.map_err(Error::ours)?;
        Ok(output)
    }
}

/// A place in the pool, hashing or waiting.
struct Place {
    pool: Arc<Pool>,
    known: bool,
}

impl Place {
    fn take(pool: &Arc<Pool>, known: bool) -> Result<Self> {
        let mut queue = pool.queue.lock();
        let full = match known {
            true => queue.inside >= pool.places.saturating_add(RESERVE),
            false => queue.strangers >= pool.places,
        };
        if full {
            return Err(Error::yours_with(
                Code::RateLimited,
                "Too many people are signing in at this moment. Try again in a few seconds.",
                vec![("retryAfter", 3.into())],
            ));
        }
        queue.inside += 1;
        queue.strangers += usize::from(!known);
        Ok(Place { pool: Arc::clone(pool), known })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.pool.queue.lock();
        queue.inside -= 1;
        queue.strangers -= usize::from(!self.known);
        if queue.inside == 0 {
            queue.spare = Vec::new();
        }
    }
}

fn phc_string(params: &Params, salt: &[u8], output: &[u8]) -> Result<String> {
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: phc::ParamsString::try_from(params).map_err(Error::ours)?,
        salt: Some(phc::Salt::new(salt).map_err(Error::ours)?),
        hash: Some(phc::Output::new(output).map_err(Error::ours)?),
    }
    .to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn pool(hashers: usize, hash_queue: usize) -> Passwords {
        Passwords::new(&IdentityConfig { hashers, hash_queue, ..IdentityConfig::default() })
    }

    #[tokio::test]
    async fn a_password_opens_its_own_hash_only() {
        let passwords = pool(1, 8);
        let hash = passwords.hash("correct horse battery".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse battery".into()).await.unwrap(), "salted");
        assert!(passwords.verify("correct horse battery".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horse batterz".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse battery".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn the_reference_implementation_agrees() {
        // RFC 9106's command line tool: `echo -n password | argon2 somesalt -id -t 2 -k 256 -p 1 -e`.
        let known = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let passwords = pool(1, 8);
        assert!(passwords.verify("password".into(), Some(known.into())).await.unwrap());
        assert!(!passwords.verify("passwore".into(), Some(known.into())).await.unwrap());
        assert!(passwords.is_outdated(known));
    }

    #[tokio::test]
    async fn equal_characters_are_equal_passwords() {
        let passwords = pool(1, 8);
        let hash = passwords.hash("Grüße aus Köln".into()).await.unwrap();
        let decomposed: String = "Grüße aus Köln".nfd().collect();
        assert!(passwords.verify(decomposed, Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn what_is_too_long_is_wrong_and_costs_no_more() {
        let passwords = pool(1, 8);
        let hash = passwords.hash(String::new()).await.unwrap();
        assert!(!passwords.verify("a".repeat(1 << 20), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn stored_nonsense_is_our_fault_and_no_panic() {
        let passwords = pool(1, 8);
        for hash in [
            "",
            "$argon2id$",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            assert_eq!(
                passwords.verify("x".into(), Some(hash.into())).await.unwrap_err().code(),
                Code::InternalServerError
            );
        }
    }

    #[test]
    fn raised_parameters_outdate_a_hash() {
        let passwords = pool(1, 1);
        let with = |memory, passes| {
            phc_string(&Params::new(memory, passes, 1, Some(OUTPUT)).unwrap(), &[1; SALT], &[2; OUTPUT]).unwrap()
        };
        assert!(!passwords.is_outdated(&with(19_456, 2)));
        assert!(!passwords.is_outdated(&with(65_536, 3)));
        assert!(passwords.is_outdated(&with(19_456, 1)));
        assert!(passwords.is_outdated(&with(9_216, 4)));
        assert!(passwords.is_outdated("nonsense"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_refused_and_leaves_no_memory_behind() {
        let passwords = pool(1, 3);
        let flood = (0..20).map(|_| passwords.verify("wrong password".into(), None));
        let answers = futures_util::future::join_all(flood).await;
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(false))).count(), 4);
        assert!(answers.iter().flat_map(|a| a.as_ref().err()).all(|error| error.code() == Code::RateLimited));
        let queue = passwords.pool.queue.lock();
        assert_eq!((queue.inside, queue.spare.len()), (0, 0));
    }

    /// One thread hashes; 40 strangers wait. Whoever is known comes next but one.
    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_known_does_not_wait_behind_a_flood() {
        let passwords = pool(1, 40);
        let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let strangers = (0..40).map(|_| {
            let (passwords, done) = (passwords.clone(), done.clone());
            tokio::spawn(async move {
                passwords.verify("wrong password".into(), None).await.unwrap();
                done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            })
        });
        let strangers: Vec<_> = strangers.collect();
        while passwords.pool.queue.lock().inside < 40 {
            tokio::task::yield_now().await;
        }
        let before = done.load(std::sync::atomic::Ordering::SeqCst);
        passwords.for_known().verify("right password".into(), None).await.unwrap();
        let meanwhile = done.load(std::sync::atomic::Ordering::SeqCst) - before;
        assert!(meanwhile < 10, "{meanwhile} strangers came first");
        futures_util::future::join_all(strangers).await;
        assert_eq!(passwords.pool.queue.lock().strangers, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn hanging_up_does_not_free_a_place_that_is_in_use() {
        let passwords = pool(1, 0);
        let hung_up = tokio::time::timeout(Duration::from_millis(1), passwords.hash("some password".into())).await;
        assert!(hung_up.is_err());
        assert_eq!(passwords.hash("another one".into()).await.unwrap_err().code(), Code::RateLimited);
    }

    #[tokio::test]
    async fn weak_passwords_are_told_why() {
        let passwords = pool(1, 8);
        let weakness = |password: &str, about: &[&str]| {
            passwords.weakness(password.into(), about.iter().map(|word| (*word).to_owned()).collect())
        };
        assert!(weakness("password123", &[]).await.unwrap().unwrap().contains("too easy to guess"));
        assert!(weakness("ada@lovelace.example", &["ada@lovelace.example"]).await.unwrap().is_some());
        assert_eq!(weakness("nine purple otters juggle", &[]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_longest_password_is_judged_in_time() {
        let passwords = pool(1, 8);
        for nasty in [
            "a".repeat(MAX_LENGTH),
            "1qaz2wsx".repeat(16),
            "Ab1!".repeat(32),
            "20112012".repeat(16),
            "p4ssw0rd".repeat(16),
        ] {
            let started = Instant::now();
            passwords.weakness(nasty.clone(), vec![nasty]).await.unwrap();
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        }
    }
}
