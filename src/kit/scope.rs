//! Who asks: the one value that every query starts from. Invariant: whatever touches a tenant table takes a
//! `Scope`, and with it the organization, the actor and what they may.

use crate::{app::App, error::Error, platform::database::Connection};
use async_graphql::Context;
use chrono::{DateTime, Utc};
use std::{net::IpAddr, sync::Arc};
use uuid::Uuid;

/// One request from outside.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// Stands in the answer, in errors and in the log.
    pub id: Arc<str>,
    /// Where it came from, behind trusted proxies.
    pub address: Option<IpAddr>,
    pub user_agent: Option<Arc<str>>,
    pub idempotency_key: Option<Arc<str>>,
}

/// What may be done with a kind of record, and how far it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// What belongs to the member.
    Own,
    /// Also what belongs to those who report to the member.
    Team,
    /// All of the organization.
    All,
}

/// A member of an organization, signed in.
#[derive(Clone, Debug)]
pub struct Actor {
    pub organization: Uuid,
    pub member: Uuid,
    pub user: Uuid,
    pub session: Uuid,
    /// When the access token that was presented ends.
    pub expires_at: DateTime<Utc>,
    /// The organization's.
    pub time_zone: chrono_tz::Tz,
    /// What money is in unless said otherwise (ISO 4217).
    pub currency: Arc<str>,
    pub permissions: super::permission::Permissions,
    /// The member and all who report to them.
    pub team: Arc<[Uuid]>,
}

impl Actor {
    /// The organization's currency.
    pub fn currency(&self) -> super::scalars::CurrencyCode {
        super::scalars::CurrencyCode(self.currency.to_string())
    }
}

/// A signed-in request: who asks and where the data is. Cheap to clone.
#[derive(Clone)]
pub struct Scope {
    pub app: Arc<App>,
    pub actor: Arc<Actor>,
    pub request: RequestInfo,
    /// What this operation has fetched ahead.
    pub loads: Arc<super::relation::Loads>,
}

impl Scope {
    /// A connection that sees this organization's rows.
    pub async fn reader(&self) -> Result<Connection, Error> {
        self.app.database.of(self.actor.organization).await
    }
}

/// Who sent an operation: data of every GraphQL request.
#[derive(Clone)]
pub enum Caller {
    /// Nobody has signed in: may register, sign in, and look at the schema.
    Stranger {
        app: Arc<App>,
        request: RequestInfo,
    },
    Member(Scope),
}

/// The way from a resolver to the caller.
pub trait Ask {
    fn caller(&self) -> async_graphql::Result<&Caller>;
    /// The signed-in caller; UNAUTHENTICATED (MISSING) otherwise.
    fn scope(&self) -> async_graphql::Result<&Scope>;
}

impl Ask for Context<'_> {
    fn caller(&self) -> async_graphql::Result<&Caller> {
        self.data::<Caller>()
    }

    fn scope(&self) -> async_graphql::Result<&Scope> {
        match self.caller()? {
            Caller::Member(scope) => Ok(scope),
            Caller::Stranger { .. } => {
                Err(Error::unauthenticated("MISSING", "Sign in first: send an access token.").into())
            }
        }
    }
}
