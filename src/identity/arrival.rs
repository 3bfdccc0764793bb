//! People who come from elsewhere, many at once, as whoever runs the server brings them over. Invariants: whoever has an account
//! or is a member stays as they are, found by their address; nobody gets a password or a mail; who cannot sign in where they
//! came from cannot here.

use super::{
    input,
    member::{Member, MemberStatus},
};
use crate::{
    app::App,
    error::{Error, Result},
    events::{Change, Hub, Origin},
    kit::{
        entity::Entity,
        id::Id,
        permission::Role,
        rows,
        scalars::{DateTime, EmailAddress},
        write,
    },
    schema::{memberships, users},
};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use uuid::Uuid;

/// Somebody who may come.
pub struct Newcomer {
    /// 1 to 120 characters, in one line.
    pub name: String,
    /// As `address` gives it.
    pub email: String,
    /// At most 120 characters.
    pub title: Option<String>,
    pub role: Role,
    /// Whether they may sign in, once they have chosen a password.
    pub active: bool,
}

/// A member, whether they were one before or not.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    pub member: Uuid,
    /// Whether they can sign in, and may be looking at this moment.
    pub active: bool,
    pub new: bool,
}

/// An e-mail address in the form in which accounts have it; None: it is none.
pub fn address(given: &str) -> Option<String> {
    input::email_address(given)
}

/// Makes members of an organization of those who are none, in one transaction; in their order. `dry`: says who would come, and
/// writes nothing.
pub async fn arrive(app: &App, organization: Uuid, newcomers: &[Newcomer], dry: bool) -> Result<Vec<Arrived>> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    let emails: Vec<&str> = newcomers.iter().map(|newcomer| newcomer.email.as_str()).collect();
    let known = || users::table.filter(users::email.eq_any(&emails)).select((users::email, users::id));
    let mut accounts: HashMap<String, Uuid> = known().load::<(String, Uuid)>(&mut *tx).await?.into_iter().collect();
    let now = DateTime::now();
    let missing: HashMap<&str, &Newcomer> = newcomers
        .iter()
        .filter(|newcomer| !accounts.contains_key(&newcomer.email))
        .map(|newcomer| (newcomer.email.as_str(), newcomer))
        .collect();
    if dry {
        accounts.extend(missing.keys().map(|email| ((*email).to_owned(), Uuid::now_v7())));
    } else if !missing.is_empty() {
        let made: Vec<_> = missing
            .values()
            .map(|new| (users::id.eq(Uuid::now_v7()), users::email.eq(&new.email), users::full_name.eq(&new.name)))
            .collect();
        diesel::insert_into(users::table).values(made).on_conflict(users::email).do_nothing().execute(&mut *tx).await?;
        // Somebody may have registered at this moment.
        accounts.extend(known().load::<(String, Uuid)>(&mut *tx).await?);
    }
    let rows = memberships::table
        .filter(memberships::organization_id.eq(organization))
        .filter(memberships::user_id.eq_any(accounts.values()))
        .select((memberships::user_id, memberships::id, memberships::status));
    let active = MemberStatus::Active.word();
    let there: Vec<(Uuid, Uuid, String)> = rows.load(&mut *tx).await?;
    let mut members: HashMap<Uuid, Arrived> = there
        .into_iter()
        .map(|(user, member, status)| (user, Arrived { member, active: status == active, new: false }))
        .collect();
    let (mut joined, mut arrived): (Vec<Member>, Vec<Arrived>) = (Vec::new(), Vec::with_capacity(newcomers.len()));
    for newcomer in newcomers {
        let gone = || Error::unavailable("an account that was there a moment ago is gone");
        let user = *accounts.get(&newcomer.email).ok_or_else(gone)?;
        if let Some(there) = members.get(&user) {
            arrived.push(*there);
            continue;
        }
        let member = member(user, newcomer, now);
        let new = Arrived { member: member.id.0, active: newcomer.active, new: true };
        members.insert(user, Arrived { new: false, ..new });
        arrived.push(new);
        joined.push(member);
    }
    if dry || joined.is_empty() {
        // Accounts are made only for those who become members.
        tx.rollback().await?;
        return Ok(arrived);
    }
    let columns: Vec<&'static str> =
        Member::table().columns.iter().filter(|column| !column.computed).map(|column| column.name).collect();
    let written: Json = json!(joined);
    rows::insertion(organization, Member::table().name, &columns, written).execute(&mut *tx).await?;
    let told: Vec<Change> = joined.iter().map(|member| write::change(None, member, "joined")).collect::<Result<_>>()?;
    let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(arrived)
}

fn member(user: Uuid, newcomer: &Newcomer, now: DateTime) -> Member {
    Member {
        id: Id::fresh(),
        user_id: user.into(),
        name: newcomer.name.clone(),
        email: EmailAddress(newcomer.email.clone()),
        role: newcomer.role,
        custom_role_id: None,
        manager_id: None,
        title: newcomer.title.clone(),
        status: if newcomer.active { MemberStatus::Active } else { MemberStatus::Suspended },
        joined_at: Some(now),
        avatar: None,
        created_by: None,
        created_at: now,
        updated_at: now,
        version: 1,
    }
}
