//! Which account somebody has whom a provider knows. Invariants: an account is found by the address only when the provider
//! and this server both know the address to be the person's; nobody whom an administrator has removed or suspended joins
//! again by themselves.
//!
//! Both, because of accounts that were made beforehand: whoever registers with somebody else's address and waits would else
//! share the account with its owner, password and all, from the day that they come by the provider ("pre-hijacking").

use crate::{
    app::App,
    error::{Error, Result},
    events::{Change, Hub},
    identity::{
        access,
        audit::{self, Note, row},
        input,
        mails::IdentityLinked,
        member::{Member, MemberStatus},
    },
    kit::{
        scope::RequestInfo,
        user_error::{UserErrorCode as Code, UserErrors},
        write,
    },
    platform::{
        database::Transaction,
        oidc::{Identity, Provider},
    },
    schema::{memberships, organizations, user_identities, users},
};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Somebody, as a provider tells of them.
pub struct Told<'a> {
    pub provider: &'a Provider,
    pub subject: &'a str,
    /// As addresses are compared here; none unless the provider knows it to be theirs.
    pub email: Option<String>,
    pub name: Option<String>,
}

impl<'a> Told<'a> {
    pub fn of(provider: &'a Provider, identity: &'a Identity) -> Self {
        let email = identity.email.as_deref().filter(|_| identity.email_verified).and_then(input::email_address);
        Told { provider, subject: &identity.subject, email, name: identity.name.clone() }
    }

    /// Adds an error unless people with such an address may come by this provider.
    pub fn check_domain(&self, errors: &mut UserErrors) {
        let domains = &self.provider.settings.email_domains;
        let domain = self.email.as_deref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        let among = |allowed: &String| allowed == "*" || domain.is_some_and(|is| allowed.eq_ignore_ascii_case(is));
        if !domains.is_empty() && !domains.iter().any(among) {
            let message = "Only people with a confirmed address of certain domains sign in this way, and yours is none of \
                           them.";
            errors.add("", Code::Invalid, message);
        }
    }

    fn issuer(&self) -> &str {
        &self.provider.settings.issuer
    }
}

/// The account that somebody has, or makes by joining the provider's organization; it is linked then. `named`: the
/// organization that they want to sign in to. Everything or nothing is written.
pub async fn know(
    app: &App,
    request: &RequestInfo,
    told: &Told<'_>,
    named: Option<&str>,
) -> Result<Result<Uuid, UserErrors>> {
    let joins = match &told.provider.settings.organization {
        Some(slug) if named.is_none_or(|named| named.trim().eq_ignore_ascii_case(slug)) => Some(find(app, slug).await?),
        _ => None,
    };
    let mut tx = match joins {
        Some(organization) => app.database.of(organization).await?.begin().await?,
        None => app.database.of_nobody().await?.begin().await?,
    };
    let (user, name, email) = match account(&mut tx, told, joins.is_some()).await? {
        Ok(account) => account,
        Err(errors) => {
            tx.rollback().await?;
            return Ok(Err(errors));
        }
    };
    let new = match link(app, &mut tx, told, user, (&name, &email)).await? {
        Ok(new) => new,
        Err(errors) => {
            tx.rollback().await?;
            return Ok(Err(errors));
        }
    };
    let linked = || Note::own(user, request, "provider_linked");
    let joined = match joins {
        Some(organization) => join(&mut tx, told, organization, (user, &name, &email)).await?,
        None => None,
    };
    let events = match joined {
        Some((organization, member, change)) => {
            let mut changes = vec![change];
            changes.extend(new.then(|| linked().change(member)));
            Some(Hub::append(&mut tx, organization, &request.origin(Some(member)), changes).await?)
        }
        None if new => audit::note(&mut tx, linked()).await.map(|()| None)?,
        None => None,
    };
    tx.commit().await?;
    if let Some(events) = events {
        app.hub.publish(events);
    }
    Ok(Ok(user))
}

/// The organization that people join by a provider.
async fn find(app: &App, slug: &str) -> Result<Uuid> {
    let found = organizations::table.filter(organizations::slug.eq(slug)).select(organizations::id);
    let found = found.first(&mut *app.database.of_worker().await?).await.optional()?;
    found.ok_or_else(|| Error::ours(format!("identity.oidc names the organization {slug}, which does not exist")))
}

type Account = (Uuid, String, String);

/// Whose account it is, with name and address; held until the commit. One is made where whoever comes `joins`.
async fn account(tx: &mut Transaction, told: &Told<'_>, joins: bool) -> Result<Result<Account, UserErrors>> {
    let known = user_identities::table
        .filter(user_identities::issuer.eq(told.issuer()).and(user_identities::subject.eq(told.subject)))
        .select(user_identities::user_id);
    let linked: Option<Uuid> = known.first(&mut **tx).await.optional()?;
    let Some(email) = told.email.as_deref().filter(|_| linked.is_none()) else {
        let Some(user) = linked else {
            let message = "The provider does not say that your address is yours. Sign in another way, and link the provider \
                           in your account.";
            return Ok(refused(Code::StateInvalid, message));
        };
        return hold(tx, user).await;
    };
    let by_address = users::table.filter(users::email.eq(email)).select((users::id, users::email_verified_at));
    match by_address.first::<(Uuid, Option<DateTime<Utc>>)>(&mut **tx).await.optional()? {
        Some((user, Some(_))) => hold(tx, user).await,
        Some((_, None)) => {
            let message = "There is an account with your address that nobody has confirmed. Sign in to it with its password, \
                           or choose a new one, and confirm the address first.";
            Ok(refused(Code::StateInvalid, message))
        }
        None if joins => make(tx, email, told.name.as_deref()).await,
        None => Ok(refused(Code::NotFound, "There is no account with your address. Ask to be invited.")),
    }
}

/// An account that is not disabled, held until the commit.
pub async fn hold(tx: &mut Transaction, user: Uuid) -> Result<Result<Account, UserErrors>> {
    let held = users::table.find(user).filter(users::disabled_at.is_null());
    let held = held.select((users::id, users::full_name, users::email)).for_no_key_update();
    let held = held.first(&mut **tx).await.optional()?;
    Ok(held.map_or_else(|| refused(Code::StateInvalid, "Your account is disabled."), Ok))
}

/// An account without a password: `passwordForgot` gives it one.
async fn make(tx: &mut Transaction, email: &str, name: Option<&str>) -> Result<Result<Account, UserErrors>> {
    let mut faults = UserErrors::new();
    let mut name = input::name(&mut faults, "", name.unwrap_or_default());
    if name.is_empty() {
        name = email.chars().take_while(|c| *c != '@').collect();
    }
    let user = Uuid::now_v7();
    let made = diesel::insert_into(users::table)
        .values((
            users::id.eq(user),
            users::email.eq(email),
            users::full_name.eq(&name),
            users::email_verified_at.eq(Utc::now()),
        ))
        .on_conflict(users::email)
        .do_nothing();
    if made.execute(&mut **tx).await? == 0 {
        return Ok(refused(Code::Conflict, "Somebody has made this account at the same moment. Sign in once more."));
    }
    Ok(Ok((user, name, email.to_owned())))
}

/// Notes that the account is theirs; its owner is told by mail when that is new, as is the caller, who holds the account.
pub async fn link(
    app: &App,
    tx: &mut Transaction,
    told: &Told<'_>,
    user: Uuid,
    (name, email): (&str, &str),
) -> Result<Result<bool, UserErrors>> {
    let now = Utc::now();
    let new = diesel::insert_into(user_identities::table)
        .values((
            user_identities::id.eq(Uuid::now_v7()),
            user_identities::user_id.eq(user),
            user_identities::issuer.eq(told.issuer()),
            user_identities::subject.eq(told.subject),
            user_identities::created_at.eq(now),
        ))
        .on_conflict((user_identities::issuer, user_identities::subject))
        .do_nothing()
        .execute(&mut **tx)
        .await?;
    let this = user_identities::issuer.eq(told.issuer()).and(user_identities::subject.eq(told.subject));
    let owned = diesel::update(user_identities::table.filter(this).filter(user_identities::user_id.eq(user)))
        .set((user_identities::last_used_at.eq(now), user_identities::email.eq(told.email.as_deref())))
        .execute(&mut **tx)
        .await?;
    if owned == 0 {
        return Ok(refused(Code::NotUnique, "Somebody else signs in with this account of the provider."));
    }
    if new == 1 {
        let mail = IdentityLinked { name: name.to_owned(), provider: told.provider.settings.label().to_owned() };
        app.mail.enqueue(tx, None, email, &mail).await?;
    }
    Ok(Ok(new == 1))
}

/// Makes somebody a member who is none and never was: which one, and what happened.
async fn join(
    tx: &mut Transaction,
    told: &Told<'_>,
    organization: Uuid,
    (user, name, email): (Uuid, &str, &str),
) -> Result<Option<(Uuid, Uuid, Change)>> {
    let (member, now) = (Uuid::now_v7(), Utc::now());
    let made = diesel::insert_into(memberships::table)
        .values((
            memberships::organization_id.eq(organization),
            memberships::id.eq(member),
            memberships::user_id.eq(user),
            memberships::name.eq(name),
            memberships::email.eq(email),
            memberships::avatar.eq(users::table.find(user).select(users::avatar).single_value()),
            memberships::role.eq(&told.provider.settings.role),
            memberships::status.eq(MemberStatus::Active.word()),
            memberships::joined_at.eq(now),
            memberships::created_by.eq(member),
        ))
        .on_conflict((memberships::organization_id, memberships::user_id))
        .do_nothing();
    if made.execute(&mut **tx).await? == 0 {
        return Ok(None);
    }
    let there =
        organizations::table.find(organization).select((organizations::suspended_at, organizations::deleted_at));
    let (suspended_at, deleted_at) = there.first(&mut **tx).await?;
    if let Some(closed) = access::closed(suspended_at, deleted_at) {
        return Err(closed);
    }
    let joined: Member = row(tx, organization, member).await?;
    Ok(Some((organization, member, write::change(None, &joined, "joined")?)))
}

fn refused<T>(code: Code, message: &'static str) -> Result<T, UserErrors> {
    let mut errors = UserErrors::new();
    errors.add("", code, message);
    Err(errors)
}
