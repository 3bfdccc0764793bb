//! Changing what an organization is called and how it counts. Invariant: a short name is one organization's only.

use super::{input, message_retention::MessageRetentionInput, organization::Organization};
use crate::{
    error::Result,
    events::{Change, StreamKind, stream_of_records},
    kit::{
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        rules::{Rule, Tidy},
        scalars::JsonObject,
        user_error::{UserError, UserErrorCode as Code, UserErrors},
        write::{Stop, Tx},
    },
    schema::{organizations, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind::UniqueViolation, Error::DatabaseError},
};
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value as Json, json};

/// What becomes different. What is left out, or null, stays as it is.
#[derive(InputObject)]
pub struct OrganizationUpdateInput {
    /// The version that the change is based on; another one is refused as a CONFLICT.
    expected_version: Option<i32>,
    /// As people write it, 1 to 120 characters.
    name: Option<String>,
    /// The short name, unique on this server: 2 to 63 of a–z, 0–9 and hyphens. The old one is free for others then.
    slug: Option<String>,
    /// Where its days begin and end: a name of the IANA database.
    time_zone: Option<String>,
    /// The currency of amounts that name none: a code of ISO 4217. Amounts that are stored keep theirs.
    currency: Option<String>,
    /// Days in which deleted records can be restored, and for which unused files of removed members are kept: 1 to 3650.
    retention_days: Option<i32>,
    /// How long messages are kept. What is older is removed for good within an hour of the change.
    message_retention: Option<MessageRetentionInput>,
    /// Whether members may write only once they have shown that their e-mail address is theirs. Only whose own address
    /// is verified may ask for it; otherwise STATE_INVALID.
    require_verified_email: Option<bool>,
    /// What a front end keeps for all members, in the place of what was there: at most 100 keys and 32 KiB.
    settings: Option<JsonObject>,
}

/// What came of a change of the organization.
#[derive(SimpleObject)]
pub struct OrganizationPayload {
    /// The organization as it is now; null when nothing was written.
    pub organization: Option<Organization>,
    /// What is wrong with the input; empty on success.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

#[derive(Default)]
pub struct OrganizationUpdateMutation;

#[Object]
impl OrganizationUpdateMutation {
    /// Changes the organization that the access token speaks for. Another time zone, currency or rule for addresses closes the open sockets
    /// of its members, who connect again.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on ORGANIZATION.
    async fn organization_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What becomes different.")] input: OrganizationUpdateInput,
    ) -> Option<OrganizationPayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let mut tx = scope.begin().await?;
            let result = update(&mut tx, input).await;
            let (organization, errors) = match tx.finish(result).await? {
                Ok(organization) => (Some(organization), Vec::new()),
                Err(rejection) => (None, rejection.errors.into()),
            };
            scope.app.standings.forget(scope.actor.organization);
            Ok(Some(OrganizationPayload { organization, user_errors: errors, query: Default::default() }))
        })
        .await
    }
}

/// The organization of the caller, held until the transaction ends.
pub(super) async fn hold(tx: &mut Tx) -> Result<Organization> {
    let held = organizations::table.find(tx.scope.actor.organization).select(Organization::as_select());
    Ok(held.for_no_key_update().first(tx.conn()).await?)
}

async fn update(tx: &mut Tx, input: OrganizationUpdateInput) -> Result<Organization, Stop> {
    tx.scope.actor.demand(Resource::Organization, Action::Update)?;
    let old = hold(tx).await?;
    if input.expected_version.is_some_and(|expected| expected != old.version) {
        let message = "Somebody changed the organization in the meantime. Look at it again, then repeat the change.";
        return Err(Stop::at("expectedVersion", Code::Conflict, message));
    }
    let errors = &mut UserErrors::new();
    let mut new = old.clone();
    if let Some(name) = input.name {
        new.name = input::name(errors, "name", &name);
    }
    if let Some(slug) = input.slug {
        new.slug = input::slug(errors, "slug", &slug);
    }
    if let Some(time_zone) = input.time_zone {
        new.time_zone = input::time_zone(errors, "timeZone", Some(&time_zone)).name().to_owned();
    }
    if let Some(currency) = input.currency {
        new.currency = input::currency(errors, "currency", Some(&currency)).to_owned();
    }
    if let Some(days) = input.retention_days {
        new.retention_days = days;
        if !(1..=3650).contains(&days) {
            errors.add("retentionDays", Code::OutOfRange, "Records are kept for 1 to 3650 days.");
        }
    }
    if let Some(retention) = input.message_retention {
        new.message_retention.change(retention, "messageRetention", errors);
    }
    if let Some(required) = input.require_verified_email {
        new.require_verified_email = required;
        if required && !old.require_verified_email && !is_verified(tx).await? {
            let message = "Confirm your own e-mail address first: you could not take this back.";
            errors.add("requireVerifiedEmail", Code::StateInvalid, message);
        }
    }
    if let Some(mut settings) = input.settings {
        settings.tidy("settings", &Rule::DEFAULT, errors);
        new.settings = settings;
    }
    if !errors.is_empty() {
        return Err(std::mem::take(errors).into());
    }
    let changes = differences(&old, &new);
    if changes.is_empty() {
        return Ok(new);
    }
    new.version = old.version.saturating_add(1);
    new.updated_at = tx.now;
    diesel::update(organizations::table.find(tx.scope.actor.organization))
        .set((
            organizations::name.eq(&new.name),
            organizations::slug.eq(&new.slug),
            organizations::time_zone.eq(&new.time_zone),
            organizations::currency.eq(&new.currency),
            organizations::retention_days.eq(new.retention_days),
            new.message_retention,
            organizations::require_verified_email.eq(new.require_verified_email),
            organizations::settings.eq(Json::Object(new.settings.0.clone())),
            organizations::version.eq(new.version),
            organizations::updated_at.eq(new.updated_at.0),
        ))
        .execute(tx.conn())
        .await
        .map_err(|fault| match fault {
            DatabaseError(UniqueViolation, _) => {
                let message = "Another organization on this server has this short name. Choose another one.";
                Stop::at("slug", Code::NotUnique, message)
            }
            fault => fault.into(),
        })?;
    tx.record(change(tx.scope.actor.organization, "updated", json!({ "changes": changes })));
    Ok(new)
}

async fn is_verified(tx: &mut Tx) -> Result<bool, Stop> {
    let verified = users::table.find(tx.scope.actor.user).select(users::email_verified_at.is_not_null());
    Ok(verified.first(tx.conn()).await?)
}

/// What the log is told of an organization.
pub(super) fn change(organization: uuid::Uuid, kind: &'static str, payload: Json) -> Change {
    Change {
        stream: stream_of_records("Organization"),
        stream_kind: StreamKind::Records,
        kind,
        entity: "Organization",
        entity_id: organization,
        payload: payload.into(),
    }
}

/// By GraphQL field: what it was and what it is.
fn differences(old: &Organization, new: &Organization) -> Map<String, Json> {
    let fields = |of: &Organization| {
        [
            ("name", json!(of.name)),
            ("slug", json!(of.slug)),
            ("timeZone", json!(of.time_zone)),
            ("currency", json!(of.currency)),
            ("retentionDays", json!(of.retention_days)),
            ("messageRetention", json!(of.message_retention)),
            ("requireVerifiedEmail", json!(of.require_verified_email)),
            ("settings", json!(of.settings.0)),
        ]
    };
    let both = fields(old).into_iter().zip(fields(new)).filter(|((_, old), (_, new))| old != new);
    both.map(|((field, old), (_, new))| (field.to_owned(), json!({ "old": old, "new": new }))).collect()
}
