//! Devices: browsers and programs that a person has signed in from (OWASP, device cookies). Whoever guesses passwords
//! elsewhere locks the account for strangers and not for them. Invariant: a device speaks for one account, has its own
//! count of failures, and is forgotten when its person throws intruders out.

use super::{
    audit::{self, Note},
    mails::NewSignIn,
    session::Entrant,
    sign_in::{allow_address, allow_refresh, attempt, count_failure},
    sign_in_log::{self, SignInOutcome},
};
use crate::{
    app::App,
    error::{Error, Result},
    kit::{cookies::Kept, scope::RequestInfo},
    platform::{database::Transaction, password::Passwords, throttle::Attempt, tokens::Opaque},
    schema::{devices, sessions, users},
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::time::Duration;
use uuid::Uuid;

const TOKEN: Opaque = Opaque("stoa_dt_");
/// Devices of a person that are remembered; the one that was not used for longest goes for a new one.
const MOST: i64 = 20;
/// How long a device is remembered that is not used. Browsers keep no cookie for longer.
const UNUSED: TimeDelta = TimeDelta::days(400);

/// What attempts to sign in are counted against: a device from which the account was entered before, by its hash, or the
/// address and the account. What is counted for the one is nothing to the other, and no flood of strangers is in the way of a
/// known device.
pub struct Guard(Option<Vec<u8>>);

impl Guard {
    /// Looks whether the device that a request comes from is known to the account with this address.
    pub async fn of(app: &App, request: &RequestInfo, email: Option<&str>) -> Result<Self> {
        let (Some(hash), Some(email)) = (hash(request), email) else { return Ok(Guard(None)) };
        allow_refresh(app, request).await?;
        let most = i32::try_from(app.config.identity.max_failures).unwrap_or(i32::MAX);
        let known = devices::table
            .inner_join(users::table)
            .filter(devices::hash.eq(hash).and(users::email.eq(email)))
            .filter(devices::failures.lt(most).and(devices::last_used_at.gt(Utc::now() - UNUSED)))
            .select(devices::hash);
        Ok(Guard(known.first(&mut *app.database.of_nobody().await?).await.optional()?))
    }

    /// Whether it is a device of the person.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Counts an attempt, before a password is hashed. RATE_LIMITED after too many from one address or for one account;
    /// after too many failures from a known device.
    pub async fn attempt(&self, app: &App, request: &RequestInfo, email: &str) -> Result<Attempt> {
        let Some(device) = &self.0 else {
            allow_address(app, request).await?;
            return attempt(app, email).await;
        };
        let settings = &app.config.identity;
        let key: String = device.iter().map(|byte| format!("{byte:02x}")).collect();
        let lock = Duration::from_secs(settings.lock_seconds);
        app.throttle.attempt("device", &key, settings.max_failures, lock).await
    }

    /// Where passwords are hashed.
    pub fn passwords(&self, app: &App) -> Passwords {
        if self.is_known() { app.passwords.for_known() } else { app.passwords.clone() }
    }

    /// Counts in the database as well, for restarts and other nodes, and keeps that somebody tried. `user`: whose account
    /// it is, if there is one.
    pub async fn count_failure(&self, app: &App, request: &RequestInfo, email: &str, user: Option<Uuid>) -> Result<()> {
        let (Some(device), Some(id)) = (&self.0, user) else { return count_failure(app, request, email, user).await };
        let mut tx = app.database.of_nobody().await?.begin().await?;
        diesel::update(devices::table.find(device))
            .set(devices::failures.eq(devices::failures + 1))
            .execute(&mut *tx)
            .await?;
        sign_in_log::keep(app, &mut tx, request, email, user, SignInOutcome::Refused).await?;
        audit::note(&mut tx, Note::stranger(id, request, "sign_in_refused")).await?;
        tx.commit().await
    }

    /// What a sign-in makes good of the account. From a known device: nothing, as what strangers have done stays counted.
    pub fn forgiven(&self) -> Option<Forgiven> {
        (!self.is_known()).then_some((users::failed_logins.eq(0), users::locked_until.eq(None)))
    }
}

type Forgiven =
    (diesel::dsl::Eq<users::failed_logins, i32>, diesel::dsl::Eq<users::locked_until, Option<DateTime<Utc>>>);

/// Remembers where somebody signs in from, who has just shown who they are, in the transaction of the sign-in and before
/// its session is opened. The token of a new device; `None` when it is known. A person who was here before is told by
/// mail of a device that looks like none of theirs.
pub async fn remember(
    app: &App,
    tx: &mut Transaction,
    who: Entrant,
    request: &RequestInfo,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    if let Some(hash) = hash(request) {
        let known = diesel::update(devices::table.find(hash).filter(devices::user_id.eq(who.user)))
            .set((devices::last_used_at.eq(now), devices::failures.eq(0)))
            .execute(&mut **tx)
            .await?;
        if known > 0 {
            return Ok(None);
        }
    }
    let surplus = devices::table
        .filter(devices::user_id.eq(who.user))
        .order(devices::last_used_at.desc())
        .offset(MOST - 1)
        .select(devices::hash);
    let surplus: Vec<Vec<u8>> = surplus.load(&mut **tx).await?;
    diesel::delete(devices::table.filter(devices::hash.eq_any(surplus))).execute(&mut **tx).await?;
    let (token, hash) = TOKEN.issue()?;
    diesel::insert_into(devices::table)
        .values((
            devices::hash.eq(hash),
            devices::user_id.eq(who.user),
            devices::created_at.eq(now),
            devices::last_used_at.eq(now),
        ))
        .execute(&mut **tx)
        .await?;
    if !is_familiar(tx, who, request).await? {
        tell(app, tx, who, request, now).await?;
    }
    match &request.cookies {
        Some(cookies) => {
            cookies.keep(Kept::Device, &token, UNUSED.num_seconds());
            Ok(None)
        }
        None => Ok(Some(token)),
    }
}

/// Forgets the devices of a person but the one that asks: somebody else may have signed in from them.
pub async fn forget_others(tx: &mut Transaction, user: Uuid, request: &RequestInfo) -> Result<()> {
    diesel::delete(devices::table.filter(devices::user_id.eq(user)))
        .filter(devices::hash.ne(hash(request).unwrap_or_default()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes what was not used for long; for the hourly upkeep.
pub async fn purge(app: &App) -> Result<()> {
    let unused = devices::table.filter(devices::last_used_at.lt(Utc::now() - UNUSED));
    diesel::delete(unused).execute(&mut *app.database.of_nobody().await?).await?;
    Ok(())
}

fn hash(request: &RequestInfo) -> Option<Vec<u8>> {
    TOKEN.hash(request.device.as_deref()?)
}

/// Whether the person has had a session from the same address with the same program: not every client keeps the token of
/// its device, and a mail at each sign-in would be read by nobody. Whoever has never signed in expects no mail.
async fn is_familiar(tx: &mut Transaction, who: Entrant, request: &RequestInfo) -> Result<bool> {
    let new: bool = users::table.find(who.user).select(users::last_login_at.is_null()).first(&mut **tx).await?;
    if new {
        return Ok(true);
    }
    let (address, agent) = (request.address.map(|address| address.to_string()), super::session::user_agent(request));
    let alike = sessions::table
        .filter(sessions::organization_id.eq(who.organization).and(sessions::member_id.eq(who.member)))
        .filter(sessions::address.is_not_distinct_from(address).and(sessions::user_agent.is_not_distinct_from(agent)));
    diesel::select(diesel::dsl::exists(alike)).get_result(&mut **tx).await.map_err(Error::from)
}

async fn tell(app: &App, tx: &mut Transaction, who: Entrant, request: &RequestInfo, now: DateTime<Utc>) -> Result<()> {
    let person = users::table.find(who.user).select((users::email, users::full_name, users::time_zone));
    let (email, name, zone): (String, String, String) = person.first(&mut **tx).await?;
    let zone = zone.parse().unwrap_or(chrono_tz::UTC);
    let mail = NewSignIn {
        name,
        at: format!("{} ({zone})", now.with_timezone(&zone).format("%-d %B %Y, %H:%M")),
        address: request.address.map_or_else(|| "unknown".to_owned(), |address| address.to_string()),
        device: request.user_agent.as_deref().unwrap_or("unknown").to_owned(),
    };
    app.mail.enqueue(tx, None, &email, &mail).await
}
