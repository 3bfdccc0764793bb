//! Devices: browsers and programs that a person has signed in from (OWASP, device cookies). Whoever guesses passwords
//! elsewhere locks the account for strangers and not for them. Invariant: a device speaks for one account, has its own
//! count of failures, and is forgotten when its person throws intruders out.

use super::{mails::NewSignIn, session::Entrant};
use crate::{
    app::App,
    error::{Error, Result},
    kit::{cookies::Kept, scope::RequestInfo},
    platform::{database::Transaction, throttle::Attempt, tokens::Opaque},
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

/// A device from which somebody has signed in to the account that they now sign in to.
pub struct Device(Vec<u8>);

/// The device that a request comes from, if the account with this address was entered from it before.
pub async fn known(app: &App, request: &RequestInfo, email: Option<&str>) -> Result<Option<Device>> {
    let (Some(hash), Some(email)) = (hash(request), email) else { return Ok(None) };
    let most = i32::try_from(app.config.identity.max_failures).unwrap_or(i32::MAX);
    let known = devices::table
        .inner_join(users::table)
        .filter(devices::hash.eq(hash).and(users::email.eq(email)))
        .filter(devices::failures.lt(most).and(devices::last_used_at.gt(Utc::now() - UNUSED)))
        .select(devices::hash);
    let known = known.first(&mut *app.database.of_nobody().await?).await.optional()?;
    Ok(known.map(Device))
}

impl Device {
    /// Counts an attempt to sign in from it; RATE_LIMITED after too many failures.
    pub fn attempt(&self, app: &App) -> Result<Attempt> {
        let settings = &app.config.identity;
        let key: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        app.throttle.attempt("device", &key, settings.max_failures, Duration::from_secs(settings.lock_seconds))
    }

    /// Counts in the database as well, for restarts and other nodes.
    pub async fn count_failure(&self, app: &App) -> Result<()> {
        diesel::update(devices::table.find(&self.0))
            .set(devices::failures.eq(devices::failures + 1))
            .execute(&mut *app.database.of_nobody().await?)
            .await?;
        Ok(())
    }
}

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
