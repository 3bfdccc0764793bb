//! The end of an organization. Invariant: from the moment in which it is deleted nobody gets in, and until the end of its
//! grace an owner can take all of it back; then nothing of it is left but the accounts of its people.
//!
//! Since nobody gets in, the way back is a link in a mail that only owners get.

use super::{
    mails::OrganizationDeleted,
    member::MemberStatus,
    organization::Organization,
    organization_update::{OrganizationPayload, change, hold},
    sign_in::allow_address,
    step_up::demand_recent_proof,
};
use crate::{
    app::App,
    error::Result,
    events::Hub,
    kit::{
        organizations::in_turn,
        permission::{Action, Resource, Role},
        relation::or_null,
        resolve::scope,
        scalars::DateTime,
        scope::{Ask, RequestInfo},
        user_error::{UserError, UserErrorCode, UserErrors},
        write::{Stop, Tx},
    },
    platform::{
        jobs::{Failure, Job, Run},
        tokens::LinkToken,
    },
    schema::{memberships, organizations},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{TimeDelta, Utc};
use diesel::{prelude::*, sql_query};
use diesel_async::RunQueryDsl;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Organizations purged in one run at most; the next run goes on.
const PURGED: i64 = 100;

/// That it is meant.
#[derive(InputObject)]
pub struct OrganizationDeleteInput {
    /// The short name of the organization, typed by whoever deletes it.
    slug: String,
}

/// What came of `organizationDelete`.
#[derive(SimpleObject)]
pub struct OrganizationDeletePayload {
    /// When all of it is removed for good; null when there are user errors.
    purge_at: Option<DateTime>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, for the rest of this request.
    query: crate::graphql::Query,
}

/// Who takes the deletion back.
#[derive(InputObject)]
pub struct OrganizationRestoreInput {
    /// The token of the link that the owners were sent.
    token: String,
}

#[derive(Default)]
pub struct OrganizationEndMutation;

#[Object]
impl OrganizationEndMutation {
    /// Deletes the organization that the access token speaks for. From then on every way in answers
    /// ORGANIZATION_SUSPENDED with `reason` DELETED, and open sockets are closed within a second. Each owner is sent a
    /// link that restores it (`organizationRestore`) until `purgeAt`, 30 days later unless this server is set up
    /// otherwise; then all of it is removed for good. The accounts of its members stay. Another slug than its own is
    /// INVALID.
    ///
    /// Errors: FORBIDDEN without the permission DELETE on ORGANIZATION, and with the reason REAUTHENTICATION_REQUIRED when
    /// the person last gave the password more than five minutes ago.
    async fn organization_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "That it is meant.")] input: OrganizationDeleteInput,
    ) -> Option<OrganizationDeletePayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            demand_recent_proof(scope).await?;
            let mut tx = scope.begin().await?;
            let result = delete(&mut tx, input).await;
            let (purge_at, user_errors) = match tx.finish(result).await? {
                Ok(purge_at) => (Some(purge_at), Vec::new()),
                Err(rejection) => (None, rejection.errors.into()),
            };
            scope.app.standings.forget(scope.actor.organization);
            Ok(Some(OrganizationDeletePayload { purge_at, user_errors, query: Default::default() }))
        })
        .await
    }

    /// Takes the deletion of an organization back, by the token of the mail to its owners. Everything is as it was;
    /// sessions that have not ended meanwhile go on. Works once; any other token is INVALID.
    ///
    /// Errors: RATE_LIMITED.
    async fn organization_restore(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token of the mail.")] input: OrganizationRestoreInput,
    ) -> Option<OrganizationPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let organization = restore(caller.app(), caller.request(), &input.token).await?;
                let mut errors = UserErrors::new();
                if organization.is_none() {
                    let message = "This link is not valid: it was used, or the time to restore has ended.";
                    errors.add("token", UserErrorCode::Invalid, message);
                }
                Ok(OrganizationPayload { organization, user_errors: errors.into(), query: Default::default() })
            })
            .await,
        )
    }
}

async fn delete(tx: &mut Tx, input: OrganizationDeleteInput) -> Result<DateTime, Stop> {
    let scope = tx.scope.clone();
    let (app, actor) = (&scope.app, &scope.actor);
    actor.demand(Resource::Organization, Action::Delete)?;
    let organization = hold(tx).await?;
    if input.slug.trim() != organization.slug {
        return Err(Stop::at("slug", UserErrorCode::Invalid, "Type the short name of the organization to delete it."));
    }
    let token = LinkToken::new(actor.organization, actor.organization)?;
    let purge_at = tx.now.0 + TimeDelta::days(app.config.identity.organization_grace_days.into());
    // One that was deleted a moment ago has had its mails.
    let deleted = diesel::update(organizations::table.find(actor.organization))
        .filter(organizations::deleted_at.is_null())
        .set((
            organizations::deleted_at.eq(tx.now.0),
            organizations::purge_at.eq(purge_at),
            organizations::restore_hash.eq(token.hash()),
        ))
        .execute(tx.conn())
        .await?;
    if deleted == 0 {
        return Err(Stop::at("", UserErrorCode::StateInvalid, "This organization was deleted a moment ago."));
    }
    let members = memberships::table.filter(memberships::organization_id.eq(actor.organization));
    let owners: Vec<(Uuid, String, String)> = members
        .filter(memberships::role.eq(Role::Owner.as_str()).and(memberships::status.eq(MemberStatus::Active.word())))
        .select((memberships::id, memberships::name, memberships::email))
        .load(tx.conn())
        .await?;
    let deleter = owners.iter().find(|(id, ..)| *id == actor.member).map(|(_, name, _)| name.clone());
    for (_, name, email) in &owners {
        let mail = OrganizationDeleted {
            name: name.clone(),
            deleter: deleter.clone().unwrap_or_else(|| "Somebody".to_owned()),
            organization: organization.name.clone(),
            day: purge_at.with_timezone(&actor.time_zone).format("%-d %B %Y").to_string(),
            link: format!("{}/restore?token={}", app.config.base_url(), token.reveal()),
        };
        // Of no organization: with it, the administrators' list of jobs is out of reach as well.
        app.mail.enqueue(tx.transaction(), None, email, &mail).await?;
    }
    tx.record(change(actor.organization, "deleted", json!({ "changes": {} })));
    Ok(DateTime(purge_at))
}

async fn restore(app: &App, request: &RequestInfo, token: &str) -> Result<Option<Organization>> {
    allow_address(app, request).await?;
    let Some(token) = LinkToken::parse(token).filter(|token| token.organization == token.about) else {
        return Ok(None);
    };
    let mut tx = app.database.of(token.organization).await?.begin().await?;
    // Of two at once the second waits here for the row, and then finds nothing to restore.
    let restored: Option<Organization> = diesel::update(organizations::table.find(token.organization))
        .filter(organizations::restore_hash.eq(token.hash()).and(organizations::purge_at.gt(Utc::now())))
        .set((
            organizations::deleted_at.eq(None::<chrono::DateTime<Utc>>),
            organizations::purge_at.eq(None::<chrono::DateTime<Utc>>),
            organizations::restore_hash.eq(None::<Vec<u8>>),
        ))
        .returning(Organization::as_returning())
        .get_result(&mut *tx)
        .await
        .optional()?;
    if restored.is_none() {
        tx.rollback().await?;
        return Ok(None);
    }
    let told = vec![change(token.organization, "restored", json!({ "changes": {} }))];
    let events = Hub::append(&mut tx, token.organization, &request.origin(None), told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(restored)
}

/// Removes deleted organizations whose grace has ended, with all that is in them.
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeOrganizations {}

impl Job for PurgeOrganizations {
    const KIND: &'static str = "purge_organizations";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for PurgeOrganizations {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        let over = stream::iter(over(app).await?.into_iter().map(Ok));
        Ok(in_turn(over, |organization| purge(app, organization)).await?)
    }
}

/// The organizations whose grace has ended.
async fn over(app: &App) -> Result<Vec<Uuid>> {
    let mut conn = app.database.of_worker().await?;
    let over = organizations::table.filter(organizations::purge_at.le(Utc::now())).order(organizations::purge_at);
    Ok(over.select(organizations::id).limit(PURGED).load(&mut *conn).await?)
}

/// One statement removes all, the log included: its keys take the rest along. Then the contents of its files go.
async fn purge(app: &App, organization: Uuid) -> Result<()> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    sql_query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
    diesel::delete(organizations::table.find(organization))
        .filter(organizations::purge_at.le(Utc::now()))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    // Should this fail, `SweepObjects` finds them.
    app.files.remove_organization(organization).await?;
    tracing::info!(%organization, "a deleted organization was removed for good");
    Ok(())
}
