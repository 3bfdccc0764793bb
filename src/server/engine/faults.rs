//! From what went wrong to what a client is told and what the log keeps. Invariant: the engine's own words, Rust's debug
//! text and the causes of the server's faults never reach a client; each of these causes stands in the log once.

use super::nulls::Traced;
use crate::{
    error::{Code, Error},
    kit::scope::RequestInfo,
    server::documents::{Fault, Location, Refused},
};
use async_graphql::{PathSegment, ServerError};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use std::{any::Any, collections::HashSet, sync::Arc};

/// An error as a client reads it.
#[derive(Serialize)]
pub struct Told {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    path: Vec<PathSegment>,
    extensions: Extensions,
}

struct Extensions {
    code: Code,
    request: Arc<str>,
    more: Vec<(String, Value)>,
}

impl Serialize for Extensions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", self.code.as_str())?;
        map.serialize_entry("requestId", &*self.request)?;
        for (name, value) in &self.more {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Told {
    /// Without a place.
    pub fn of(error: &Error, request: &RequestInfo) -> Self {
        let more = match error {
            Error::Yours(refusal) => {
                refusal.extensions.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
            }
            Error::Ours(_) | Error::TooSlow(..) => Vec::new(),
        };
        Told {
            message: error.to_string(),
            locations: Vec::new(),
            path: Vec::new(),
            extensions: Extensions { code: error.code(), request: request.id.clone(), more },
        }
    }

    /// Of a document or its variables.
    pub fn of_fault(fault: &Fault, refused: &Refused, request: &RequestInfo) -> Self {
        let more = refused.extensions.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Told {
            message: fault.message.clone().into_owned(),
            locations: fault.locations.clone(),
            path: Vec::new(),
            extensions: Extensions { code: refused.code, request: request.id.clone(), more },
        }
    }

    pub fn code(&self) -> Code {
        self.extensions.code
    }
}

/// Words the errors of one execution and logs those of the server.
pub fn tell(errors: Vec<ServerError>, request: &RequestInfo, operation: Option<&str>) -> Vec<Told> {
    let mut logged: Vec<*const ()> = Vec::new();
    let mut told_of = HashSet::new();
    errors
        .into_iter()
        .filter_map(|found| {
            let (error, path) = understand(&found);
            // A field under two type conditions may have been asked twice.
            if !path.is_empty() && !told_of.insert(format!("{path:?}")) {
                return None;
            }
            // A loader hands one fault to all who waited for it: once in the log is enough.
            if let Error::Ours(cause) | Error::TooSlow(_, cause) = &error {
                let identity = Arc::as_ptr(cause).cast::<()>();
                if !logged.contains(&identity) {
                    logged.push(identity);
                    log(&error, request, &path, operation);
                }
            }
            let locations = found.locations.iter().map(|at| Location { line: at.line, column: at.column }).collect();
            Some(Told { locations, path, ..Told::of(&error, request) })
        })
        .collect()
}

/// Writes a fault of the server into the log; faults of the caller are the caller's.
pub fn log(error: &Error, request: &RequestInfo, path: &[PathSegment], operation: Option<&str>) {
    let (Error::Ours(cause) | Error::TooSlow(_, cause)) = error else { return };
    let path = path.iter().fold(String::new(), |path, step| match step {
        PathSegment::Field(name) if path.is_empty() => name.clone(),
        PathSegment::Field(name) => format!("{path}.{name}"),
        PathSegment::Index(index) => format!("{path}[{index}]"),
    });
    tracing::error!(
        request = %request.id,
        operation,
        path,
        code = error.code().as_str(),
        cause = ?cause,
        "{}",
        chain(&**cause)
    );
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// What an error of the engine is, and where.
fn understand(found: &ServerError) -> (Error, Vec<PathSegment>) {
    let mut source = found.source.as_deref();
    let mut path = &found.path;
    if let Some(traced) = source.and_then(|source| source.downcast_ref::<Traced>()) {
        source = traced.source.as_deref();
        path = &traced.path;
    }
    let error = source.and_then(ours).unwrap_or_else(|| match input_fault(&found.message) {
        Some(message) => Error::bad_input(message),
        None => Error::ours(found.message.clone()),
    });
    (error, path.clone())
}

/// The error that a resolver returned with `?`.
fn ours(source: &(dyn Any + Send + Sync)) -> Option<Error> {
    source
        .downcast_ref::<Error>()
        .cloned()
        .or_else(|| source.downcast_ref::<Arc<Error>>().map(|error| (**error).clone()))
}

/// What the engine says when a value of a custom scalar or an input object cannot be read, reworded:
/// `Failed to parse "Date": … (occurred while parsing "LeadFilter")` or `Expected input type "Date", found 3.`
fn input_fault(message: &str) -> Option<String> {
    if let Some(rest) = message.strip_prefix("Failed to parse \"") {
        let (name, why) = rest.split_once("\": ")?;
        let why = why.split(" (occurred while parsing \"").next().unwrap_or(why);
        return Some(format!("Invalid {name}: {why}"));
    }
    let rest = message.strip_prefix("Expected input type \"")?;
    let (name, found) = rest.split_once("\", found ")?;
    let found = found.split(" (occurred while parsing \"").next().unwrap_or(found).trim_end_matches('.');
    let mut quoted: String = found.chars().take(80).collect();
    if quoted.len() < found.len() {
        quoted.push('…');
    }
    Some(format!("Expected a value of type {name}, found {quoted}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewords_what_the_engine_says_of_input() {
        let cases = [
            ("Failed to parse \"Date\": no such day", "Invalid Date: no such day"),
            (
                "Failed to parse \"Date\": no such day (occurred while parsing \"DateFilter\") (occurred while parsing \"LeadFilter\")",
                "Invalid Date: no such day",
            ),
            ("Expected input type \"Date\", found 3.", "Expected a value of type Date, found 3."),
            (
                "Expected input type \"Int\", found null. (occurred while parsing \"PageInput\")",
                "Expected a value of type Int, found null.",
            ),
        ];
        for (engine, told) in cases {
            assert_eq!(input_fault(engine).as_deref(), Some(told));
        }
        assert_eq!(input_fault("Data `alloc::sync::Arc<App>` does not exist."), None);
    }
}
