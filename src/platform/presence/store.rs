//! What of presence outlives a process: what members show of themselves, and when they were seen last. Invariant: nothing
//! is written because somebody is still here, only when they come, leave, or change what they show.

use crate::{error::Result, schema::presences};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_query,
    sql_types::{Array, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::collections::HashMap;
use uuid::Uuid;

/// A row of `presences`.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = presences, check_for_backend(diesel::pg::Pg))]
pub struct Stored {
    /// `online`, `away` or `do_not_disturb`.
    pub status: String,
    pub text: Option<String>,
    /// When status and text end; None: when they are changed.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether others are to see nothing of it.
    pub hidden: bool,
    /// To whom the same goes; never NULL within.
    pub hidden_from: Vec<Option<Uuid>>,
    #[diesel(column_name = last_seen_at)]
    pub last_seen: Option<DateTime<Utc>>,
    pub version: i32,
}

impl Default for Stored {
    /// Of who has never set anything.
    fn default() -> Self {
        let status = "online".to_owned();
        Stored {
            status,
            text: None,
            expires_at: None,
            hidden: false,
            hidden_from: Vec::new(),
            last_seen: None,
            version: 0,
        }
    }
}

impl Stored {
    /// What is newer of two readings of the same row.
    pub fn newer(&self, other: &Stored) -> Stored {
        let newer = if other.version >= self.version { other } else { self };
        Stored { last_seen: self.last_seen.max(other.last_seen), ..newer.clone() }
    }
}

/// What is stored of these members of the connection's organization; nothing of who has never been here.
pub async fn read(mut conn: &AsyncPgConnection, organization: Uuid, members: &[Uuid]) -> Result<HashMap<Uuid, Stored>> {
    let rows = presences::table
        .filter(presences::organization_id.eq(organization))
        .filter(presences::member_id.eq_any(members))
        .select((presences::member_id, Stored::as_select()));
    Ok(rows.load::<(Uuid, Stored)>(&mut conn).await?.into_iter().collect())
}

/// Whom a member has blocked, as it is by now.
const HIDE: &str = "
    INSERT INTO presences AS p (organization_id, member_id, hidden_from, version)
    SELECT $1, $2, ARRAY(SELECT member_id FROM user_contacts
        WHERE organization_id = $1 AND owner_id = $2 AND blocked_at IS NOT NULL), 1
    ON CONFLICT (organization_id, member_id)
    DO UPDATE SET hidden_from = excluded.hidden_from, version = p.version + 1";

/// Hides a member from those whom they have blocked, and from nobody else. Nodes are to be told after the commit
/// (`Presence::changed`).
pub async fn hide_from_blocked(mut conn: &AsyncPgConnection, organization: Uuid, member: Uuid) -> Result<()> {
    sql_query(HIDE).bind::<SqlUuid, _>(organization).bind::<SqlUuid, _>(member).execute(&mut conn).await?;
    Ok(())
}

/// In one order everywhere: two nodes may notice the end of a third at the same moment.
const SEEN: &str = "
    INSERT INTO presences AS p (organization_id, member_id, last_seen_at)
    SELECT m.organization_id, m.id, s.at FROM unnest($2, $3) AS s (member, at)
    JOIN memberships m ON m.organization_id = $1 AND m.id = s.member ORDER BY m.id
    ON CONFLICT (organization_id, member_id)
    DO UPDATE SET last_seen_at = greatest(p.last_seen_at, excluded.last_seen_at)";

/// Keeps when these members were seen; who has been removed altogether is left out.
pub async fn write_seen(
    mut conn: &AsyncPgConnection,
    organization: Uuid,
    seen: Vec<(Uuid, DateTime<Utc>)>,
) -> Result<()> {
    let (members, at): (Vec<Uuid>, Vec<DateTime<Utc>>) = seen.into_iter().unzip();
    sql_query(SEEN)
        .bind::<SqlUuid, _>(organization)
        .bind::<Array<SqlUuid>, _>(members)
        .bind::<Array<Timestamptz>, _>(at)
        .execute(&mut conn)
        .await?;
    Ok(())
}
