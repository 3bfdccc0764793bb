//! Why a document or its variables are not executed. Invariant: every fault is one sentence in Stoa's or the
//! specification's words, with the places in the document that it is about.

use crate::error::Code;
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Faults told at once at most; a document of nonsense needs no list of hundreds.
pub const MAX_FAULTS: usize = 20;

/// A place in a document: both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    pub line: usize,
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    pub message: Cow<'static, str>,
    pub locations: Vec<Location>,
}

/// A request that is not executed, and why.
#[derive(Clone, Debug)]
pub struct Refused {
    pub code: Code,
    /// At least one, at most `MAX_FAULTS`.
    pub faults: Vec<Fault>,
    /// Further members of each error's `extensions`.
    pub extensions: Map<String, Value>,
}

impl Refused {
    /// For one reason that has no place in the document.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::at(code, message, None)
    }

    /// For one reason, with its place where it has one.
    pub fn at(code: Code, message: impl Into<Cow<'static, str>>, location: Option<Location>) -> Self {
        Self::all(code, vec![Fault { message: message.into(), locations: location.into_iter().collect() }])
    }

    /// For several reasons.
    pub fn all(code: Code, mut faults: Vec<Fault>) -> Self {
        faults.truncate(MAX_FAULTS);
        Refused { code, faults, extensions: Map::new() }
    }
}
