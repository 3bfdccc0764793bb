//! Stoa: one process, one PostgreSQL, one GraphQL schema for a company's customers, work and conversations.
//!
//! The modules in reading order; each imports only from those below it:
//! `commands` → `server` → `graphql`, `upkeep` → the wings (`operations`, `messaging`, `crm`, `files`, `identity`) → `kit` → `app` →
//! `events`, `platform` → `schema`, `error`, `config`.

// What tests inside and outside of the library share names it alike.
#[cfg(test)]
extern crate self as stoa;

pub mod commands;
pub mod server;

pub mod audit;
pub mod graphql;
pub mod node;
pub mod upkeep;

pub mod crm;
pub mod files;
pub mod identity;
pub mod messaging;
pub mod operations;

pub mod kit;

pub mod app;
pub mod events;
pub mod platform;

pub mod config;
pub mod error;
#[rustfmt::skip]
pub mod schema;

pub use error::{Error, Result};
