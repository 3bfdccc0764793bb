//! The words that entities are written in.

pub mod aggregate;
pub mod audience;
pub mod cookies;
pub mod entity;
pub mod feed;
pub mod filter;
pub mod history;
pub mod id;
pub mod idempotency;
pub mod listing;
pub mod order;
pub mod page;
pub mod permission;
pub mod plan;
pub mod predicate;
pub mod relation;
pub mod resolve;
pub mod rules;
pub mod scalars;
pub mod scope;
pub mod sql;
pub mod table;
pub mod tree;
pub mod user_error;
pub mod value;
pub mod write;
