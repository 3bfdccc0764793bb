//! What whoever runs the server does with accounts, past all permissions: makes one, resets one, gives a role. Invariants:
//! an organization keeps an owner who can sign in; a password is never told, and what is done stands in the log as the
//! system's.

use super::{
    audit::{self, Note, row},
    device, input,
    member::{Member, MemberStatus},
    organization_update,
    register::new_password,
    second_factor,
    staff::has_other_owner,
    succession::HandOn,
    user_token::{self, Purpose},
};
use crate::{
    app::App,
    error::{Error, Result},
    events::{Change, Hub, Origin},
    kit::{
        permission::Role,
        scalars::DateTime,
        scope::RequestInfo,
        user_error::{UserError, UserErrors},
        write,
    },
    platform::database::Transaction,
    schema::{memberships, organizations, users},
};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// Somebody who gets an account.
pub struct NewUser {
    pub email: String,
    pub full_name: String,
    /// The short name of the organization.
    pub organization: String,
    /// Founds the organization, by this name; `None`: there is one.
    pub found: Option<String>,
    pub role: Role,
    /// `None`: they choose one by the link.
    pub password: Option<String>,
}

/// Makes an account with a membership. Answers the link by which the person chooses a password, unless there is one.
pub async fn create(app: &App, new: NewUser) -> Result<Option<String>> {
    let mut errors = UserErrors::new();
    let email = input::email(&mut errors, "email", &new.email);
    let full_name = input::name(&mut errors, "name", &new.full_name);
    let slug = input::slug(&mut errors, "organization", &new.organization);
    let found = new.found.map(|name| input::name(&mut errors, "new organization", &name));
    if let Some(password) = &new.password {
        new_password(app, &mut errors, "password", password, vec![email.clone(), full_name.clone()]).await?;
    }
    faults(errors)?;
    if found.is_some() && new.role != Role::Owner {
        return Err(Error::bad_input("Whoever founds an organization is its owner: give the role owner, or none."));
    }
    let known = organization(app, &slug).await?;
    let organization = match (&found, known) {
        (None, None) => {
            return Err(Error::bad_input(format!("There is no organization {slug}. Found it with --found.")));
        }
        (Some(_), Some(_)) => return Err(Error::bad_input(format!("There is an organization {slug} already."))),
        (None, Some(known)) => known,
        (Some(_), None) => Uuid::now_v7(),
    };
    let hash = match new.password {
        Some(password) => Some(app.passwords.hash(password).await?),
        None => None,
    };
    let (user, member, now) = (Uuid::now_v7(), Uuid::now_v7(), Utc::now());
    let mut tx = app.database.of(organization).await?.begin().await?;
    let mut changes: Vec<Change> = Vec::new();
    if let Some(name) = &found {
        let founded = diesel::insert_into(organizations::table)
            .values((
                organizations::id.eq(organization),
                organizations::name.eq(name),
                organizations::slug.eq(&slug),
                organizations::time_zone.eq("UTC"),
                organizations::currency.eq("USD"),
            ))
            .on_conflict(organizations::slug)
            .do_nothing();
        if founded.execute(&mut *tx).await? == 0 {
            return Err(Error::bad_input(format!("There is an organization {slug} already.")));
        }
        changes.push(organization_update::change(organization, "created", json!({ "changes": {} })));
    }
    let made = diesel::insert_into(users::table)
        .values((
            users::id.eq(user),
            users::email.eq(&email),
            users::password_hash.eq(&hash),
            users::full_name.eq(&full_name),
        ))
        .on_conflict(users::email)
        .do_nothing();
    if made.execute(&mut *tx).await? == 0 {
        return Err(Error::bad_input(format!("There is an account {email} already.")));
    }
    diesel::insert_into(memberships::table)
        .values((
            memberships::organization_id.eq(organization),
            memberships::id.eq(member),
            memberships::user_id.eq(user),
            memberships::name.eq(&full_name),
            memberships::email.eq(&email),
            memberships::role.eq(new.role.as_str()),
            memberships::joined_at.eq(now),
        ))
        .execute(&mut *tx)
        .await?;
    let link = match hash {
        Some(_) => None,
        None => Some(link(app, &mut tx, user, &email).await?),
    };
    let joined: Member = row(&mut tx, organization, member).await?;
    changes.push(write::change(None, &joined, "joined")?);
    store(app, tx, organization, changes).await?;
    Ok(link)
}

/// Ends all sessions of a person and takes the password away: they get in with the one given, or choose one by the link
/// that is answered. `forget_authenticator`: two-factor sign-in is switched off, too.
pub async fn reset(
    app: &App,
    email: &str,
    password: Option<String>,
    forget_authenticator: bool,
) -> Result<Option<String>> {
    let (user, email, name) = user(app, email).await?;
    let hash = match password {
        Some(password) => {
            let mut errors = UserErrors::new();
            new_password(app, &mut errors, "password", &password, vec![email.clone(), name]).await?;
            faults(errors)?;
            Some(app.passwords.hash(password).await?)
        }
        None => None,
    };
    let mut tx = app.database.of_nobody().await?.begin().await?;
    // Counting ends the sessions in every organization.
    diesel::update(users::table.find(user))
        .set((
            users::password_hash.eq(&hash),
            users::password_changes.eq(users::password_changes + 1),
            users::failed_logins.eq(0),
            users::locked_until.eq(None::<chrono::DateTime<Utc>>),
            users::updated_at.eq(Utc::now()),
        ))
        .execute(&mut *tx)
        .await?;
    user_token::void(&mut tx, &user_token::OF_INTRUDERS, user).await?;
    device::forget_others(&mut tx, user, &RequestInfo::default()).await?;
    let mut told = Note::system(user, "password_reset");
    if forget_authenticator {
        second_factor::forget(&mut tx, user).await?;
        told = told.with("twoFactorEnabled", Json::Null, false);
    }
    let link = match hash {
        Some(_) => None,
        None => Some(link(app, &mut tx, user, &email).await?),
    };
    audit::note(&mut tx, told).await?;
    tx.commit().await?;
    Ok(link)
}

/// Gives a member another role, in the organization of that short name or in the only one.
pub async fn promote(app: &App, email: &str, organization: Option<&str>, role: Role) -> Result<()> {
    let (user, email, _) = user(app, email).await?;
    let mut conn = app.database.of_user(user).await?;
    let all: Vec<(Uuid, Uuid, String)> = memberships::table
        .inner_join(organizations::table)
        .filter(memberships::user_id.eq(user).and(memberships::status.ne(MemberStatus::Removed.word())))
        .order(organizations::slug)
        .select((organizations::id, memberships::id, organizations::slug))
        .load(&mut *conn)
        .await?;
    drop(conn);
    let names: Vec<&str> = all.iter().map(|(.., slug)| slug.as_str()).take(20).collect();
    let (organization, member) = match (organization, &all[..]) {
        (None, [(organization, member, _)]) => (*organization, *member),
        (None, []) => return Err(Error::bad_input(format!("{email} is a member of no organization."))),
        (None, _) => {
            let message =
                format!("{email} is a member of several: name one with --organization: {}.", names.join(", "));
            return Err(Error::bad_input(message));
        }
        (Some(named), all) => all
            .iter()
            .find(|(.., slug)| slug.eq_ignore_ascii_case(named))
            .map(|(organization, member, _)| (*organization, *member))
            .ok_or_else(|| Error::bad_input(format!("{email} is no member of an organization {named}.")))?,
    };
    let mut tx = app.database.of(organization).await?.begin().await?;
    // As whatever decides about members: one after the other.
    let held = organizations::table.find(organization).select(organizations::id).for_no_key_update();
    held.first::<Uuid>(&mut *tx).await?;
    let old: Member = row(&mut tx, organization, member).await?;
    if old.status != MemberStatus::Active {
        let message = format!("{email} cannot sign in there as it is ({}).", old.status.word());
        return Err(Error::bad_input(message));
    }
    if old.role == role && old.custom_role_id.is_none() {
        return Err(Error::bad_input(format!("{email} has the role {} already.", role.as_str())));
    }
    if old.role == Role::Owner && !has_other_owner(&mut tx, organization, member).await? {
        return Err(Error::bad_input(format!("{email} is the only owner: make somebody else an owner first.")));
    }
    let now = DateTime::now();
    let new =
        Member { role, custom_role_id: None, version: old.version.saturating_add(1), updated_at: now, ..old.clone() };
    diesel::update(memberships::table.find((organization, member)))
        .set((
            memberships::role.eq(role.as_str()),
            memberships::custom_role_id.eq(None::<Uuid>),
            memberships::version.eq(new.version),
            memberships::updated_at.eq(now.0),
        ))
        .execute(&mut *tx)
        .await?;
    if new.is_guest() != old.is_guest() {
        app.jobs.enqueue(&mut tx, None, &HandOn { organization }).await?;
    }
    store(app, tx, organization, vec![write::change(Some(&old), &new, "role_changed")?]).await
}

/// As done by the system.
async fn store(app: &App, mut tx: Transaction, organization: Uuid, changes: Vec<Change>) -> Result<()> {
    let events = Hub::append(&mut tx, organization, &Origin::default(), changes).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(())
}

async fn link(app: &App, tx: &mut Transaction, user: Uuid, email: &str) -> Result<String> {
    let token = user_token::issue(tx, Purpose::ResetPassword, user, email).await?;
    Ok(user_token::link(app, Purpose::ResetPassword, &token))
}

/// Of the organization with this short name. Organizations are behind the wall, save for their being there.
pub async fn organization(app: &App, slug: &str) -> Result<Option<Uuid>> {
    let mut conn = app.database.of_worker().await?;
    let known = organizations::table
        .filter(organizations::slug.eq(slug))
        .select((organizations::id, organizations::deleted_at));
    let known: Option<(Uuid, Option<chrono::DateTime<Utc>>)> = known.first(&mut *conn).await.optional()?;
    match known {
        Some((_, Some(_))) => Err(Error::bad_input(format!("The organization {slug} was deleted."))),
        Some((id, None)) => Ok(Some(id)),
        None => Ok(None),
    }
}

async fn user(app: &App, email: &str) -> Result<(Uuid, String, String)> {
    let mut errors = UserErrors::new();
    let email = input::email(&mut errors, "email", email);
    faults(errors)?;
    let mut conn = app.database.of_nobody().await?;
    let known = users::table.filter(users::email.eq(&email)).select((users::id, users::email, users::full_name));
    let known: Option<(Uuid, String, String)> = known.first(&mut *conn).await.optional()?;
    known.ok_or_else(|| Error::bad_input(format!("There is no account {email}.")))
}

/// All of them in one line.
fn faults(errors: UserErrors) -> Result<()> {
    let errors: Vec<UserError> = errors.into();
    if errors.is_empty() {
        return Ok(());
    }
    let field = |error: &UserError| error.field.as_ref().map(|field| field.join(".")).unwrap_or_default();
    let told: Vec<String> = errors.iter().map(|error| format!("{}: {}", field(error), error.message)).collect();
    Err(Error::bad_input(told.join(" ")))
}
