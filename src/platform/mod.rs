//! The outside world, a small type each.

pub mod aside;
pub mod coalesce;
pub mod database;
pub mod files;
pub mod jobs;
pub mod key_file;
pub mod mail;
pub mod migrations;
pub mod nodes;
pub mod oidc;
pub mod outbound;
pub mod password;
pub mod picture;
pub mod postgres;
pub mod presence;
pub mod random;
pub mod signed_url;
pub mod standing;
pub mod telemetry;
mod threads;
pub mod throttle;
pub mod tokens;
pub mod vault;
