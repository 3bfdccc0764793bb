//! Accepting an invitation: somebody becomes a member. Invariants: it works once, for whoever has the token and is, or
//! becomes, the person of that address; who only looks at it does not learn whether there is an account.

use super::{
    access,
    audit::{Note, row},
    custom_role::{name_of, permissions_of},
    input,
    invitation::Invitation,
    member::{Member, MemberStatus},
    organization::Organization,
    register::new_password,
    second_factor::{self, spend},
    session::{self, Entrant, SessionTokens},
    sign_in::{allow_address, attempt, count_failure},
    succession::HandOn,
};
use crate::{
    app::App,
    error::Result,
    events::Hub,
    kit::{
        entity::{self, Entity},
        permission::Role,
        scalars::DateTime,
        scope::{Ask, Caller},
        user_error::{UserError, UserErrorCode as Code, UserErrors},
        value::Bind,
        write,
    },
    platform::{database::Transaction, tokens::LinkToken},
    schema::{invitations, memberships, organizations, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

/// What an invitation is about, for whoever has its link.
#[derive(SimpleObject)]
pub struct InvitationPreview {
    /// The name of the organization.
    organization_name: String,
    /// What you will be there: the built-in role; GUEST where it is one of the organization's own.
    role: Role,
    /// What people there call the role, built in or the organization's own.
    role_name: String,
    /// Whom it is for.
    email: String,
    /// Until when it can be accepted.
    expires_at: DateTime,
}

/// Who accepts which invitation.
#[derive(InputObject)]
pub struct InvitationAcceptInput {
    /// The token of the link in the mail.
    token: String,
    /// The password of the account with this address, or of the one that is made: then 10 to 128 characters, and not
    /// easy to guess. Not needed by whoever is signed in.
    password: Option<String>,
    /// Needed beside the password of an account with two-factor sign-in: the six digits that its authenticator shows now,
    /// or a recovery code. One that is missing answers TWO_FACTOR_REQUIRED.
    code: Option<String>,
    /// Your name, 1 to 120 characters. Needed for a new account only.
    full_name: Option<String>,
}

/// What came of `invitationAccept`.
#[derive(SimpleObject)]
pub struct InvitationAcceptPayload {
    /// Where you are a member now; null when there are user errors.
    organization: Option<Organization>,
    /// For a new account. Who had one already signs in with `login`, naming the organization.
    session: Option<SessionTokens>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct InvitationPreviewQuery;

#[Object]
impl InvitationPreviewQuery {
    /// What the invitation with this token is about. Null when it cannot be accepted: it was accepted, revoked or sent
    /// again, or has expired.
    ///
    /// Errors: RATE_LIMITED.
    async fn invitation_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token of the link in the mail.")] token: String,
    ) -> Option<InvitationPreview> {
        let preview = async {
            let caller = ctx.caller()?;
            allow_address(caller.app(), caller.request()).await?;
            Ok(preview(caller.app(), &token).await?)
        };
        ctx.settle(preview.await).flatten()
    }
}

#[derive(Default)]
pub struct InvitationAcceptMutation;

#[Object]
impl InvitationAcceptMutation {
    /// Becomes a member by an invitation: as whoever is signed in with the invited address, with the password of the
    /// account that has it, or with a new account. The token works once; one that cannot be accepted is INVALID, and
    /// STATE_INVALID for somebody else who is signed in, and for who is a member already.
    ///
    /// Errors: RATE_LIMITED; ORGANIZATION_SUSPENDED.
    async fn invitation_accept(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who accepts which invitation.")] input: InvitationAcceptInput,
    ) -> Option<InvitationAcceptPayload> {
        ctx.settle(
            Box::pin(async {
                let (organization, session, user_errors) = match Box::pin(accept(ctx.caller()?, input)).await? {
                    Ok((organization, session)) => (Some(organization), session, Vec::new()),
                    Err(errors) => (None, None, errors.into()),
                };
                Ok(InvitationAcceptPayload { organization, session, user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

async fn preview(app: &App, token: &str) -> Result<Option<InvitationPreview>> {
    let Some(token) = LinkToken::parse(token) else { return Ok(None) };
    let mut conn = app.database.of(token.organization).await?;
    let Some(invitation) = open(&mut conn, &token).await? else { return Ok(None) };
    let organization = organizations::table.find(token.organization).select(organizations::name);
    Ok(Some(InvitationPreview {
        organization_name: organization.first(&mut *conn).await?,
        role: invitation.role,
        role_name: {
            let own_role = invitation.custom_role_id.map(|id| id.0);
            name_of(&mut conn, token.organization, invitation.role, own_role).await?
        },
        email: invitation.email.0,
        expires_at: invitation.expires_at,
    }))
}

/// The invitation that can be accepted with this token: whoever sent it may still give its role.
async fn open(conn: &mut AsyncPgConnection, token: &LinkToken) -> Result<Option<Invitation>> {
    let mut sql = entity::select(Invitation::table());
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(token.organization)));
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(token.about)));
    sql.push(" AND t0.accepted_at IS NULL AND t0.revoked_at IS NULL AND t0.expires_at > now()");
    let found: Vec<Invitation> = sql.load(conn).await?;
    let Some(invitation) = found.into_iter().next() else { return Ok(None) };
    let sender = memberships::organization_id.eq(invitations::organization_id);
    let sent_by: Option<(String, Option<Uuid>)> = invitations::table
        .inner_join(memberships::table.on(sender.and(memberships::id.eq(invitations::created_by))))
        .filter(invitations::organization_id.eq(token.organization).and(invitations::id.eq(token.about)))
        .filter(invitations::token_hash.eq(token.hash()))
        .filter(memberships::status.eq(MemberStatus::Active.word()))
        .select((memberships::role, memberships::custom_role_id))
        .first(&mut *conn)
        .await
        .optional()?;
    let Some((Some(role), own_role)) = sent_by.map(|(role, own)| (Role::parse(&role), own)) else { return Ok(None) };
    let theirs = permissions_of(conn, token.organization, role, own_role).await?;
    let own_role = invitation.custom_role_id.map(|id| id.0);
    let given = permissions_of(conn, token.organization, invitation.role, own_role).await?;
    Ok(theirs.cover(&given).then_some(invitation))
}

fn not_valid() -> UserErrors {
    one("token", Code::Invalid, "This invitation cannot be accepted any more. Ask to be invited again.")
}

fn one(field: &str, code: Code, message: &'static str) -> UserErrors {
    let mut errors = UserErrors::new();
    errors.add(field, code, message);
    errors
}

/// Who becomes a member.
struct Person {
    id: Uuid,
    name: String,
    /// Their password's hash, when the account is to be made.
    new: Option<String>,
}

type Accepted = (Organization, Option<SessionTokens>);

async fn accept(caller: &Caller, input: InvitationAcceptInput) -> Result<Result<Accepted, UserErrors>> {
    let (app, request) = (caller.app(), caller.request());
    if let Caller::Member(scope) = caller {
        scope.actor.session()?;
    }
    allow_address(app, request).await?;
    let Some(token) = LinkToken::parse(&input.token) else { return Ok(Err(not_valid())) };
    // No connection is held while a password is hashed.
    let invitation = {
        let mut conn = app.database.of(token.organization).await?;
        open(&mut conn, &token).await?
    };
    let Some(invitation) = invitation else { return Ok(Err(not_valid())) };
    let person = match identify(caller, &invitation.email.0, input).await? {
        Ok(person) => person,
        Err(errors) => return Ok(Err(errors)),
    };
    let mut tx = app.database.of(token.organization).await?.begin().await?;
    let joined = join(app, &mut tx, &token, &invitation, &person).await?;
    let (organization, member, mut changes) = match joined {
        Ok(joined) => joined,
        Err(errors) => {
            tx.rollback().await?;
            return Ok(Err(errors));
        }
    };
    let session = match person.new {
        Some(_) => {
            let who = Entrant { organization: token.organization, member, user: person.id };
            changes.push(Note::own(person.id, request, "signed_in").change(member));
            Some(session::enter(app, &mut tx, who, request).await?)
        }
        None => None,
    };
    let events = Hub::append(&mut tx, token.organization, &request.origin(Some(member)), changes).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(Ok((organization, session)))
}

/// Whoever is signed in, or has the password, or is new.
async fn identify(caller: &Caller, email: &str, input: InvitationAcceptInput) -> Result<Result<Person, UserErrors>> {
    let (app, request) = (caller.app(), caller.request());
    type Found = (Uuid, String, String, Option<String>);
    let select = (users::id, users::email, users::full_name, users::password_hash);
    let mut conn = app.database.of_nobody().await?;
    if let Caller::Member(scope) = caller {
        let own = users::table.find(scope.actor.user).select(select);
        let (id, own, name, _): Found = own.first(&mut *conn).await?;
        if own != email {
            let message = "This invitation is for another address than the one that you are signed in with.";
            return Ok(Err(one("token", Code::StateInvalid, message)));
        }
        return Ok(Ok(Person { id, name, new: None }));
    }
    let state = (users::locked_until, users::disabled_at, users::totp_confirmed_at.is_not_null());
    let known = users::table.filter(users::email.eq(email)).select((select, state));
    type Known = (Found, (Option<chrono::DateTime<Utc>>, Option<chrono::DateTime<Utc>>, bool));
    let known: Option<Known> = known.first(&mut *conn).await.optional()?;
    drop(conn);
    let given = input.password.unwrap_or_default();
    let Some(((id, _, name, hash), (locked_until, disabled_at, two_factor))) = known else {
        let mut errors = UserErrors::new();
        let name = input::name(&mut errors, "fullName", &input.full_name.unwrap_or_default());
        new_password(app, &mut errors, "password", &given, vec![email.to_owned(), name.clone()]).await?;
        if !errors.is_empty() {
            return Ok(Err(errors));
        }
        return Ok(Ok(Person { id: Uuid::now_v7(), name, new: Some(app.passwords.hash(given).await?) }));
    };
    if given.is_empty() {
        let message = "Sign in with the invited address first, or give the password of the account that has it.";
        return Ok(Err(one("password", Code::Required, message)));
    }
    let attempt = attempt(app, email).await?;
    let open = disabled_at.is_none() && locked_until.is_none_or(|end| end <= Utc::now());
    let known = app.passwords.verify(given, hash).await? && open;
    let right = match input.code {
        None if known && two_factor => return Ok(Err(one("code", Code::TwoFactorRequired, second_factor::MISSING))),
        Some(code) if known && two_factor => {
            spend(app, &mut *app.database.of_nobody().await?, id, &code, false).await?
        }
        _ => known,
    };
    if right {
        attempt.succeeded();
        return Ok(Ok(Person { id, name, new: None }));
    }
    count_failure(app, request, email, Some(id)).await?;
    attempt.failed();
    let message = "This is not the password of the account with the invited address.";
    let (field, message) = if known { ("code", second_factor::WRONG) } else { ("password", message) };
    Ok(Err(one(field, Code::Invalid, message)))
}

type Joined = (Organization, Uuid, Vec<crate::events::Change>);

/// Writes the rows; says which member they are now, and what happened.
async fn join(
    app: &App,
    tx: &mut Transaction,
    token: &LinkToken,
    invitation: &Invitation,
    person: &Person,
) -> Result<Result<Joined, UserErrors>> {
    let (organization, now) = (token.organization, DateTime::now());
    // Of many at once the first has the row; the others wait for it here and find the invitation accepted.
    let taken = diesel::update(invitations::table.find((organization, invitation.id.0)))
        .filter(invitations::accepted_at.is_null().and(invitations::revoked_at.is_null()))
        .filter(invitations::token_hash.eq(token.hash()).and(invitations::expires_at.gt(now.0)))
        .set(invitations::accepted_at.eq(now.0))
        .execute(&mut **tx)
        .await?;
    if taken == 0 {
        return Ok(Err(not_valid()));
    }
    type Closed = (Organization, Option<chrono::DateTime<Utc>>, Option<chrono::DateTime<Utc>>);
    let there = (Organization::as_select(), organizations::suspended_at, organizations::deleted_at);
    let (there, suspended_at, deleted_at): Closed =
        organizations::table.find(organization).select(there).first(&mut **tx).await?;
    if let Some(closed) = access::closed(suspended_at, deleted_at) {
        return Err(closed);
    }
    if !know(tx, &invitation.email.0, person, now).await? {
        let message = "There is an account with this address by now: give its password.";
        return Ok(Err(one("password", Code::Conflict, message)));
    }
    let (member, before) = match seat(tx, invitation, person, organization, now).await? {
        Some(seated) => seated,
        None => return Ok(Err(one("token", Code::StateInvalid, "You are a member of this organization already."))),
    };
    diesel::update(invitations::table.find((organization, invitation.id.0)))
        .set((
            invitations::member_id.eq(member),
            invitations::updated_at.eq(now.0),
            invitations::version.eq(invitations::version + 1),
        ))
        .execute(&mut **tx)
        .await?;
    if before.is_some() {
        // What they are in may have nobody else who can look after it.
        app.jobs.enqueue(tx, None, &HandOn { organization }).await?;
    }
    let joined: Member = row(tx, organization, member).await?;
    let accepted: Invitation = row(tx, organization, invitation.id.0).await?;
    let changes = vec![
        write::change(before.as_ref(), &joined, "joined")?,
        write::change(Some(invitation), &accepted, "accepted")?,
    ];
    Ok(Ok((there, member, changes)))
}

/// Makes the account, or notes that its address was shown to be theirs. False: somebody else has made one meanwhile.
async fn know(tx: &mut Transaction, email: &str, person: &Person, now: DateTime) -> Result<bool> {
    let Some(hash) = &person.new else {
        let unverified = users::table.find(person.id).filter(users::email_verified_at.is_null());
        let verified = diesel::update(unverified.filter(users::email.eq(email)));
        verified.set(users::email_verified_at.eq(now.0)).execute(&mut **tx).await?;
        return Ok(true);
    };
    let made = diesel::insert_into(users::table)
        .values((
            users::id.eq(person.id),
            users::email.eq(email),
            users::password_hash.eq(hash),
            users::full_name.eq(&person.name),
            users::email_verified_at.eq(now.0),
        ))
        .on_conflict(users::email)
        .do_nothing();
    Ok(made.execute(&mut **tx).await? == 1)
}

/// A new member, or one who was removed and comes back, with what they were before; `None`: they are here already.
async fn seat(
    tx: &mut Transaction,
    invitation: &Invitation,
    person: &Person,
    organization: Uuid,
    now: DateTime,
) -> Result<Option<(Uuid, Option<Member>)>> {
    let new = (
        memberships::name.eq(&person.name),
        memberships::email.eq(&invitation.email.0),
        memberships::avatar.eq(users::table.find(person.id).select(users::avatar).single_value()),
        memberships::role.eq(invitation.role.as_str()),
        memberships::custom_role_id.eq(invitation.custom_role_id.map(|id| id.0)),
        memberships::status.eq(MemberStatus::Active.word()),
        memberships::joined_at.eq(now.0),
    );
    let id = Uuid::now_v7();
    let made = diesel::insert_into(memberships::table)
        .values((
            memberships::organization_id.eq(organization),
            memberships::id.eq(id),
            memberships::user_id.eq(person.id),
            memberships::created_by.eq(invitation.created_by.map(|id| id.0)),
            new,
        ))
        .on_conflict((memberships::organization_id, memberships::user_id))
        .do_nothing()
        .execute(&mut **tx)
        .await?;
    if made == 1 {
        return Ok(Some((id, None)));
    }
    let here = memberships::organization_id.eq(organization).and(memberships::user_id.eq(person.id));
    let removed = memberships::status.eq(MemberStatus::Removed.word());
    let held = memberships::table.filter(here.and(removed)).select(memberships::id).for_no_key_update();
    let Some(id) = held.first::<Uuid>(&mut **tx).await.optional()? else { return Ok(None) };
    let before: Member = row(tx, organization, id).await?;
    diesel::update(memberships::table.find((organization, id)))
        .set((new, memberships::version.eq(memberships::version + 1), memberships::updated_at.eq(now.0)))
        .execute(&mut **tx)
        .await?;
    Ok(Some((id, Some(before))))
}
