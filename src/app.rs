//! The application: what is made once at start and handed to everything else.
//! Invariant: nothing in here belongs to a request or an organization.

use crate::{
    config::Config,
    events::Hub,
    platform::{database::Database, password::Passwords, standing::Standings, throttle::Throttle, tokens::Tokens},
};
use std::sync::Arc;

/// Everything that outlives a request.
pub struct App {
    pub config: Arc<Config>,
    pub database: Database,
    pub hub: Hub,
    pub tokens: Tokens,
    pub passwords: Passwords,
    pub throttle: Throttle,
    pub standings: Standings,
}
