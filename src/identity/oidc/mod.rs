//! Signing in by a provider (OpenID Connect) in the place of the password: the browser is sent there, comes back with a
//! code, and the code is exchanged for a signed word on who it is. Invariant: a session is opened only for whoever has
//! begun the attempt, once, and for an account that is theirs (`person`).

mod attempt;
mod linked;
mod person;

pub use attempt::purge;
pub use linked::{LinkedIdentity, OidcLinkMutation, of_viewer};

use super::{
    door::{choose, doors},
    login_complete::{TwoFactorChallenge, challenge},
    session::{Entrant, SessionTokens},
    sign_in::{Halt, admit, allow_address},
};
use crate::{
    app::App,
    error::{Error, Result},
    kit::{
        scalars::{DateTime, Url},
        scope::{Ask, RequestInfo},
        user_error::{UserError, UserErrorCode as Code, UserErrors},
    },
    platform::oidc::{Attempt, Identity, Provider, Refused},
    schema::users,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use attempt::{Begun, Handle};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use person::Told;
use uuid::Uuid;

/// Bytes of a code at most; providers' are far shorter.
const CODE: usize = 4096;

/// A provider that people may sign in with in the place of a password.
#[derive(SimpleObject)]
pub struct SignInProvider {
    /// What `oidcBegin` takes.
    name: String,
    /// As people know it: what to write on the button.
    label: String,
}

/// Where to sign in.
#[derive(InputObject)]
pub struct OidcBeginInput {
    /// The name of one of `signInProviders`.
    provider: String,
    /// The page of the front end that the browser comes back to: one of those in the settings of the server.
    redirect_uri: String,
}

/// What came of `oidcBegin`.
#[derive(SimpleObject)]
pub struct OidcBeginPayload {
    /// Where to send the browser; null when there are user errors.
    authorization_url: Option<Url>,
    /// What `oidcComplete` or `oidcLink` takes: keep it in this browser (`sessionStorage`), and show it to nobody. Null when
    /// there are user errors.
    handle: Option<String>,
    /// Until when it works: for ten minutes. Null when there are user errors.
    expires_at: Option<DateTime>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// What the browser came back with.
#[derive(InputObject)]
pub struct OidcCompleteInput {
    /// From `oidcBegin`, as this browser kept it.
    handle: String,
    /// The parameter of that name in the address.
    state: String,
    /// The parameter of that name in the address.
    code: String,
    /// The short name (slug) of the organization to sign in to. Needed only by members of several.
    organization: Option<String>,
}

/// What came of `oidcComplete`.
#[derive(SimpleObject)]
pub struct OidcCompletePayload {
    /// Null when there are user errors.
    session: Option<SessionTokens>,
    /// What `loginComplete` takes with a code, beside the user error TWO_FACTOR_REQUIRED; null otherwise.
    two_factor: Option<TwoFactorChallenge>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct SignInProviderQuery;

#[Object]
impl SignInProviderQuery {
    /// The providers that people may sign in with in the place of a password, in the order of the settings. Needs no
    /// sign-in; never null.
    async fn sign_in_providers(&self, ctx: &Context<'_>) -> Option<Vec<SignInProvider>> {
        let list = |app: &App| {
            let settings = app.oidc.all().iter().map(|provider| &provider.settings);
            settings.map(|of| SignInProvider { name: of.name.clone(), label: of.label().to_owned() }).collect()
        };
        ctx.settle(ctx.caller().map(|caller| list(caller.app())))
    }
}

#[derive(Default)]
pub struct OidcMutation;

#[Object]
impl OidcMutation {
    /// Begins to sign in by a provider: send the browser to the address that it answers. It comes back to `redirectUri` with
    /// `state` and `code` for `oidcComplete`, or with `error`. A provider that does not exist answers NOT_FOUND for
    /// `provider`, a page that is not in the settings INVALID for `redirectUri`.
    ///
    /// Errors: RATE_LIMITED; SERVICE_UNAVAILABLE when the provider does not answer.
    async fn oidc_begin(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to sign in.")] input: OidcBeginInput,
    ) -> Option<OidcBeginPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let (begun, user_errors) = match begin(caller.app(), caller.request(), &input).await? {
                    Ok(begun) => (Some(begun), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                let (authorization_url, handle, expires_at) = begun.map_or((None, None, None), |(url, handle, end)| {
                    (Some(Url(url)), Some(handle.reveal()), Some(DateTime(end)))
                });
                Ok(OidcBeginPayload { authorization_url, handle, expires_at, user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Signs in with what the browser came back with. The first time, whoever comes is linked to the account that has the
    /// address which the provider confirms, if it was confirmed here as well; else STATE_INVALID, and NOT_FOUND where there
    /// is no such account and nobody may join by this provider. A member of several organizations that names none is
    /// answered REQUIRED for `organization`: send the same once more with it. A person with two-factor sign-in is answered
    /// TWO_FACTOR_REQUIRED, as by `login`, and goes on with `loginComplete`. Anything else uses the handle up. A handle
    /// that was used, has expired or never was answers INVALID for `handle`, what belongs to another attempt INVALID for
    /// `state`, a code that the provider does not take INVALID for `code`; INVALID with `field` null: the provider's word
    /// cannot be believed, or people with this address do not come this way.
    ///
    /// Errors: RATE_LIMITED; SERVICE_UNAVAILABLE when the provider does not answer; ORGANIZATION_SUSPENDED.
    async fn oidc_complete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the browser came back with.")] input: OidcCompleteInput,
    ) -> Option<OidcCompletePayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let completed = Box::pin(complete(caller.app(), caller.request(), input)).await?;
                let (session, two_factor, user_errors) = match completed {
                    Ok(session) => (Some(session), None, Vec::new()),
                    Err(Halt { user_errors, two_factor }) => (None, two_factor, user_errors.into()),
                };
                Ok(OidcCompletePayload { session, two_factor, user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

type Beginning = (String, Handle, chrono::DateTime<chrono::Utc>);

async fn begin(app: &App, request: &RequestInfo, input: &OidcBeginInput) -> Result<Result<Beginning, UserErrors>> {
    allow_address(app, request).await?;
    let mut errors = UserErrors::new();
    let provider = app.oidc.named(&input.provider);
    match provider {
        None => errors.add("provider", Code::NotFound, "There is no such provider here."),
        Some(provider) if !provider.settings.redirect_uris.contains(&input.redirect_uri) => {
            let message = "This page is not among the redirect_uris of the provider, in the settings of the server.";
            errors.add("redirectUri", Code::Invalid, message);
        }
        Some(_) => {}
    }
    let Some(provider) = provider.filter(|_| errors.is_empty()) else { return Ok(Err(errors)) };
    let handle = Handle::new()?;
    let (nonce, verifier) = (handle.nonce(), handle.verifier());
    let attempt = Attempt { redirect_uri: &input.redirect_uri, nonce: &nonce, verifier: &verifier };
    let url = match provider.authorization_url(&attempt, &handle.state()).await {
        Ok(url) => url.into(),
        Err(why) => return refuse(provider, why).map(Err),
    };
    let expires_at = attempt::begin(app, &handle, &provider.settings.name, &input.redirect_uri).await?;
    Ok(Ok((url, handle, expires_at)))
}

async fn complete(app: &App, request: &RequestInfo, input: OidcCompleteInput) -> Result<Result<SessionTokens, Halt>> {
    allow_address(app, request).await?;
    let (handle, begun, provider) = match take(app, &input.handle, &input.state, &input.code).await? {
        Ok(taken) => taken,
        Err(errors) => return Ok(Err(errors.into())),
    };
    let named = input.organization.as_deref();
    let known = match begun.user_id {
        Some(user) => Ok(user),
        None => match identify(provider, &handle, &begun, &input.code).await? {
            Ok(identity) => enter(app, request, provider, &identity, named).await?,
            Err(errors) => Err(errors),
        },
    };
    let user = match known {
        Ok(user) => user,
        Err(errors) => return Ok(Err(errors.into())),
    };
    let opened = open(app, request, user, named).await?;
    if opened.as_ref().is_err_and(|halt| halt.user_errors.has("organization")) {
        attempt::keep(app, &handle, &begun, user, &input.code).await?;
    }
    Ok(opened)
}

/// Opens a session for somebody whom a provider has named: its word is in the place of the password, and of nothing else
/// that is asked of them. With two-factor sign-in there is a challenge first.
async fn open(
    app: &App,
    request: &RequestInfo,
    user: Uuid,
    named: Option<&str>,
) -> Result<Result<SessionTokens, Halt>> {
    let two_factor = users::totp_confirmed_at.is_not_null();
    let account = users::table.find(user).select((users::password_hash, two_factor));
    let (hash, asks): (Option<String>, bool) = account.first(&mut *app.database.of_nobody().await?).await?;
    if asks {
        let halt = challenge(app, user, (&hash, hash.as_ref()), named).await?;
        return Ok(Err(halt.unwrap_or_else(|| worthless().into())));
    }
    let door = match choose(doors(app, user).await?, named) {
        Ok(door) => door,
        Err(errors) => return Ok(Err(errors.into())),
    };
    if let Some(closed) = door.closed() {
        return Err(closed);
    }
    let mut tx = app.database.of(door.organization).await?.begin().await?;
    // Until the commit, as `login` does.
    let email = match person::hold(&mut tx, user).await? {
        Ok((.., email)) => email,
        Err(errors) => {
            tx.rollback().await?;
            return Ok(Err(errors.into()));
        }
    };
    if users::table.find(user).select(two_factor).first(&mut *tx).await? {
        tx.rollback().await?;
        return Ok(Err(worthless().into()));
    }
    let who = Entrant { organization: door.organization, member: door.member, user };
    let session = admit(app, &mut tx, who, request, &email).await?;
    tx.commit().await?;
    Ok(Ok(session))
}

/// Whose account it is, once the address may come this way.
async fn enter(
    app: &App,
    request: &RequestInfo,
    provider: &Provider,
    identity: &Identity,
    named: Option<&str>,
) -> Result<Result<Uuid, UserErrors>> {
    let told = Told::of(provider, identity);
    let mut errors = UserErrors::new();
    told.check_domain(&mut errors);
    if errors.is_empty() { person::know(app, request, &told, named).await } else { Ok(Err(errors)) }
}

type Taken<'a> = (Handle, Begun, &'a Provider);

/// Uses an attempt up, before anybody is asked: what goes wrong from here on is begun anew.
async fn take<'a>(app: &'a App, handle: &str, state: &str, code: &str) -> Result<Result<Taken<'a>, UserErrors>> {
    let Some(handle) = Handle::parse(handle) else { return Ok(Err(worthless())) };
    let Some(begun) = attempt::take(app, &handle).await? else { return Ok(Err(worthless())) };
    let Some(provider) = app.oidc.named(&begun.provider) else { return Ok(Err(worthless())) };
    if !handle.is_of(state) {
        let message = "The browser came back from another attempt to sign in. Begin once more.";
        return Ok(Err(one("state", Code::Invalid, message)));
    }
    if code.is_empty() || code.len() > CODE || !begun.goes_on_with(code) {
        return Ok(Err(bad_code()));
    }
    Ok(Ok((handle, begun, provider)))
}

/// Asks the provider who it is. No connection is held meanwhile.
async fn identify(
    provider: &Provider,
    handle: &Handle,
    begun: &Begun,
    code: &str,
) -> Result<Result<Identity, UserErrors>> {
    let (nonce, verifier) = (handle.nonce(), handle.verifier());
    let attempt = Attempt { redirect_uri: &begun.redirect_uri, nonce: &nonce, verifier: &verifier };
    match provider.identify(&attempt, code).await {
        Ok(identity) => Ok(Ok(identity)),
        Err(why) => refuse(provider, why).map(Err),
    }
}

/// What whoever wants to sign in is told of a provider that refuses, fails or lies; the log has the rest.
fn refuse(provider: &Provider, why: Refused) -> Result<UserErrors> {
    let name = &*provider.settings.name;
    match why {
        Refused::Code => Ok(bad_code()),
        Refused::Unbelievable(why) => {
            tracing::warn!(provider = name, why, "the token of a provider is not good");
            let message = "The provider's word on who you are cannot be believed. Begin once more; if it stays so, tell whoever \
                           runs this server.";
            Ok(one("", Code::Invalid, message))
        }
        Refused::Away(why) => Err(Error::unavailable(format!("the provider {name} of identity.oidc: {why}"))),
    }
}

fn worthless() -> UserErrors {
    one("handle", Code::Invalid, "This sign-in was completed before, or is too old. Begin once more.")
}

fn bad_code() -> UserErrors {
    one(
        "code",
        Code::Invalid,
        "The provider does not take this code: it was used before, or is too old. Begin once more.",
    )
}

fn one(field: &str, code: Code, message: &'static str) -> UserErrors {
    let mut errors = UserErrors::new();
    errors.add(field, code, message);
    errors
}
