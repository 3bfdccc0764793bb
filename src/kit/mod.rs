//! The words that entities are written in.

pub mod scope;
