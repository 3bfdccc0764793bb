//! Who asks: the one value that every query starts from. Invariant: whatever touches a tenant table takes a
//! `Scope`, and with it the organization, the actor and what they may.

use crate::{
    app::App,
    error::{Code, Error, Result},
    events::Origin,
    kit::{
        cookies::Cookies,
        permission::{Action, Permissions, Resource, Role},
        relation::Loads,
    },
    platform::{database::Connection, tokens::ApiKeyToken},
};
use async_graphql::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc};
use uuid::Uuid;

/// One request from outside.
#[derive(Clone, Debug, Default)]
pub struct RequestInfo {
    /// Stands in the answer, in errors and in the log.
    pub id: Arc<str>,
    /// Where it came from, behind trusted proxies.
    pub address: Option<IpAddr>,
    pub user_agent: Option<Arc<str>>,
    pub idempotency_key: Option<Arc<str>>,
    /// Whether it came by TLS, as far as that is known.
    pub secure: bool,
    /// The token of a device that somebody has signed in from.
    pub device: Option<Arc<str>>,
    /// Where a browser wants its tokens kept instead of in the answer; `None`: it has not asked for that.
    pub cookies: Option<Arc<Cookies>>,
}

impl RequestInfo {
    /// As the log keeps it; `member` did it, or nobody who was signed in.
    pub fn origin(&self, member: Option<Uuid>) -> Origin {
        Origin {
            member,
            api_key: None,
            request_id: Some(self.id.clone()),
            address: self.address,
            user_agent: self.user_agent.clone(),
        }
    }
}

pub use crate::kit::permission::Reach;

/// What the caller has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// An access token: a person is there, or was a while ago.
    Session(Uuid),
    /// An API key: a program. Its id, and what it was found and proved by, for asking again.
    ApiKey(Uuid, ApiKeyToken),
    /// Nothing at this moment: something that the member, or an API key in their name, has asked for before is done now.
    Earlier { asked_for: Uuid, api_key: Option<Uuid> },
}

impl Credential {
    /// The id of the session, of the API key or of what was asked for.
    pub fn id(&self) -> Uuid {
        match self {
            Credential::Session(id) | Credential::ApiKey(id, _) | Credential::Earlier { asked_for: id, .. } => *id,
        }
    }
}

/// A member of an organization, signed in.
#[derive(Clone, Debug)]
pub struct Actor {
    pub organization: Uuid,
    pub member: Uuid,
    pub user: Uuid,
    pub credential: Credential,
    /// When the access token that was presented, or the API key, ends.
    pub expires_at: DateTime<Utc>,
    /// The built-in role; GUEST for who has one of the organization's own.
    pub role: Role,
    /// What people call the role that they have.
    pub role_name: Arc<str>,
    pub permissions: Permissions,
    /// The member and, where it has a TEAM permission, all who report to it, directly or not, and the members of the
    /// teams that it leads; sorted.
    pub team: Arc<[Uuid]>,
    /// Whether the member has yet to show that the address is theirs before they may write.
    pub unverified: bool,
    /// The organization's: where its days begin.
    pub time_zone: chrono_tz::Tz,
    /// The organization's: what amounts are in that name no other (ISO 4217).
    pub currency: Arc<str>,
}

impl Actor {
    /// The session of the person who asks. FORBIDDEN (PERSON_REQUIRED) for an API key: asked before whatever belongs to
    /// a person alone, such as their password, their sessions and their API keys.
    pub fn session(&self) -> Result<Uuid> {
        match &self.credential {
            Credential::Session(id) => Ok(*id),
            Credential::Earlier { .. } => Err(Error::forbidden("This is for the person alone, who is not here now.")),
            Credential::ApiKey(..) => Err(Error::yours_with(
                Code::Forbidden,
                "An API key cannot do this, whatever its permissions: it is for the person alone, who has to sign in.",
                vec![("reason", "PERSON_REQUIRED".into())],
            )),
        }
    }

    /// The API key that asks, or has asked, in the name of the member; None: the person does.
    pub fn api_key(&self) -> Option<Uuid> {
        match &self.credential {
            Credential::Session(_) => None,
            Credential::ApiKey(id, _) => Some(*id),
            Credential::Earlier { api_key, .. } => *api_key,
        }
    }

    /// Whose permissions count, for the words of a refusal.
    pub fn party(&self) -> &'static str {
        if self.api_key().is_some() { "This API key, or your role," } else { "Your role" }
    }

    /// How far the actor may do that; `None`: not at all.
    pub fn may(&self, resource: Resource, action: Action) -> Option<Reach> {
        self.permissions.reach(resource, action)
    }

    /// As `may`; FORBIDDEN instead of `None`.
    pub fn demand(&self, resource: Resource, action: Action) -> Result<Reach> {
        self.may(resource, action).ok_or_else(|| {
            let role = &self.role_name;
            let key = if self.api_key().is_some() { "this API key, or " } else { "" };
            Error::forbidden(format!(
                "This needs the permission {action} on {resource}, which {key}the role {role} lacks."
            ))
        })
    }

    /// EMAIL_NOT_VERIFIED where the organization wants members to show first that their address is theirs. Asked before
    /// every write, save for those to one's own account.
    pub fn demand_verified(&self) -> Result<()> {
        let message =
            "Confirm your e-mail address first: open the link that was mailed to you, or have another one sent.";
        if self.unverified { Err(Error::yours(Code::EmailNotVerified, message)) } else { Ok(()) }
    }

    /// The organization's currency.
    pub fn currency(&self) -> super::scalars::CurrencyCode {
        super::scalars::CurrencyCode(self.currency.to_string())
    }

    /// Whether a record of that owner is within reach. What nobody owns is only within ALL.
    pub fn reaches(&self, reach: Reach, owner: Option<Uuid>) -> bool {
        match reach {
            Reach::All => true,
            Reach::Team => owner.is_some_and(|owner| self.team.binary_search(&owner).is_ok()),
            Reach::Own => owner == Some(self.member),
        }
    }
}

/// A signed-in request: who asks and where the data is. Cheap to clone.
#[derive(Clone)]
pub struct Scope {
    pub app: Arc<App>,
    pub actor: Arc<Actor>,
    pub request: RequestInfo,
    /// What this operation has fetched ahead.
    pub loads: Arc<Loads>,
}

impl Scope {
    /// The same caller at the beginning of another operation.
    pub fn fresh(&self) -> Self {
        Scope { loads: Arc::default(), ..self.clone() }
    }

    /// The caller, as the log keeps it.
    pub fn origin(&self) -> Origin {
        Origin { api_key: self.actor.api_key(), ..self.request.origin(Some(self.actor.member)) }
    }

    /// A connection that sees this organization's rows.
    pub async fn reader(&self) -> Result<Connection> {
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

impl Caller {
    pub fn app(&self) -> &Arc<App> {
        match self {
            Caller::Stranger { app, .. } => app,
            Caller::Member(scope) => &scope.app,
        }
    }

    /// The same caller at the beginning of another operation: nothing fetched ahead for one serves another.
    pub fn fresh(self) -> Self {
        match self {
            Caller::Member(scope) => Caller::Member(scope.fresh()),
            stranger => stranger,
        }
    }

    pub fn request(&self) -> &RequestInfo {
        match self {
            Caller::Stranger { request, .. } => request,
            Caller::Member(scope) => &scope.request,
        }
    }
}

/// The way from a resolver to the caller.
pub trait Ask {
    fn caller(&self) -> async_graphql::Result<&Caller>;
    /// The signed-in caller; UNAUTHENTICATED (MISSING) otherwise.
    fn scope(&self) -> async_graphql::Result<&Scope>;
    /// The answer of a nullable field that may fail: its error is told and the field is null, and nothing beside it. What is
    /// awaited for it is put into a box, as in `or_null`.
    fn settle<T>(&self, result: async_graphql::Result<T>) -> Option<T>;
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

    fn settle<T>(&self, result: async_graphql::Result<T>) -> Option<T> {
        result.map_err(|error| self.add_error(self.set_error_path(error.into_server_error(self.item.pos)))).ok()
    }
}
