//! The application: what is made once at start and handed to everything else.
//! Invariant: nothing in here belongs to a request or an organization.

use crate::{
    config::{Config, millis},
    error::{Error, Result},
    events::{Combiner, Hub},
    kit::relation::Lookups,
    platform::{
        aside::Aside,
        coalesce::Coalescer,
        database::{Database, address::Address},
        files::Files,
        jobs::Jobs,
        mail::Mailer,
        nodes::{Nodes, Redis},
        oidc::Oidc,
        password::Passwords,
        picture::Pictures,
        presence::Presence,
        signed_url::SignedUrls,
        standing::Standings,
        throttle::Throttle,
        tokens::Tokens,
        vault::Vault,
    },
};
use std::sync::Arc;

/// Everything that outlives a request.
pub struct App {
    pub config: Arc<Config>,
    pub database: Database,
    pub nodes: Nodes,
    pub hub: Hub,
    pub presence: Presence,
    pub tokens: Tokens,
    pub vault: Vault,
    pub passwords: Passwords,
    pub throttle: Throttle,
    pub standings: Standings,
    pub lookups: Lookups,
    pub aside: Aside,
    pub coalescer: Coalescer,
    pub combiner: Combiner,
    pub jobs: Jobs,
    pub mail: Mailer,
    pub oidc: Oidc,
    pub files: Files,
    pub pictures: Pictures,
    pub urls: SignedUrls,
}

impl App {
    /// Connects to a migrated database and makes the rest. Install the metrics recorder first: counters belong to
    /// the recorder that is there when they are made. The error says what an operator has to mend.
    pub async fn new(config: Config, url: &str) -> Result<Arc<Self>> {
        let database = Database::connect(&config.database, url).await?;
        let jobs = Jobs::default();
        let vault = Vault::of(&config)?;
        let redis = config.redis.url.as_ref().map(|url| Redis::new(url, &config.redis.prefix));
        let (nodes, throttle) = match redis.transpose().map_err(Error::ours)? {
            Some(redis) => {
                let secret = vault.derive("stoa limits")?;
                let throttle = Throttle::shared(redis.clone(), &secret, millis(config.redis.wait_ms))?;
                (Nodes::by_redis(redis), throttle)
            }
            None => (Nodes::by_postgres(Address::parse(url)?), Throttle::new()),
        };
        Ok(Arc::new(App {
            hub: Hub::new(&config.events, database.clone(), &nodes),
            presence: Presence::new(&config.presence, millis(config.socket.ping_ms), database.clone(), &nodes),
            tokens: Tokens::open(&config)?,
            urls: SignedUrls::new(&config, &vault)?,
            vault,
            passwords: Passwords::new(&config.identity),
            throttle,
            standings: Standings::new(&database, &nodes),
            lookups: Lookups::default(),
            aside: Aside::default(),
            coalescer: Coalescer::default(),
            combiner: Combiner::default(),
            mail: Mailer::new(&config, &jobs)?,
            oidc: Oidc::new(&config)?,
            files: Files::open(&config)?,
            pictures: Pictures::default(),
            jobs,
            database,
            nodes,
            config: Arc::new(config),
        }))
    }
}
