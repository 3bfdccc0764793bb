//! Registration: somebody new founds an organization. Invariant: user, organization and the owner's membership come
//! into being together or not at all.

use super::{
    audit::{Note, row},
    email_verification::welcome,
    input,
    member::Member,
    organization_update,
    session::{self, Entrant, SessionTokens},
    sign_in::allow_address,
};
use crate::{
    app::App,
    error::{Error, Result},
    events::Hub,
    kit::{
        permission::Role,
        scope::{Ask, RequestInfo},
        user_error::{UserError, UserErrorCode, UserErrors},
        write,
    },
    platform::{database::Transaction, password},
    schema::{memberships, organizations, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use uuid::Uuid;

/// How often a slug that is made from the name gets another suffix before the name is refused.
const SLUG_TRIES: usize = 5;

/// Who registers, and what they found.
#[derive(InputObject)]
pub struct RegisterInput {
    /// What to sign in with; at most 254 characters. Case does not count.
    email: String,
    /// 10 to 128 characters, and not easy to guess.
    password: String,
    /// The person's name, 1 to 120 characters.
    full_name: String,
    /// The organization's name, 1 to 120 characters.
    organization_name: String,
    /// The organization's short name, unique on this server: 2 to 63 of a–z, 0–9 and hyphens. Made from the name when
    /// absent.
    organization_slug: Option<String>,
    /// Where the organization's days begin: a name of the IANA database. Default: UTC.
    time_zone: Option<String>,
    /// The currency of amounts that name none: a code of ISO 4217. Default: USD.
    currency: Option<String>,
}

/// What came of `register`.
#[derive(SimpleObject)]
pub struct RegisterPayload {
    /// Null when there are user errors.
    session: Option<SessionTokens>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct RegisterMutation;

#[Object]
impl RegisterMutation {
    /// Registers a person and founds an organization, of which that person is the owner and to which the answered
    /// session belongs. The person is mailed a link to confirm the address with. An address that has an account already
    /// is answered NOT_UNIQUE for `email`: so registration, unlike `login`, reveals that an account exists.
    ///
    /// Errors: FORBIDDEN where registration is closed; RATE_LIMITED.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who registers, and what they found.")] input: RegisterInput,
    ) -> Option<RegisterPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let (session, user_errors) = match register(caller.app(), caller.request(), input).await? {
                    Ok(session) => (Some(session), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                Ok(RegisterPayload { session, user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

/// A registration that has been checked.
struct Founding {
    email: String,
    password_hash: String,
    full_name: String,
    organization_name: String,
    /// As given; `None`: to be made.
    slug: Option<String>,
    time_zone: &'static str,
    currency: &'static str,
}

async fn register(app: &App, request: &RequestInfo, input: RegisterInput) -> Result<Result<SessionTokens, UserErrors>> {
    if !app.config.identity.registration {
        return Err(Error::forbidden("Registration is closed on this server. Ask to be invited."));
    }
    allow_address(app, request).await?;
    let founding = match check(app, input).await? {
        Ok(founding) => founding,
        Err(errors) => return Ok(Err(errors)),
    };
    let who = Entrant { organization: Uuid::now_v7(), member: Uuid::now_v7(), user: Uuid::now_v7() };
    let mut tx = app.database.of(who.organization).await?.begin().await?;
    if let Err(errors) = found(&mut tx, who, &founding).await? {
        tx.rollback().await?;
        return Ok(Err(errors));
    }
    welcome(app, &mut tx, who.user, &founding.email, &founding.full_name).await?;
    let session = session::enter(app, &mut tx, who, request).await?;
    let owner: Member = row(&mut tx, who.organization, who.member).await?;
    let changes = vec![
        organization_update::change(who.organization, "created", json!({ "changes": {} })),
        write::change(None, &owner, "joined")?,
        Note::own(who.user, request, "signed_in").change(who.member),
    ];
    let events = Hub::append(&mut tx, who.organization, &request.origin(Some(who.member)), changes).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(Ok(session))
}

/// All faults of the input at once. The password is hashed only when there are none.
async fn check(app: &App, given: RegisterInput) -> Result<Result<Founding, UserErrors>> {
    let errors = &mut UserErrors::new();
    let email = input::email(errors, "email", &given.email);
    let full_name = input::name(errors, "fullName", &given.full_name);
    let organization_name = input::name(errors, "organizationName", &given.organization_name);
    let slug = given.organization_slug.map(|slug| input::slug(errors, "organizationSlug", &slug));
    let time_zone = input::time_zone(errors, "timeZone", given.time_zone.as_deref());
    let currency = input::currency(errors, "currency", given.currency.as_deref());
    let about = [&email, &full_name, &organization_name].map(Clone::clone).to_vec();
    new_password(app, errors, "password", &given.password, about).await?;
    if !errors.is_empty() {
        return Ok(Err(std::mem::take(errors)));
    }
    Ok(Ok(Founding {
        email,
        password_hash: app.passwords.hash(given.password).await?,
        full_name,
        organization_name,
        slug,
        time_zone: time_zone.name(),
        currency,
    }))
}

/// Whether a password may be chosen by somebody of whom `about` is known.
pub(super) async fn new_password(
    app: &App,
    errors: &mut UserErrors,
    field: &str,
    given: &str,
    about: Vec<String>,
) -> Result<()> {
    if given.is_empty() {
        errors.add(field, UserErrorCode::Required, "Choose a password.");
    } else if given.chars().nth(password::MAX_LENGTH).is_some() {
        errors.add(field, UserErrorCode::TooLong, "A password has at most 128 characters.");
    } else if given.chars().nth(password::MIN_LENGTH - 1).is_none() {
        errors.add(field, UserErrorCode::TooShort, "A password has at least 10 characters.");
    } else if let Some(why) = app.passwords.weakness(given.to_owned(), about).await? {
        errors.add(field, UserErrorCode::Invalid, why);
    }
    Ok(())
}

/// Writes the three rows. What is taken is skipped and not an error of the database, so that both faults can be told.
async fn found(tx: &mut Transaction, who: Entrant, founding: &Founding) -> Result<Result<(), UserErrors>> {
    let now = Utc::now();
    let mut errors = UserErrors::new();
    let user = diesel::insert_into(users::table)
        .values((
            users::id.eq(who.user),
            users::email.eq(&founding.email),
            users::password_hash.eq(&founding.password_hash),
            users::full_name.eq(&founding.full_name),
            users::time_zone.eq(founding.time_zone),
        ))
        .on_conflict(users::email)
        .do_nothing();
    if user.execute(&mut **tx).await? == 0 {
        let message = "There is an account with this address already. Sign in instead.";
        errors.add("email", UserErrorCode::NotUnique, message);
    }
    if !insert_organization(tx, who.organization, founding).await? {
        let message = "Another organization on this server has this short name. Choose another one.";
        errors.add("organizationSlug", UserErrorCode::NotUnique, message);
    }
    if !errors.is_empty() {
        return Ok(Err(errors));
    }
    diesel::insert_into(memberships::table)
        .values((
            memberships::organization_id.eq(who.organization),
            memberships::id.eq(who.member),
            memberships::user_id.eq(who.user),
            memberships::name.eq(&founding.full_name),
            memberships::email.eq(&founding.email),
            memberships::role.eq(Role::Owner.as_str()),
            memberships::joined_at.eq(now),
            memberships::created_by.eq(who.member),
        ))
        .execute(&mut **tx)
        .await?;
    Ok(Ok(()))
}

/// False when the slug is taken. One that is made from the name gets a random suffix then.
async fn insert_organization(tx: &mut Transaction, id: Uuid, founding: &Founding) -> Result<bool> {
    let made = input::slug_of(&founding.organization_name);
    let tries = if founding.slug.is_some() { 1 } else { SLUG_TRIES };
    for attempt in 0..tries {
        let slug = match &founding.slug {
            Some(slug) => slug.clone(),
            None if attempt == 0 && made != input::NAMELESS => made.clone(),
            None => format!("{made}-{:08x}", rand::random::<u32>()),
        };
        let organization = diesel::insert_into(organizations::table)
            .values((
                organizations::id.eq(id),
                organizations::name.eq(&founding.organization_name),
                organizations::slug.eq(slug),
                organizations::time_zone.eq(founding.time_zone),
                organizations::currency.eq(founding.currency),
            ))
            .on_conflict(organizations::slug)
            .do_nothing();
        if organization.execute(&mut **tx).await? == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}
