//! A step along streams of the log: whoever their next events concern is notified, in one transaction with the places that
//! move over these. Invariant: one stream that fails does not hold up the others; a transaction is never larger than
//! `told::MOST`, or than one event makes it.

use super::{
    read::{self, Seat},
    told::{self, ENTERED, SENT},
};
use crate::{
    app::App,
    error::{Error, Result},
    events::{Hub, Origin},
    kit::{
        follow::{Follower, Heard, unfinished},
        sql::Sql,
        value::Bind,
    },
    platform::database::Transaction,
};
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use std::collections::HashSet;
use uuid::Uuid;

/// The one who follows the log here.
pub const fn follower(organization: Uuid) -> Follower {
    Follower { organization, name: "notifications" }
}

/// What came of some work on streams of an organization.
#[derive(Default)]
pub struct Step {
    /// Conversations that are not direct.
    pub quiet: Vec<Uuid>,
    /// Streams of which there is more.
    pub left: Vec<Uuid>,
    /// Who may have read what they were notified of, in which conversation: to be settled.
    pub seats: HashSet<Seat>,
    /// Streams of which nothing was done.
    pub failed: Vec<Uuid>,
    /// Why, of the last of them.
    pub fault: Option<Error>,
}

/// As `step`. What fails together is tried one by one.
pub async fn step_or_each(app: &App, organization: Uuid, streams: &[Uuid]) -> Step {
    let mut all = Step::default();
    match step(app, organization, streams).await {
        Ok(done) => return done,
        Err(fault) if streams.len() == 1 => (all.failed, all.fault) = (streams.to_vec(), Some(fault)),
        Err(_) => {
            for stream in streams {
                match step(app, organization, &[*stream]).await {
                    Ok(done) => {
                        all.quiet.extend(done.quiet);
                        all.left.extend(done.left);
                        all.seats.extend(done.seats);
                    }
                    Err(fault) => {
                        all.failed.push(*stream);
                        all.fault = Some(fault);
                    }
                }
            }
        }
    }
    all
}

/// Notifies of the next events of the streams.
async fn step(app: &App, organization: Uuid, streams: &[Uuid]) -> Result<Step> {
    let follower = follower(organization);
    let mut tx = app.database.of(organization).await?.begin().await?;
    let mut heard = follower.read(&mut tx, streams, &[ENTERED]).await?;
    if heard.is_empty() {
        tx.rollback().await?;
        return Ok(Step::default());
    }
    let mut told = told::of(&mut tx, organization, &heard, |member| app.presence.is_here(organization, member)).await?;
    let read = heard.len();
    let fitting = told::fitting(&told, read);
    heard.truncate(fitting);
    told.retain(|(place, _)| *place < fitting);
    // A member's feed tells them in the order in which they came about.
    told.sort_by_key(|(place, own)| (own.notification.created_at, *place));
    let quiet = quiet_among(&mut tx, organization, &heard).await?;
    let told = told::store(&mut tx, organization, told.into_iter().map(|(_, own)| own).collect()).await?;
    follower.advance(&mut tx, &heard).await?;
    let seats = seats(&heard, &told);
    let changes = told.into_iter().map(told::Own::change).collect::<Result<Vec<_>>>()?;
    let events = Hub::append(&mut tx, organization, &Origin::default(), changes).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(Step { quiet, left: unfinished(streams, &heard, read), seats, ..Step::default() })
}

/// Who reads on at this very moment did not see what was about to be stored; who sends, or comes into a conversation again,
/// has read what was there.
fn seats(heard: &[Heard], told: &[told::Own]) -> HashSet<Seat> {
    let new = told.iter().filter(|own| own.notification.read_at.is_none() && own.notification.message_id.is_some());
    let new = new.filter_map(|own| Some((own.member, own.notification.conversation_id?.0)));
    let moved = heard.iter().filter_map(|event| match event.kind.as_str() {
        SENT => Some((event.actor_id?, event.stream_id)),
        ENTERED => Some((told::who_entered(event.payload.as_ref()?)?, event.entity_id)),
        _ => None,
    });
    new.chain(moved).collect()
}

#[derive(QueryableByName)]
struct Quiet {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

async fn quiet_among(tx: &mut Transaction, organization: Uuid, heard: &[Heard]) -> Result<Vec<Uuid>> {
    let sent: HashSet<Uuid> = heard.iter().filter(|event| event.kind == SENT).map(|event| event.stream_id).collect();
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT id FROM conversations WHERE direct_key IS NULL AND organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND id = ANY(");
    sql.bind(Bind::Uuids(sent.into_iter().collect())).push(")");
    let found: Vec<Quiet> = sql.load(&mut **tx).await?;
    Ok(found.into_iter().map(|quiet| quiet.id).collect())
}

/// Marks what these have read by their positions, and tells their devices.
pub async fn settle(app: &App, organization: Uuid, seats: &HashSet<Seat>) -> Result<()> {
    if seats.is_empty() {
        return Ok(());
    }
    let seats: Vec<Seat> = seats.iter().copied().collect();
    read::settle_among(&mut *app.database.of(organization).await?, &app.hub, organization, &seats).await
}
