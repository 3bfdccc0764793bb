//! The words that entities are written in.

pub mod permission;
pub mod scope;
pub mod user_error;
