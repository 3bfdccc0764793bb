//! The second half of signing in with two factors. Invariant: a challenge shows that the password was right, for five
//! minutes, once, and only as long as it still is; who has one and no code learns nothing further of the account, not
//! even which organizations it belongs to.

use super::{
    device::Guard,
    door::{choose, doors},
    second_factor::{self, spend},
    session::{Entrant, SessionTokens},
    sign_in::{Halt, REFUSAL, admit, allow_refresh},
    user_token::{self, Purpose},
};
use crate::{
    app::App,
    error::Result,
    kit::{
        scalars,
        scope::{Ask, RequestInfo},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    schema::users,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use tokio::time::Instant;
use uuid::Uuid;

/// Between a challenge's token and the organization that `login` named: no base64 has one.
const SEPARATOR: char = '.';
/// Characters of such a name at most: a short name has 63.
const NAMED: usize = 64;

/// What shows that the password was right.
#[derive(SimpleObject)]
pub struct TwoFactorChallenge {
    /// What `loginComplete` takes. It completes one sign-in; changing the password ends it.
    challenge: String,
    /// When it ends: five minutes after it was made.
    expires_at: scalars::DateTime,
}

/// The code.
#[derive(InputObject)]
pub struct LoginCompleteInput {
    /// The one that `login` answered.
    challenge: String,
    /// The six digits that the authenticator shows now, or a recovery code. Each works once. Spaces and hyphens do not count.
    code: String,
    /// The short name (slug) of the organization to sign in to. Needed only by members of several; default: the one that
    /// was given to `login`.
    organization: Option<String>,
}

/// What came of `loginComplete`.
#[derive(SimpleObject)]
pub struct LoginCompletePayload {
    /// Null when there are user errors.
    session: Option<SessionTokens>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct LoginCompleteMutation;

#[Object]
impl LoginCompleteMutation {
    /// Completes a `login` that was answered TWO_FACTOR_REQUIRED. A wrong code, one that was used before, and any code of a
    /// locked account answer INVALID for `code`, and count like wrong passwords. A challenge that was used, has
    /// expired or never was answers INVALID for `challenge`: begin again with `login`. With a right code an
    /// organization that is missing answers REQUIRED, a wrong one NOT_FOUND for `organization`; then neither challenge nor
    /// code are used up.
    ///
    /// Errors: RATE_LIMITED (with `retryAfter` in seconds) after too many attempts from one address or for one
    /// account; ORGANIZATION_SUSPENDED (`reason` SUSPENDED, or DELETED until it is restored).
    async fn login_complete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code.")] input: LoginCompleteInput,
    ) -> Option<LoginCompletePayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let (session, user_errors) = match complete(caller.app(), caller.request(), input).await? {
                    Ok(session) => (Some(session), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                Ok(LoginCompletePayload { session, user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

/// A challenge for a person whose password has the first of these hashes, and from now on the second; `None`: it is
/// another one by now.
pub(super) async fn challenge(
    app: &App,
    user: Uuid,
    (hash, renewed): (&Option<String>, Option<&String>),
    named: Option<&str>,
) -> Result<Option<Halt>> {
    let mut tx = app.database.of_nobody().await?.begin().await?;
    // Holds the account until the commit: a password that changes at this moment either takes this challenge back, or is
    // already another one.
    let held = diesel::update(users::table.find(user))
        .filter(users::password_hash.is_not_distinct_from(hash).and(users::disabled_at.is_null()))
        .set(users::password_hash.eq(renewed))
        .returning(users::email);
    let Some(email) = held.get_result::<String>(&mut *tx).await.optional()? else {
        tx.rollback().await?;
        return Ok(None);
    };
    let expires_at = scalars::DateTime(Utc::now() + Purpose::SignIn.lifetime());
    let mut challenge = user_token::issue(&mut tx, Purpose::SignIn, user, &email).await?;
    tx.commit().await?;
    if let Some(named) = named {
        // It need not be kept from being changed: whoever completes the sign-in may name any.
        challenge.push(SEPARATOR);
        challenge.extend(named.trim().chars().take(NAMED));
    }
    let mut halt = Halt { two_factor: Some(TwoFactorChallenge { challenge, expires_at }), ..Halt::default() };
    halt.user_errors.add("", UserErrorCode::TwoFactorRequired, second_factor::MISSING);
    Ok(Some(halt))
}

async fn complete(
    app: &App,
    request: &RequestInfo,
    input: LoginCompleteInput,
) -> Result<Result<SessionTokens, UserErrors>> {
    let started = Instant::now();
    allow_refresh(app, request).await?;
    let (token, named) = match input.challenge.split_once(SEPARATOR) {
        Some((token, named)) => (token, Some(named)),
        None => (&*input.challenge, None),
    };
    let looked = user_token::look(&mut *app.database.of_nobody().await?, Purpose::SignIn, token).await?;
    let Some(bearer) = looked else { return Ok(Err(over())) };
    let guard = Guard::of(app, request, Some(&bearer.email)).await?;
    let attempt = guard.attempt(app, request, &bearer.email).await?;
    let door = choose(doors(app, bearer.user).await?, input.organization.as_deref().or(named));
    let connection = match &door {
        Ok(door) => app.database.of(door.organization).await?,
        Err(_) => app.database.of_nobody().await?,
    };
    let mut tx = connection.begin().await?;
    // The person's row first, as whoever else needs both. Of many at once the first has it; the others wait for it here,
    // and then find the challenge used.
    users::table.find(bearer.user).select(users::id).for_no_key_update().first::<Uuid>(&mut *tx).await?;
    if user_token::redeem(&mut tx, Purpose::SignIn, token).await?.is_none() {
        tx.rollback().await?;
        return Ok(Err(over()));
    }
    if !spend(app, &mut tx, bearer.user, &input.code, guard.is_known()).await? {
        tx.rollback().await?;
        guard.count_failure(app, request, &bearer.email, Some(bearer.user)).await?;
        attempt.failed();
        tokio::time::sleep_until(started + REFUSAL).await;
        return Ok(Err(one("code", second_factor::WRONG)));
    }
    let door = match door.map(|door| door.closed().map_or(Ok(door), Err)) {
        Ok(Ok(door)) => door,
        Ok(Err(closed)) => {
            tx.rollback().await?;
            return Err(closed);
        }
        Err(errors) => {
            tx.rollback().await?;
            return Ok(Err(errors));
        }
    };
    if let Some(forgiven) = guard.forgiven() {
        diesel::update(users::table.find(bearer.user)).set(forgiven).execute(&mut *tx).await?;
    }
    let who = Entrant { organization: door.organization, member: door.member, user: bearer.user };
    let session = admit(app, &mut tx, who, request, &bearer.email).await?;
    tx.commit().await?;
    attempt.succeeded();
    Ok(Ok(session))
}

fn one(field: &str, message: &'static str) -> UserErrors {
    let mut errors = UserErrors::new();
    errors.add(field, UserErrorCode::Invalid, message);
    errors
}

fn over() -> UserErrors {
    one("challenge", "This sign-in has taken too long, or was completed already. Sign in again.")
}
