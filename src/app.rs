//! The application: what is made once at start and handed to everything else.
//! Invariant: nothing in here belongs to a request or an organization.

use crate::{
    config::Config,
    error::Result,
    events::Hub,
    kit::relation::Lookups,
    platform::{
        aside::Aside, database::Database, gather::Gather, jobs::Jobs, mail::Mailer, oidc::Oidc, password::Passwords,
        standing::Standings, throttle::Throttle, tokens::Tokens, vault::Vault,
    },
};
use std::sync::Arc;

/// Everything that outlives a request.
pub struct App {
    pub config: Arc<Config>,
    pub database: Database,
    pub hub: Hub,
    pub tokens: Tokens,
    pub vault: Vault,
    pub passwords: Passwords,
    pub throttle: Throttle,
    pub standings: Standings,
    pub lookups: Lookups,
    pub aside: Aside,
    pub gather: Gather,
    pub jobs: Jobs,
    pub mail: Mailer,
    pub oidc: Oidc,
}

impl App {
    /// Connects to a migrated database and makes the rest. Install the metrics recorder first: counters belong to
    /// the recorder that is there when they are made. The error says what an operator has to mend.
    pub async fn new(config: Config, url: &str) -> Result<Arc<Self>> {
        let database = Database::connect(&config.database, url).await?;
        let jobs = Jobs::default();
        Ok(Arc::new(App {
            hub: Hub::new(&config.events, database.clone()),
            database,
            tokens: Tokens::open(&config)?,
            vault: Vault::of(&config)?,
            passwords: Passwords::new(&config.identity),
            throttle: Throttle::new(),
            standings: Standings::default(),
            lookups: Lookups::default(),
            aside: Aside::default(),
            gather: Gather::default(),
            mail: Mailer::new(&config, &jobs)?,
            oidc: Oidc::new(&config)?,
            jobs,
            config: Arc::new(config),
        }))
    }
}
