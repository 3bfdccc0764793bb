//! What is known without asking again: of the sessions and API keys in use whether they stand, whose they are and what
//! their member may; of what all subscribers look up, what it is. Standing is believed for long and forgotten on a change:
//! triggers note what a standing rests on and has ended or changed (table `endings`), and each node reads that four times
//! a second (`endings`). Invariant: what is revoked or changed anywhere, on another node too, is gone within a second; a
//! node that cannot read believes nothing.

mod endings;
mod fresh;
mod watch;

pub use endings::purge;
pub use fresh::Fresh;
pub use watch::{AGAIN, SPREAD, Watch};

use crate::{
    error::Result,
    platform::{
        database::Database,
        nodes::{Nodes, Topic},
    },
};
use chrono::{DateTime, Utc};
use fresh::{Answers, FRESH, ask};
use parking_lot::RwLock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;
use watch::Watches;

/// How long a standing is believed of which nothing has been heard. Uses of API keys are noted when they are asked for
/// again, so it is less than the minute that these may be behind.
const BELIEVED: Duration = Duration::from_secs(30);
/// How old the last reading of what has ended may be for anything to be believed; with the time that those take who are
/// told, less than a second.
const CURRENT: Duration = Duration::from_millis(800);

/// A session or an API key that stands, as the database has it.
#[derive(Debug)]
pub struct Standing {
    pub organization: Uuid,
    pub member: Uuid,
    pub user: Uuid,
    /// When the session ends unless it is refreshed, or the key as it was presented.
    pub expires_at: DateTime<Utc>,
    /// The id of the API key; None: a session.
    pub key: Option<Uuid>,
    /// The name of the member's built-in role, as stored.
    pub role: String,
    /// What people call the role: the organization's own where the member has one.
    pub role_name: Arc<str>,
    /// What the member may, of that what the API key may; packed by `kit::permission`.
    pub permissions: Arc<[u8]>,
    /// The member and, where a permission reaches that far, all whom it leads; sorted.
    pub team: Arc<[Uuid]>,
    /// Whether the member has yet to show that the address is theirs before they may write.
    pub unverified: bool,
    /// The organization's.
    pub time_zone: chrono_tz::Tz,
    pub currency: Arc<str>,
}

impl Standing {
    fn rests_on(&self, subject: Uuid) -> bool {
        [self.organization, self.member, self.user].contains(&subject) || self.key == Some(subject)
    }
}

/// The standing of sessions by id, and of API keys by `ApiKeyToken::known_as`. Cheap to clone; the task that reads what has
/// ended ends with the last clone.
#[derive(Clone)]
pub struct Standings {
    known: Arc<Known>,
    nodes: Option<Nodes>,
    _reader: Option<Arc<AbortOnDropHandle<()>>>,
}

struct Known {
    answers: Answers<Uuid, Standing>,
    /// Goes up whenever something has ended, before it is forgotten: what was asked for before may be from before, and is
    /// not remembered.
    generation: RwLock<u64>,
    watches: Watches,
    started: Instant,
    /// When the last reading of what has ended began, in milliseconds after `started`; 0: there was none.
    read: AtomicU64,
}

impl Default for Known {
    fn default() -> Self {
        Known {
            answers: fresh::answers(),
            generation: RwLock::default(),
            watches: Watches::default(),
            started: Instant::now(),
            read: AtomicU64::new(0),
        }
    }
}

impl Standings {
    /// Begins to read what ends. Must be called within a tokio runtime.
    pub fn new(database: &Database, nodes: &Nodes) -> Self {
        let known = Arc::new(Known::default());
        let reader = tokio::spawn(endings::read(known.clone(), database.clone(), nodes.listen(Topic::Endings)));
        Standings { known, nodes: Some(nodes.clone()), _reader: Some(Arc::new(AbortOnDropHandle::new(reader))) }
    }

    /// Without a database: nobody reads what ends.
    #[cfg(test)]
    pub fn unread() -> Self {
        Standings { known: Arc::default(), nodes: None, _reader: None }
    }

    /// The standing of a credential, asked for with `load` when nothing is known that can be believed.
    pub async fn get(&self, key: Uuid, load: impl Future<Output = Result<Arc<Standing>>>) -> Result<Arc<Standing>> {
        let known = &self.known;
        let generation = *known.generation.read();
        let believed = |entry: &fresh::Entry<Standing>| {
            let now = Instant::now();
            match &entry.answer {
                // A session that is over here may have been refreshed elsewhere.
                Ok(standing) => {
                    now < entry.asked + FRESH
                        || now < entry.until && standing.expires_at > Utc::now() && known.is_current(now)
                }
                Err(_) => now < entry.until,
            }
        };
        ask(&known.answers, key, believed, load, |mut entry, remember| {
            if entry.answer.is_ok() {
                entry.until = entry.asked + BELIEVED;
            }
            // Held, so that whatever ends now comes before or after.
            let now = known.generation.read();
            if *now == generation {
                remember(entry);
            }
        })
        .await
    }

    /// Forgets what rests on this: an organization, a member, a user, a session or an API key, after the commit of what
    /// changed it. Other nodes are told to look.
    pub fn forget(&self, subject: Uuid) {
        self.known.forget(&[subject]);
        if let Some(nodes) = &self.nodes {
            nodes.mention(Topic::Endings, &[]);
        }
    }

    /// Forgets everything.
    pub fn forget_all(&self) {
        self.known.forget_all();
    }

    /// Tells when something of this has ended or changed. It begins by ringing: what happened between the question and now
    /// may have been missed.
    pub fn watch(&self, rests_on: [Uuid; 4]) -> Watch {
        self.known.watches.watch(rests_on)
    }
}

impl Known {
    fn forget(&self, subjects: &[Uuid]) {
        if subjects.is_empty() {
            return;
        }
        *self.generation.write() += 1;
        self.answers.retain(|key, entry| {
            let rests = |subject: &Uuid| {
                key == subject || entry.answer.as_ref().is_ok_and(|standing| standing.rests_on(*subject))
            };
            !subjects.iter().any(rests)
        });
        self.watches.ring(|rests_on| subjects.iter().any(|subject| rests_on.contains(subject)));
    }

    fn forget_all(&self) {
        *self.generation.write() += 1;
        self.answers.clear();
        self.watches.ring(|_| true);
    }

    /// All that had ended at that time is forgotten.
    fn current_as_of(&self, at: Instant) {
        self.read.store(self.since_start(at).max(1), Ordering::Relaxed);
    }

    fn is_current(&self, now: Instant) -> bool {
        let read = self.read.load(Ordering::Relaxed);
        read > 0 && self.since_start(now) < read + CURRENT.as_millis() as u64
    }

    fn since_start(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
