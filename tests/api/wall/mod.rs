//! The wall between organizations, walked along from every side. Invariant: these tests are generated from the
//! database's catalog and from the schema, so that a new table, type or field is held by them without anybody writing
//! a test for it; what they cannot reach makes them fail.

mod api_keys;
mod catalog;
pub mod feed;
mod fill;
mod neighbour;
mod plans;
mod roles;
mod stranger;
mod unverified;
mod world;

use stoa::config::Config;

/// Settings under which documents may be as large as a walk along the whole schema.
fn loosened(config: &mut Config) {
    let documents = &mut config.documents;
    documents.max_tokens = 1_000_000;
    documents.max_selections = 1_000_000;
    documents.max_depth = 100;
    documents.max_aliases = 100_000;
    documents.max_root_fields = 10_000;
    documents.max_cost = 1_000_000_000_000;
    config.http.max_body = 64 * 1024 * 1024;
    config.http.timeout_ms = 60_000;
    config.http.max_streams = 10_000;
    // Many fields at once on a busy machine wait for each other, and none gives up.
    config.database.pool = 16;
    config.database.wait_ms = 60_000;
}
