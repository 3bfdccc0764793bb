//! Stoa through its API, as clients see it: one file an entity, the same path as in `src/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod account;
mod api_keys;
mod audit;
mod audit_export;
mod avatar;
mod cookies;
mod crm;
mod crm_feed;
mod devices;
mod files;
mod files_of_others;
mod floor;
mod http;
mod idempotency;
mod identity;
mod invitations;
mod jobs;
#[allow(dead_code, reason = "words for whichever test needs them")]
mod kit;
mod limits;
mod mail;
mod members;
mod memory;
mod messaging;
mod nodes;
mod oidc;
mod organizations;
mod outage;
mod plan;
mod presence;
mod revocation;
mod roles;
mod schema;
mod sessions;
mod socket;
mod teams;
mod thumbnails;
mod two_factor;
mod uploads;
mod user_command;
mod wall;
