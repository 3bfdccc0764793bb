//! Stoa through its API, as clients see it: one file an entity, the same path as in `src/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod crm_feed;
mod http;
mod identity;
mod kit;
mod messaging;
mod socket;
