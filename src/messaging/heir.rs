//! Who looks after a group or channel when its owners cannot. Invariant: as long as somebody in it can sign in, one of them owns
//! it: at once when an owner leaves, a moment later when one is suspended or removed from the organization. An owner who cannot
//! sign in stays one beside, since they may come back.

use super::{
    participant::{Participant, ParticipantRole},
    seat::{by_seniority, change_of, hold, store},
};
use crate::{
    app::App,
    error::Result,
    events::{Hub, Origin},
    identity::HandOn,
    kit::{failures::Failures, organizations::each_organization, scalars::DateTime, sql::Sql, value::Bind},
    platform::jobs::{Failure, Job, Run},
    schema::conversations,
};
use diesel::{QueryableByName, prelude::*, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Conversations looked for at once.
const PAGE: u32 = 500;

/// In a conversation that is held, makes an owner of who has been there longest of those who can sign in, unless one of them is
/// one; guests last, who may not change what they own. Where none can, one without an owner goes to who has been there longest.
/// Who it is, to be told.
pub async fn hand_on(conn: &mut AsyncPgConnection, place: (Uuid, Uuid), now: DateTime) -> Result<Option<Participant>> {
    let here = by_seniority(conn, place).await?;
    if here.iter().any(|seat| seat.owns && seat.can_sign_in) {
        return Ok(None);
    }
    let able = here.iter().filter(|seat| seat.can_sign_in).min_by_key(|seat| seat.is_guest);
    let heir = able.or(here.as_slice().first().filter(|_| !here.iter().any(|seat| seat.owns)));
    let heir = match heir {
        Some(heir) => hold(conn, place, heir.member).await?,
        None => None,
    };
    let Some(mut heir) = heir else { return Ok(None) };
    heir.role = ParticipantRole::Owner;
    store(conn, place.0, now, &mut heir).await?;
    Ok(Some(heir))
}

impl Run<Arc<App>> for HandOn {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(hand_on_all(app, self.organization).await?)
    }
}

/// Looks for what no `HandOn` was left for: of versions before, and of members who were removed and came back.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandOnMissed {}

impl Job for HandOnMissed {
    const KIND: &'static str = "hand_on_missed";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for HandOnMissed {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(each_organization(app, |organization| hand_on_all(app, organization)).await?)
    }
}

/// Hands on all that has owners of whom none can sign in, of one organization.
pub async fn hand_on_all(app: &App, organization: Uuid) -> Result<()> {
    let (mut page, mut failures) = (Some(Uuid::nil()), Failures::default());
    while let Some(after) = page {
        let orphaned = orphaned(app, organization, after).await?;
        page = orphaned.last().copied().filter(|_| orphaned.len() == PAGE as usize);
        for conversation in orphaned {
            failures.note("a conversation", conversation, hand_on_one(app, organization, conversation).await);
        }
    }
    failures.end()
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

/// Those in the conversation of the participant `p` who can sign in.
const ABLE: &str = "SELECT FROM participants a JOIN memberships am ON am.organization_id = a.organization_id
    AND am.id = a.member_id AND am.status = 'active' WHERE a.organization_id = p.organization_id
    AND a.conversation_id = p.conversation_id AND a.left_at IS NULL";

/// Conversations whose owners cannot sign in, although others in them can, by id.
async fn orphaned(app: &App, organization: Uuid, after: Uuid) -> Result<Vec<Uuid>> {
    let mut sql = Sql::new(
        "SELECT DISTINCT p.conversation_id AS id FROM memberships m JOIN participants p
           ON p.organization_id = m.organization_id AND p.member_id = m.id AND p.left_at IS NULL AND p.role = 'owner'
         WHERE m.status <> 'active' AND m.organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push(" AND p.conversation_id > ").bind(Bind::Uuid(Some(after)));
    sql.push(" AND EXISTS (").push(ABLE).push(") AND NOT EXISTS (").push(ABLE).push(" AND a.role = 'owner')");
    sql.push(" ORDER BY id LIMIT ").number(PAGE);
    let found: Vec<Found> = sql.load(&mut *app.database.of(organization).await?).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

async fn hand_on_one(app: &App, organization: Uuid, conversation: Uuid) -> Result<()> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    let held = conversations::table.find((organization, conversation)).select(conversations::id).for_no_key_update();
    held.load::<Uuid>(&mut *tx).await?;
    let Some(heir) = hand_on(&mut tx, (organization, conversation), DateTime::now()).await? else {
        return tx.rollback().await;
    };
    let told = vec![change_of(&heir, "participant_updated")?];
    let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(())
}
