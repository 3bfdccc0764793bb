//! The ways by which a person signs in at providers, seen, added and taken away by themselves. Invariant: nobody links an
//! account with that of somebody else, and nobody locks themselves out.

use super::{
    identify, one,
    person::{Told, link},
    take,
};
use crate::{
    app::App,
    error::{Error, Result},
    identity::{
        access,
        audit::{self, Note},
        sign_in::allow_address,
        step_up::demand_recent_proof,
    },
    kit::{
        id::Id,
        scalars::DateTime,
        scope::{Ask, Scope},
        user_error::{UserError, UserErrorCode as Code, UserErrors},
    },
    schema::{user_identities, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

/// That a person may have.
const MOST: usize = 10;

/// Who a person is at a provider, by which they sign in here. Only that person sees it.
#[derive(SimpleObject, Clone, Debug)]
pub struct LinkedIdentity {
    /// What `oidcUnlink` takes.
    pub id: Id<LinkedIdentity>,
    /// The name of the provider; null: it is not offered any more.
    pub provider: Option<String>,
    /// The provider as people know it, or its address when it is not offered any more.
    pub label: String,
    /// The confirmed address of the person there, at the latest sign-in; null: the provider named none.
    pub email: Option<String>,
    /// When it was linked.
    pub created_at: DateTime,
    /// When the person last signed in by it; null: not yet.
    pub last_used_at: Option<DateTime>,
}

/// What the browser came back with from the provider to be linked.
#[derive(InputObject)]
pub struct OidcLinkInput {
    /// From `oidcBegin`, as this browser kept it.
    handle: String,
    /// The parameter of that name in the address.
    state: String,
    /// The parameter of that name in the address.
    code: String,
}

/// What came of `oidcLink`.
#[derive(SimpleObject)]
pub struct OidcLinkPayload {
    /// What the viewer can sign in with from now on; null when there are user errors.
    identity: Option<LinkedIdentity>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// Which of them.
#[derive(InputObject)]
pub struct OidcUnlinkInput {
    /// One of `viewer.identities`.
    id: Id<LinkedIdentity>,
}

/// What came of `oidcUnlink`.
#[derive(SimpleObject)]
pub struct OidcUnlinkPayload {
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct OidcLinkMutation;

#[Object]
impl OidcLinkMutation {
    /// Links the viewer's account with theirs at a provider, after `oidcBegin`: from then on they sign in by it, whatever
    /// their address is there. They are told by mail. Faults of the input are those of `oidcComplete`; an account of the
    /// provider that somebody else signs in with answers NOT_UNIQUE, an eleventh one LIMIT_EXCEEDED.
    ///
    /// Errors: UNAUTHENTICATED; FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the last sign-in is more than five
    /// minutes ago; RATE_LIMITED; SERVICE_UNAVAILABLE when the provider does not answer.
    async fn oidc_link(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the browser came back with.")] input: OidcLinkInput,
    ) -> Option<OidcLinkPayload> {
        ctx.settle(
            Box::pin(async {
                let (identity, user_errors) = match Box::pin(add(ctx.scope()?, &input)).await? {
                    Ok(identity) => (Some(identity), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                Ok(OidcLinkPayload { identity, user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Takes away a way to sign in; sessions go on. The last one of a person without a password stays (STATE_INVALID):
    /// choose a password first, with `passwordForgot`. One that is not the viewer's answers NOT_FOUND for `id`.
    ///
    /// Errors: UNAUTHENTICATED; FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the last sign-in is more than five
    /// minutes ago.
    async fn oidc_unlink(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of them.")] input: OidcUnlinkInput,
    ) -> Option<OidcUnlinkPayload> {
        ctx.settle(
            Box::pin(async {
                let user_errors = remove(ctx.scope()?, input.id.0).await?.into();
                Ok(OidcUnlinkPayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = user_identities)]
struct Row {
    id: Uuid,
    issuer: String,
    subject: String,
    email: Option<String>,
    created_at: chrono::DateTime<chrono::Utc>,
    last_used_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Row {
    fn shown(self, app: &App) -> LinkedIdentity {
        let provider = app.oidc.of_issuer(&self.issuer).map(|provider| &provider.settings);
        LinkedIdentity {
            id: self.id.into(),
            provider: provider.map(|of| of.name.clone()),
            label: provider.map_or(self.issuer, |of| of.label().to_owned()),
            email: self.email,
            created_at: DateTime(self.created_at),
            last_used_at: self.last_used_at.map(DateTime),
        }
    }
}

/// Oldest first.
async fn rows(conn: &mut AsyncPgConnection, user: Uuid) -> Result<Vec<Row>> {
    let own = user_identities::table.filter(user_identities::user_id.eq(user)).select(Row::as_select());
    own.order((user_identities::created_at, user_identities::id)).load(conn).await.map_err(Error::from)
}

/// The viewer's own, oldest first.
pub async fn of_viewer(scope: &Scope) -> Result<Vec<LinkedIdentity>> {
    let rows = rows(&mut *scope.reader().await?, scope.actor.user).await?;
    Ok(rows.into_iter().map(|row| row.shown(&scope.app)).collect())
}

async fn add(scope: &Scope, input: &OidcLinkInput) -> Result<Result<LinkedIdentity, UserErrors>> {
    let (app, actor) = (&scope.app, &scope.actor);
    demand_recent_proof(scope).await?;
    allow_address(app, &scope.request).await?;
    let (handle, begun, provider) = match take(app, &input.handle, &input.state, &input.code).await? {
        Ok(taken) => taken,
        Err(errors) => return Ok(Err(errors)),
    };
    let identity = match identify(provider, &handle, &begun, &input.code).await? {
        Ok(identity) => identity,
        Err(errors) => return Ok(Err(errors)),
    };
    let told = Told::of(provider, &identity);
    let mut errors = UserErrors::new();
    told.check_domain(&mut errors);
    if !errors.is_empty() {
        return Ok(Err(errors));
    }
    let mut tx = scope.reader().await?.begin().await?;
    // Whatever ends all sessions of the person comes before, and then this one does not stand, or after, and then the
    // person is told of the link by mail.
    let held = users::table.find(actor.user).select((users::full_name, users::email)).for_no_key_update();
    let (name, email): (String, String) = held.first(&mut *tx).await?;
    access::load(&mut tx, actor.organization, actor.session()?).await?;
    let linked = link(app, &mut tx, &told, actor.user, (&name, &email)).await?;
    let all = rows(&mut tx, actor.user).await?;
    let refused = match linked {
        Ok(_) if all.len() > MOST => {
            Some(one("", Code::LimitExceeded, "You have ten ways to sign in by a provider. Take one away first."))
        }
        linked => linked.err(),
    };
    if let Some(errors) = refused {
        tx.rollback().await?;
        return Ok(Err(errors));
    }
    audit::note(&mut tx, Note::own(actor.user, &scope.request, "provider_linked")).await?;
    tx.commit().await?;
    let this = |row: &Row| row.issuer == provider.settings.issuer && row.subject == identity.subject;
    let row = all.into_iter().find(this).ok_or_else(|| Error::ours("what was linked is not there"))?;
    Ok(Ok(row.shown(app)))
}

async fn remove(scope: &Scope, id: Uuid) -> Result<UserErrors> {
    let user = scope.actor.user;
    demand_recent_proof(scope).await?;
    let mut tx = scope.reader().await?.begin().await?;
    // Of two at once the second sees what the first has left.
    let held = users::table.find(user).select(users::password_hash).for_no_key_update();
    let password: Option<String> = held.first(&mut *tx).await?;
    let (this, others): (Vec<Row>, Vec<Row>) = rows(&mut tx, user).await?.into_iter().partition(|row| row.id == id);
    let works = |rows: &[Row]| rows.iter().any(|row| scope.app.oidc.of_issuer(&row.issuer).is_some());
    let mut errors = UserErrors::new();
    if this.is_empty() {
        errors.add("id", Code::NotFound, "You have no such way to sign in.");
    } else if password.is_none() && works(&this) && !works(&others) {
        let message = "This is your only way to sign in. Choose a password first.";
        errors.add("id", Code::StateInvalid, message);
    }
    if !errors.is_empty() {
        tx.rollback().await?;
        return Ok(errors);
    }
    diesel::delete(user_identities::table.find(id)).execute(&mut *tx).await?;
    audit::note(&mut tx, Note::own(user, &scope.request, "provider_unlinked")).await?;
    tx.commit().await?;
    Ok(errors)
}
