//! Who looks after a group or channel when its owners cannot. Invariant: as long as somebody in it can, one of them owns it, and
//! no guest does; where only guests can sign in, one of them owns it. So it is at once when an owner leaves, and a moment later
//! when one becomes a guest, is suspended or is removed from the organization. An owner who cannot sign in stays one beside,
//! since they may come back.

use super::{
    participant::{Participant, ParticipantRole},
    seat::{Can, Seat, by_seniority, change_of, hold, store, tell_of},
};
use crate::{
    app::App,
    error::Result,
    events::{Hub, Origin},
    identity::HandOn,
    kit::{
        failures::Failures,
        organizations::each_organization,
        scalars::DateTime,
        sql::Sql,
        value::Bind,
        write::{Stop, Tx},
    },
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

/// Sees to it that a conversation, which is held, belongs to who can look after it. Who is another than before, to be told.
pub async fn hand_on(conn: &mut AsyncPgConnection, place: (Uuid, Uuid), now: DateTime) -> Result<Vec<Participant>> {
    let here = by_seniority(conn, place).await?;
    let mut changed = Vec::new();
    for (member, role) in due(&here) {
        let Some(mut seat) = hold(conn, place, member).await? else { continue };
        seat.role = role;
        store(conn, place.0, now, &mut seat).await?;
        changed.push(seat);
    }
    Ok(changed)
}

/// As `hand_on`, in the caller's organization, and tells of it.
pub async fn hand_on_and_tell(tx: &mut Tx, conversation: Uuid) -> Result<(), Stop> {
    let (place, now) = ((tx.scope.actor.organization, conversation), tx.now);
    for changed in hand_on(tx.conn(), place, now).await? {
        tell_of(tx, &changed, "participant_updated")?;
    }
    Ok(())
}

/// Who becomes what, of those in a conversation by seniority: an owner who has been there longest of those who can do most about
/// it, unless one of them is one; and a member whoever owns it as a guest beside one who can do more.
fn due(here: &[Seat]) -> Vec<(Uuid, ParticipantRole)> {
    let Some(most) = here.iter().map(|seat| seat.can).max() else { return Vec::new() };
    let owned = here.iter().any(|seat| seat.owns && seat.can == most);
    let heir = here.iter().find(|seat| !owned && seat.can == most);
    let guests = here.iter().filter(|seat| seat.owns && seat.can == Can::Talk && seat.can < most);
    let heir = heir.map(|seat| (seat.member, ParticipantRole::Owner));
    heir.into_iter().chain(guests.map(|seat| (seat.member, ParticipantRole::Member))).collect()
}

impl Run<Arc<App>> for HandOn {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(hand_on_all(app, self.organization).await?)
    }
}

/// Looks for what no `HandOn` was left for, by a version before.
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

/// Hands on all that its owners cannot look after, of one organization.
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

/// Conversations, by id, that a guest owns beside others who could, or whose owners cannot sign in although others in them can.
/// Direct ones belong to both.
async fn orphaned(app: &App, organization: Uuid, after: Uuid) -> Result<Vec<Uuid>> {
    let mut sql = Sql::new(
        "SELECT DISTINCT p.conversation_id AS id FROM memberships m JOIN participants p
           ON p.organization_id = m.organization_id AND p.member_id = m.id AND p.left_at IS NULL AND p.role = 'owner'
         JOIN conversations c ON c.organization_id = p.organization_id AND c.id = p.conversation_id AND c.kind <> 'direct'
         WHERE (m.status <> 'active' OR m.role = 'guest' AND m.custom_role_id IS NULL) AND m.organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push(" AND p.conversation_id > ").bind(Bind::Uuid(Some(after)));
    sql.push(" AND CASE WHEN m.status = 'active' THEN EXISTS (").push(ABLE);
    sql.push(" AND (am.role <> 'guest' OR am.custom_role_id IS NOT NULL)) ELSE EXISTS (").push(ABLE);
    sql.push(") AND NOT EXISTS (").push(ABLE).push(" AND a.role = 'owner') END ORDER BY id LIMIT ").number(PAGE);
    let found: Vec<Found> = sql.load(&mut *app.database.of(organization).await?).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

async fn hand_on_one(app: &App, organization: Uuid, conversation: Uuid) -> Result<()> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    let held = conversations::table.find((organization, conversation)).select(conversations::id).for_no_key_update();
    held.load::<Uuid>(&mut *tx).await?;
    let changed = hand_on(&mut tx, (organization, conversation), DateTime::now()).await?;
    if changed.is_empty() {
        return tx.rollback().await;
    }
    let told = changed.iter().map(|seat| change_of(seat, "participant_updated")).collect::<Result<_>>()?;
    let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Can::{LookAfter, Nothing, Talk};

    #[test]
    fn whoever_can_do_most_and_came_first_owns_it_and_no_guest_beside_them() {
        let becomes = |here: &[(bool, Can)]| {
            let seat = |(place, &(owns, can)): (usize, &(bool, Can))| Seat {
                member: Uuid::from_u128(place as u128),
                owns,
                can,
            };
            let here: Vec<Seat> = here.iter().enumerate().map(seat).collect();
            due(&here).into_iter().map(|(member, role)| (member.as_u128(), role)).collect::<Vec<_>>()
        };
        let (owner, member) = (ParticipantRole::Owner, ParticipantRole::Member);
        let nobody = [(0, owner); 0];
        assert_eq!(becomes(&[]), nobody);
        assert_eq!(becomes(&[(false, Talk), (false, LookAfter), (true, LookAfter)]), nobody, "all is well");
        assert_eq!(becomes(&[(true, Nothing), (false, Talk), (false, LookAfter), (false, LookAfter)]), [(2, owner)]);
        assert_eq!(becomes(&[(true, Talk), (false, LookAfter)]), [(1, owner), (0, member)]);
        assert_eq!(becomes(&[(true, LookAfter), (true, Talk), (true, Nothing)]), [(1, member)]);
        assert_eq!(becomes(&[(true, Nothing), (false, Talk), (false, Talk)]), [(1, owner)], "there is nobody else");
        assert_eq!(becomes(&[(false, Nothing), (true, Talk), (false, Talk)]), nobody);
        assert_eq!(becomes(&[(false, Nothing), (true, Nothing)]), nobody, "they may come back");
        assert_eq!(becomes(&[(false, Nothing), (false, Nothing)]), [(0, owner)]);
    }
}
