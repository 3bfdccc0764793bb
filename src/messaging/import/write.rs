//! Messages of an export, written in batches. Invariants: a batch is a transaction, with all that belongs to its messages and one
//! event; within a conversation numbers follow time, so that what is older than the newest message that is there does not come;
//! an id follows from what a message was called there, so that whatever was written by a run before is found again.

use super::{
    model::{Place, Source, Time},
    package::Package,
    places::{Seats, Settled, imported},
    record::{ATTACHED, BESIDE, Coming, FILE, ROW, RootRow, Row, attachments, mentions, replied},
    report::{Report, What, Why},
    spool::{Next, Sorted},
};
use crate::{
    app::App,
    error::Result,
    events::{Change, Hub, Origin},
    files::arrival::Room,
    identity::arrival::Arrived,
    kit::rows,
    messaging::{pin, reaction::MOST_EMOJIS},
    platform::database::Transaction,
    schema::{conversations, messages},
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};
use unicode_normalization::UnicodeNormalization;
use uuid::{Builder, Uuid};

/// Messages of a batch at most, and bytes that they say.
const AT_ONCE: usize = 200;
const BYTES: usize = 2 << 20;
/// Characters of a body at most.
const LONGEST: usize = 40_000;

/// What writes an export into an organization; `dry`: only counts what it would.
pub struct Writer<'a> {
    pub app: &'a App,
    pub organization: Uuid,
    pub source: Source,
    pub dry: bool,
    pub package: Option<Package>,
    pub report: &'a mut Report,
    /// Who the people of the export are, by their numbers.
    pub members: Vec<Arrived>,
    /// Those of them who can sign in.
    pub active: HashSet<Uuid>,
    /// What the organization may still have of files.
    pub room: Room,
    /// What is reacted with, by the names of emoji there: one of Unicode, or `:name:` of one of the organization's own.
    pub emojis: HashMap<String, String>,
}

/// A conversation as its messages see it.
struct Ground {
    settled: Settled,
    /// What it is called there, and in the report.
    place: String,
    label: String,
    newest: Option<Time>,
    blocked: bool,
    pins: usize,
    /// In a dry run: roots that would be there.
    roots: HashSet<Uuid>,
}

/// What tells things apart that have no ids of ours.
pub fn digest(parts: &[&str]) -> [u8; 32] {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    sum.finalize().into()
}

impl Writer<'_> {
    /// Who somebody of the export is here.
    pub fn member(&self, number: u32) -> Option<Uuid> {
        self.members.get(number as usize).map(|member| member.member)
    }

    /// Writes a place: its conversation, those of its messages that are not there, and who takes part in it.
    pub async fn place(&mut self, number: u32, place: &Place, posts: &mut Sorted) -> Result<()> {
        let first = posts.time_of(number);
        let Some((settled, seats)) = self.settle(place, first).await? else { return Ok(()) };
        let mut ground = self.ground(place, settled, &seats).await?;
        while posts.time_of(number).is_some() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < AT_ONCE && bytes < BYTES {
                let Some(next) = posts.next_of(number)? else { break };
                bytes += next.post.body.len();
                batch.extend(self.coming(&ground.place, next));
            }
            let batch = self.missing(&mut ground, batch).await?;
            if !batch.is_empty() {
                self.batch(&mut ground, batch).await?;
            }
        }
        self.let_in(place, settled, &seats).await?;
        tracing::info!(conversation = %place.label, "imported");
        Ok(())
    }

    async fn ground(&self, place: &Place, settled: Settled, seats: &Seats) -> Result<Ground> {
        let mut ground = Ground {
            settled,
            place: place.external_id.clone(),
            label: place.label.clone(),
            newest: None,
            blocked: false,
            pins: 0,
            roots: HashSet::new(),
        };
        let mut conn = self.app.database.of(self.organization).await?;
        if settled.there {
            let row = conversations::table.find((self.organization, settled.id));
            let row = row.select((conversations::last_message_at, conversations::blocked));
            (ground.newest, ground.blocked) = row.first(&mut *conn).await?;
            let pinned = messages::table
                .filter(messages::organization_id.eq(self.organization))
                .filter(messages::conversation_id.eq(settled.id))
                .filter(messages::pinned_at.is_not_null());
            let pinned: i64 = pinned.count().get_result(&mut *conn).await?;
            ground.pins = usize::try_from(pinned).unwrap_or(usize::MAX);
        } else {
            ground.blocked = self.is_closed(&mut conn, seats).await?;
        }
        Ok(ground)
    }

    /// A message with its id and its body as they will be; None: it stands in the export twice, or says nothing.
    fn coming(&mut self, place: &str, Next { post, twin }: Next) -> Option<Coming> {
        // Slack's names are the only ones; of Mattermost's messages two may have been sent at the same time.
        if twin > 0 && self.source == Source::Slack {
            self.report.leave(Why::Twice);
            return None;
        }
        let key = if twin > 0 { format!("{}#{twin}", post.key) } else { post.key.clone() };
        let id = self.id(place, &key, post.at);
        let root = post.root.as_ref().map(|root| self.id(place, &root.key, root.at)).filter(|root| *root != id);
        let sender = self.member(post.sender)?;
        let body = self.body(&post.body);
        // Of letters that nobody sees.
        if body.is_empty() && post.files.is_empty() && !post.deleted {
            self.report.leave(Why::Empty);
            return None;
        }
        Some(Coming { id, sender, root, body, post, files: Vec::new() })
    }

    /// A UUID of version 7 whose random part is what the message was called there.
    fn id(&self, place: &str, key: &str, at: Time) -> Uuid {
        let sum = digest(&[&self.organization.to_string(), self.source.word(), place, key]);
        let mut random = [0; 10];
        random.iter_mut().zip(sum).for_each(|(random, byte)| *random = byte);
        Builder::from_unix_timestamp_millis(u64::try_from(at.timestamp_millis()).unwrap_or_default(), &random)
            .into_uuid()
    }

    /// With the ids of those who are mentioned, and as a body may be.
    fn body(&mut self, written: &str) -> String {
        let mut body = String::with_capacity(written.len());
        let mut parts = written.split("<@#");
        body.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (number, rest) = part.split_once('>').unwrap_or(("", part));
            match number.parse().ok().and_then(|number| self.member(number)) {
                Some(member) => body.push_str(&format!("<@{member}>")),
                None => body.push_str(number),
            }
            body.push_str(rest);
        }
        let clean = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
        let body: String = body.nfc().filter(clean).collect();
        let body = body.trim();
        if body.chars().nth(LONGEST).is_none() {
            return body.to_owned();
        }
        self.report.leave(Why::Cut);
        let kept: String = body.chars().take(LONGEST - 4).collect();
        // Not in the middle of a mention.
        let kept = kept.rsplit_once("<@").filter(|(_, rest)| !rest.contains('>')).map_or(&*kept, |(before, _)| before);
        format!("{} […]", kept.trim_end())
    }

    /// Those of a batch that are not there and can come behind what is.
    async fn missing(&mut self, ground: &mut Ground, batch: Vec<Coming>) -> Result<Vec<Coming>> {
        let mut known: HashSet<Uuid> = HashSet::new();
        if ground.settled.there {
            let mut conn = self.app.database.of(self.organization).await?;
            let rows = messages::table
                .filter(messages::organization_id.eq(self.organization))
                .filter(messages::id.eq_any(batch.iter().map(|coming| coming.id)))
                .select(messages::id);
            known.extend(rows.load::<Uuid>(&mut *conn).await?);
        }
        let (there, mut coming): (Vec<_>, Vec<_>) = batch.into_iter().partition(|coming| known.contains(&coming.id));
        self.report.there(What::Messages, there.len() as u64);
        self.behind(ground, &mut coming);
        for coming in &mut coming {
            self.bring_files(coming).await?;
        }
        if self.dry {
            ground.roots.extend(there.iter().filter(|there| there.root.is_none()).map(|there| there.id));
        }
        Ok(coming)
    }

    /// Leaves out what does not come behind the newest message.
    fn behind(&mut self, ground: &Ground, batch: &mut Vec<Coming>) {
        let label = ground.label.as_str();
        batch.retain(|coming| {
            let why = match ground.newest {
                _ if ground.blocked => Why::Closed,
                Some(newest) if coming.post.at < newest => Why::Older,
                _ => return true,
            };
            self.report.leave_at(why, label);
            false
        });
    }

    async fn batch(&mut self, ground: &mut Ground, mut batch: Vec<Coming>) -> Result<()> {
        let mut tx = self.app.database.of(self.organization).await?.begin().await?;
        let mut head = 0;
        if !self.dry {
            let held = conversations::table.find((self.organization, ground.settled.id));
            let held = held.select((conversations::last_seq, conversations::last_message_at, conversations::blocked));
            (head, ground.newest, ground.blocked) = held.for_no_key_update().first(&mut *tx).await?;
            // Somebody may have written at this moment.
            self.behind(ground, &mut batch);
        }
        let mut roots = self.roots(&mut tx, ground, &batch).await?;
        let (mut rows, mut followers) = (Vec::<Row>::with_capacity(batch.len()), BTreeSet::new());
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        for (seq, coming) in (head + 1..).zip(&batch) {
            let reply = coming.root.and_then(|root| Some((root, roots.get_mut(&root)?)));
            if coming.root.is_some() && reply.is_none() {
                self.report.leave(Why::NoRoot);
            }
            let mut row = coming.row(ground.settled.id, seq);
            if let Some((root, known)) = reply {
                known.replies += 1;
                known.newest = coming.post.at;
                (row.thread_root_id, row.thread_seq) = (Some(root), Some(known.replies));
                followers.extend([(root, coming.sender), (root, known.sender)]);
                if let Some(root) = places.get(&root).and_then(|place| rows.get_mut(*place)) {
                    (root.reply_count, root.last_reply_at) = (known.replies, Some(coming.post.at));
                }
            } else {
                places.insert(coming.id, rows.len());
                roots.insert(coming.id, RootRow { sender: coming.sender, replies: 0, newest: coming.post.at });
            }
            (row.pinned_at, row.pinned_by) = self.pin(ground, coming).unzip();
            rows.push(row);
        }
        self.report.new_ones(What::Messages, rows.len() as u64);
        let reactions = self.reactions(&batch);
        if self.dry {
            ground.roots.extend(places.into_keys());
            return tx.rollback().await;
        }
        let Some(last) = rows.last() else { return tx.rollback().await };
        let (seq, newest) = (last.seq, last.created_at);
        let organization = self.organization;
        // Positions, then messages: in the order in which whoever sends takes them.
        self.read_on(ground.settled.id, (head, seq)).execute(&mut *tx).await?;
        rows::insertion(organization, "messages", &ROW, json!(rows)).execute(&mut *tx).await?;
        roots.retain(|root, known| !places.contains_key(root) && known.replies > 0);
        if !roots.is_empty() {
            replied(organization, &roots).execute(&mut *tx).await?;
        }
        let followers = followers
            .iter()
            .map(|(root, member)| json!({ "root_id": root, "member_id": member, "created_at": newest }));
        for (table, columns, rows) in [
            ("mentions", &BESIDE[..], mentions(ground.settled.id, &batch)),
            ("files", &FILE[..], batch.iter().flat_map(|coming| &coming.files).map(|file| file.row.clone()).collect()),
            ("message_attachments", &ATTACHED[..], attachments(ground.settled.id, &batch)),
            ("reactions", &["message_id", "member_id", "emoji", "created_at"][..], reactions),
            ("thread_followers", &["root_id", "member_id", "created_at"][..], followers.collect()),
        ] {
            if !rows.is_empty() {
                let mut sql = rows::insertion(organization, table, columns, json!(rows));
                sql.push(" ON CONFLICT DO NOTHING");
                sql.execute(&mut *tx).await?;
            }
        }
        diesel::update(conversations::table.find((organization, ground.settled.id)))
            .set((conversations::last_seq.eq(seq), conversations::last_message_at.eq(newest)))
            .execute(&mut *tx)
            .await?;
        let mut told = vec![imported(ground.settled.id, batch.len())];
        told.extend(batch.iter_mut().flat_map(|coming| coming.files.drain(..)).map(|file| file.told));
        ground.newest = Some(newest);
        self.commit(tx, told).await
    }

    /// What is replied to: of those that are there, and in a dry run of those that would be.
    async fn roots(&self, tx: &mut Transaction, ground: &Ground, batch: &[Coming]) -> Result<HashMap<Uuid, RootRow>> {
        let wanted: BTreeSet<Uuid> = batch.iter().filter_map(|coming| coming.root).collect();
        let root = |id: &Uuid| (*id, RootRow { sender: Uuid::nil(), replies: 0, newest: Time::UNIX_EPOCH });
        let mut found: HashMap<Uuid, RootRow> =
            wanted.iter().filter(|id| ground.roots.contains(id)).map(root).collect();
        if self.dry && !ground.settled.there {
            return Ok(found);
        }
        let there = messages::table
            .filter(messages::organization_id.eq(self.organization))
            .filter(messages::conversation_id.eq(ground.settled.id))
            .filter(messages::id.eq_any(&wanted))
            .filter(messages::thread_root_id.is_null())
            .select((messages::id, messages::sender_id, messages::reply_count, messages::created_at));
        let there: Vec<(Uuid, Uuid, i32, Time)> = there.load(&mut **tx).await?;
        found.extend(there.into_iter().map(|(id, sender, replies, newest)| (id, RootRow { sender, replies, newest })));
        Ok(found)
    }

    fn pin(&mut self, ground: &mut Ground, coming: &Coming) -> Option<(Time, Uuid)> {
        let pin = coming.post.pinned.as_ref()?;
        let by = self.member(pin.by).filter(|_| !coming.post.deleted);
        let Some(by) = by else {
            self.report.leave(Why::NoPin);
            return None;
        };
        if ground.pins >= pin::MOST as usize {
            self.report.leave(Why::ManyPins);
            return None;
        }
        ground.pins += 1;
        self.report.new_ones(What::Pins, 1);
        Some((pin.at, by))
    }

    /// Rows of reactions: each member, message and emoji once.
    fn reactions(&mut self, batch: &[Coming]) -> Vec<serde_json::Value> {
        let mut rows = Vec::new();
        for coming in batch {
            let (mut emojis, mut seen) = (BTreeSet::new(), HashSet::new());
            for reaction in &coming.post.reactions {
                let Some(member) = self.member(reaction.by) else { continue };
                let Some(emoji) = self.reacted_with(&reaction.emoji).map(str::to_owned) else {
                    self.report.leave_at(Why::OwnEmoji, reaction.emoji.as_str());
                    continue;
                };
                if !emojis.contains(&emoji) && emojis.len() >= MOST_EMOJIS as usize {
                    self.report.leave(Why::ManyEmojis);
                    continue;
                }
                emojis.insert(emoji.clone());
                if seen.insert((member, emoji.clone())) {
                    rows.push(json!({
                        "message_id": coming.id, "member_id": member, "emoji": emoji, "created_at": reaction.at
                    }));
                }
            }
        }
        self.report.new_ones(What::Reactions, rows.len() as u64);
        rows
    }

    pub async fn commit(&self, mut tx: Transaction, told: Vec<Change>) -> Result<()> {
        let events = Hub::append(&mut tx, self.organization, &Origin::default(), told).await?;
        tx.commit().await?;
        self.app.hub.publish(events);
        Ok(())
    }
}
