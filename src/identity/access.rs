//! From an access token or an API key to who asks. Invariant: a token is only as good as its session, its member, its
//! user and its organization are at this moment, give or take a second.

use super::{api_key_access, custom_role::effective, role::described};
use crate::{
    app::App,
    error::{Code, Error, Result},
    kit::{
        permission::{Permissions, Role},
        scope::{Actor, Credential, RequestInfo, Scope},
    },
    platform::{
        standing::{Standing, Watch},
        tokens,
    },
    schema::{memberships, organizations, roles, sessions, users},
};
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::sync::Arc;
use uuid::Uuid;

/// Turns an access token or an API key into who asks. UNAUTHENTICATED with a reason otherwise; never silently a
/// stranger.
pub async fn authenticate(app: &Arc<App>, token: &str, request: RequestInfo) -> Result<Scope> {
    if token.starts_with(tokens::LEAD) {
        return api_key_access::authenticate(app, token, request).await;
    }
    let claims = app.tokens.check(token)?;
    let standing = standing(app, claims.organization, claims.session).await?;
    if (standing.member, standing.user) != (claims.member, claims.user) {
        return Err(Error::unauthenticated("INVALID", "This access token is not valid. Sign in again."));
    }
    scope(app, &standing, Credential::Session(claims.session), claims.expires_at, request)
}

/// Who asks with a credential that stands.
pub(super) fn scope(
    app: &Arc<App>,
    standing: &Standing,
    credential: Credential,
    expires_at: DateTime<Utc>,
    request: RequestInfo,
) -> Result<Scope> {
    let actor = Actor {
        organization: standing.organization,
        member: standing.member,
        user: standing.user,
        credential,
        expires_at,
        role: role(&standing.role)?,
        role_name: Arc::clone(&standing.role_name),
        permissions: Permissions::unpacked(&standing.permissions),
        team: Arc::clone(&standing.team),
        unverified: standing.unverified,
        time_zone: standing.time_zone,
        currency: Arc::clone(&standing.currency),
    };
    Ok(Scope { app: Arc::clone(app), actor: Arc::new(actor), request, loads: Arc::default() })
}

/// Who asked a while ago with that credential, as they are now. UNAUTHENTICATED (EXPIRED, REVOKED) when it does not stand any
/// more.
pub async fn resume(app: &Arc<App>, organization: Uuid, credential: Credential, request: RequestInfo) -> Result<Scope> {
    let standing = by(app, organization, &credential).await?;
    scope(app, &standing, credential, standing.expires_at, request)
}

/// A member as they are by now, or what the API key is that spoke for them, for something that was asked for before.
/// UNAUTHENTICATED (REVOKED) or ORGANIZATION_SUSPENDED when they would not get in.
pub async fn as_of_now(
    app: &Arc<App>,
    organization: Uuid,
    (member, api_key): (Uuid, Option<Uuid>),
    asked_for: Uuid,
) -> Result<Scope> {
    let mut conn = app.database.of(organization).await?;
    let key = match api_key {
        Some(id) => Some((id, api_key_access::allowed(&mut conn, (organization, id), member).await?)),
        None => None,
    };
    let insider = insider(&mut conn, organization, member).await?;
    let ends = DateTime::<Utc>::MAX_UTC;
    let standing = stands(&mut conn, organization, insider, key, (ends, None)).await?;
    let request = RequestInfo { id: asked_for.to_string().into(), ..RequestInfo::default() };
    scope(app, &standing, Credential::Earlier { asked_for, api_key }, ends, request)
}

/// What is known of a credential, at most a second old.
async fn by(app: &Arc<App>, organization: Uuid, credential: &Credential) -> Result<Arc<Standing>> {
    match credential {
        Credential::Session(session) => standing(app, organization, *session).await,
        Credential::ApiKey(_, token) => api_key_access::standing(app, token, None).await,
        Credential::Earlier { .. } => Err(expired()),
    }
}

/// Whether a scope still holds: its token has not ended, its session or API key stands, and its member may what it might
/// when the scope was made. Asked for open sockets when `watch` rings. UNAUTHENTICATED (EXPIRED, REVOKED) when it does not.
pub async fn recheck(scope: &Scope) -> Result<()> {
    let actor = &scope.actor;
    if actor.expires_at <= Utc::now() {
        return Err(Error::unauthenticated("EXPIRED", "The access token has expired."));
    }
    let standing = by(&scope.app, actor.organization, &actor.credential).await?;
    let same = standing.role == actor.role.as_str()
        && Permissions::unpacked(&standing.permissions) == actor.permissions
        && standing.unverified == actor.unverified
        && standing.team == actor.team
        && (standing.time_zone, &standing.currency) == (actor.time_zone, &actor.currency);
    if !same {
        return Err(Error::unauthenticated("REVOKED", "What holds for you here has changed. Connect again."));
    }
    Ok(())
}

/// Tells when a scope has to be rechecked.
pub fn watch(scope: &Scope) -> Watch {
    let actor = &scope.actor;
    scope.app.standings.watch([actor.organization, actor.member, actor.user, actor.credential.id()])
}

/// What is known of the session, at most a second old.
async fn standing(app: &App, organization: Uuid, session: Uuid) -> Result<Arc<Standing>> {
    let load = async {
        let mut connection = app.database.of(organization).await?;
        load(&mut connection, organization, session).await.map(Arc::new)
    };
    let standing = app.standings.get(session, Box::pin(load)).await?;
    if standing.expires_at <= Utc::now() { Err(expired()) } else { Ok(standing) }
}

/// A member who asks, and what they stand on.
#[derive(Queryable)]
struct Insider {
    member: Uuid,
    user: Uuid,
    role: String,
    own_role: Option<(String, Vec<Option<String>>)>,
    status: String,
    disabled_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
    /// Where members must show that their address is theirs, and this one has not.
    unverified: bool,
    time_zone: String,
    currency: String,
}

/// By which the organization's own role of a member is joined.
macro_rules! own_role {
    () => {
        roles::organization_id
            .eq(memberships::organization_id)
            .and(roles::id.nullable().eq(memberships::custom_role_id))
            .and(roles::deleted_at.is_null())
    };
}

/// Its columns, of memberships joined with users, organizations and roles.
macro_rules! insider {
    () => {
        (
            memberships::id,
            memberships::user_id,
            memberships::role,
            (roles::name, roles::permissions).nullable(),
            memberships::status,
            users::disabled_at,
            organizations::suspended_at,
            organizations::deleted_at,
            organizations::require_verified_email.and(users::email_verified_at.is_null()),
            organizations::time_zone,
            organizations::currency,
        )
    };
}

#[derive(Queryable)]
struct Found {
    revoked_at: Option<DateTime<Utc>>,
    /// Not since then, wherever it was changed.
    password_unchanged: bool,
    expires_at: DateTime<Utc>,
    insider: Insider,
}

/// Asks the database. UNAUTHENTICATED (EXPIRED, REVOKED) or ORGANIZATION_SUSPENDED when nobody gets in with it.
pub(super) async fn load(conn: &mut AsyncPgConnection, organization: Uuid, session: Uuid) -> Result<Standing> {
    let same_member =
        memberships::organization_id.eq(sessions::organization_id).and(memberships::id.eq(sessions::member_id));
    let found: Option<Found> = sessions::table
        .inner_join(memberships::table.on(same_member))
        .inner_join(users::table.on(users::id.eq(memberships::user_id)))
        .inner_join(organizations::table.on(organizations::id.eq(sessions::organization_id)))
        .left_join(roles::table.on(own_role!()))
        .filter(sessions::organization_id.eq(organization).and(sessions::id.eq(session)))
        .select((
            sessions::revoked_at,
            sessions::password_changes.eq(users::password_changes),
            sessions::expires_at,
            insider!(),
        ))
        .first(&mut *conn)
        .await
        .optional()?;
    let revoked = || Error::unauthenticated("REVOKED", "This session has ended. Sign in again.");
    let found = found.ok_or_else(revoked)?;
    if found.revoked_at.is_some() || !found.password_unchanged || found.insider.disabled_at.is_some() {
        return Err(revoked());
    }
    let over = (found.expires_at <= Utc::now()).then(expired);
    stands(conn, organization, found.insider, None, (found.expires_at, over)).await
}

/// As `load`, of a member whom an API key speaks for until `ends`: its id and what it may at most.
pub(super) async fn load_member(
    conn: &mut AsyncPgConnection,
    (organization, member): (Uuid, Uuid),
    key: (Uuid, Vec<String>),
    ends: DateTime<Utc>,
) -> Result<Standing> {
    let insider = insider(conn, organization, member).await?;
    stands(conn, organization, insider, Some(key), (ends, None)).await
}

async fn insider(conn: &mut AsyncPgConnection, organization: Uuid, member: Uuid) -> Result<Insider> {
    let insider = memberships::table
        .inner_join(users::table)
        .inner_join(organizations::table)
        .left_join(roles::table.on(own_role!()))
        .filter(memberships::organization_id.eq(organization).and(memberships::id.eq(member)))
        .select(insider!());
    Ok(insider.first(conn).await?)
}

async fn stands(
    conn: &mut AsyncPgConnection,
    organization: Uuid,
    insider: Insider,
    key: Option<(Uuid, Vec<String>)>,
    (expires_at, over): (DateTime<Utc>, Option<Error>),
) -> Result<Standing> {
    if insider.status != "active" || insider.disabled_at.is_some() {
        return Err(Error::unauthenticated("REVOKED", "You are not an active member of this organization any more."));
    }
    if let Some(refused) = over.or_else(|| closed(insider.suspended_at, insider.deleted_at)) {
        return Err(refused);
    }
    let built_in = role(&insider.role)?;
    let own = effective(built_in, insider.own_role.as_ref().map(|(_, words)| words.as_slice()));
    let permissions = match &key {
        Some((_, words)) => own.intersect(&Permissions::of_words(words)),
        None => own,
    };
    // An API key may reach as far as a team where the role itself reaches farther.
    let team = match permissions.need_team() {
        true => team(conn, organization, insider.member).await?,
        false => vec![insider.member],
    };
    Ok(Standing {
        organization,
        member: insider.member,
        user: insider.user,
        expires_at,
        key: key.map(|(id, _)| id),
        role: insider.role,
        role_name: insider.own_role.map_or_else(|| described(built_in).0.into(), |(name, _)| name.into()),
        permissions: permissions.packed(),
        team: team.into(),
        unverified: insider.unverified,
        currency: insider.currency.into(),
        time_zone: insider.time_zone.parse().unwrap_or(chrono_tz::UTC),
    })
}

/// The member, all who report to it, directly or not, and the members of the teams that it leads itself: whoever leads
/// a team with somebody higher up in it does not come to lead what these lead. 10 000 at most, some of them twice.
/// `UNION` ends at a circle of managers, should there ever be one.
const TEAM: &str = "
    WITH RECURSIVE reports AS (
        SELECT $2 AS id
        UNION
        SELECT m.id FROM reports JOIN memberships m ON m.organization_id = $1 AND m.manager_id = reports.id
    )
    SELECT id FROM (
        SELECT id FROM reports
        UNION ALL
        SELECT m.member_id FROM teams t JOIN team_members m ON m.organization_id = $1 AND m.team_id = t.id
        WHERE t.organization_id = $1 AND t.leader_id = $2
    ) team LIMIT 10000";

#[derive(QueryableByName)]
struct Mate {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

async fn team(conn: &mut AsyncPgConnection, organization: Uuid, member: Uuid) -> Result<Vec<Uuid>> {
    let team = diesel::sql_query(TEAM).bind::<sql_types::Uuid, _>(organization).bind::<sql_types::Uuid, _>(member);
    let mut team: Vec<Uuid> = team.load::<Mate>(conn).await?.into_iter().map(|mate| mate.id).collect();
    team.sort_unstable();
    team.dedup();
    Ok(team)
}

fn role(name: &str) -> Result<Role> {
    Role::parse(name).ok_or_else(|| Error::ours(format!("a membership has the role {name}, which does not exist")))
}

fn expired() -> Error {
    Error::unauthenticated("EXPIRED", "This session has expired. Sign in again.")
}

/// What every way in answers while the organization is suspended or deleted.
pub(super) fn closed(suspended_at: Option<DateTime<Utc>>, deleted_at: Option<DateTime<Utc>>) -> Option<Error> {
    let (reason, message) = match (suspended_at, deleted_at) {
        (Some(_), _) => ("SUSPENDED", "This organization is suspended. Ask whoever runs this server."),
        (_, Some(_)) => ("DELETED", "This organization was deleted. Its owners have a mail with which to restore it."),
        (None, None) => return None,
    };
    Some(Error::yours_with(Code::OrganizationSuspended, message, vec![("reason", reason.into())]))
}
