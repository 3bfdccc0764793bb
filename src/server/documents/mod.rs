//! What happens to a document before the executor: measured, looked up or parsed, limited, validated, and made into a plan
//! for each of its operations. Invariant: a document is judged once; its verdict is kept, whether good or bad, in bounded
//! memory; nothing unjudged gets further.
//!
//! `scan` → cache → `judge` (parse → `limits` → validation → `rules` → `introspection`) → `variables` → `flatten` →
//! `cost`.

mod conflicts;
mod cost;
mod flatten;
mod introspection;
mod judge;
mod level;
mod limits;
mod opened;
mod refused;
mod rules;
mod scan;
#[cfg(test)]
mod tests;
mod variables;

pub use flatten::{NULLABLE, Plan, REQUIRED};
pub use judge::{Judge, Judged};
pub use refused::{Fault, Location, Refused};

use crate::{
    config::DocumentConfig,
    error::{Code, Result},
};
use apollo_compiler::{Node, executable::Operation};
use async_graphql::{Variables, parser::types as engine};
use async_graphql_value::Value;
use quick_cache::{Weighter, sync::Cache};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// Memory for documents at most, in bytes, as estimated.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What a selection takes in a parsed document and its plan.
const BYTES_PER_SELECTION: u64 = 1200;
/// What a byte of source takes in a parsed document, its text included.
const BYTES_PER_BYTE: u64 = 16;

/// SHA-256 of a document's text.
type Hash = [u8; 32];
type Verdict = Result<Arc<Document>, Arc<Refused>>;

/// Judges documents and remembers its verdicts.
pub struct Documents {
    judge: Judge,
    cache: Cache<Hash, (Verdict, u64), Weight>,
}

#[derive(Clone)]
struct Weight {
    /// What each entry weighs at least, so that both bytes and number are bounded.
    least: u64,
}

impl Weighter<Hash, (Verdict, u64)> for Weight {
    fn weight(&self, _: &Hash, (_, bytes): &(Verdict, u64)) -> u64 {
        self.least.max(*bytes)
    }
}

/// A document that is valid for the schema.
pub struct Document {
    judged: Judged,
    operations: Vec<Planned>,
}

/// An operation, with its plan once it has been asked for; none is kept where variables decide what is selected.
struct Planned {
    operation: Node<Operation>,
    name: Option<Arc<str>>,
    conditional: bool,
    plan: OnceLock<Arc<Plan>>,
}

/// An operation with its variables, ready to be executed.
pub struct Ready {
    pub name: Option<Arc<str>>,
    pub kind: engine::OperationType,
    pub plan: Arc<Plan>,
    pub variables: Variables,
    /// Against `max_cost`.
    pub cost: u64,
    /// Some variables were omitted.
    omitted: bool,
}

impl Documents {
    /// For a schema in SDL.
    pub fn new(sdl: &str, limits: DocumentConfig) -> Result<Self> {
        let items = limits.cache.max(1);
        let least = CACHE_BYTES / u64::try_from(items).unwrap_or(u64::MAX).max(1);
        let cache = Cache::with_weighter(items, CACHE_BYTES, Weight { least });
        Ok(Documents { judge: Judge::new(sdl, limits)?, cache })
    }

    /// The verdict on a document's text, from memory where it is known.
    pub fn read(&self, text: &str) -> Verdict {
        self.verdict(Sha256::digest(text).into(), text)
    }

    fn verdict(&self, hash: Hash, text: &str) -> Verdict {
        if let Some((verdict, _)) = self.cache.get(&hash) {
            return verdict;
        }
        let judged = self.judge.judge(text);
        let source = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_mul(BYTES_PER_BYTE);
        let (verdict, bytes) = match judged {
            Ok(judged) => {
                let selections = u64::try_from(judged.selections).unwrap_or(u64::MAX);
                let bytes = source.saturating_add(selections.saturating_mul(BYTES_PER_SELECTION));
                (Ok(Arc::new(Document::new(judged))), bytes)
            }
            // What is wrong takes no room: a score of sentences.
            Err(refused) => (Err(Arc::new(refused)), 0),
        };
        self.cache.insert(hash, (verdict.clone(), bytes));
        verdict
    }

    /// The verdict on a persisted document (Apollo's automatic persisted queries): by hash alone when it is known, by
    /// text and hash when the client introduces it.
    pub fn read_persisted(&self, persisted: &Json, text: Option<&str>) -> Verdict {
        let bad = |message: &'static str| Arc::new(Refused::new(Code::BadRequest, message));
        if persisted.get("version").and_then(Json::as_u64) != Some(1) {
            return Err(Arc::new(Refused::new(Code::PersistedQueryNotSupported, "PersistedQueryNotSupported")));
        }
        let hash = persisted.get("sha256Hash").and_then(Json::as_str).and_then(unhex);
        let hash = hash.ok_or_else(|| bad("`extensions.persistedQuery.sha256Hash` must be 64 hexadecimal digits."))?;
        match text {
            Some(text) => {
                if Hash::from(Sha256::digest(text)) != hash {
                    return Err(bad("`extensions.persistedQuery.sha256Hash` is not the hash of `query`."));
                }
                self.verdict(hash, text)
            }
            // Clients know this message.
            None => self.cache.get(&hash).map_or_else(
                || Err(Arc::new(Refused::new(Code::PersistedQueryNotFound, "PersistedQueryNotFound"))),
                |(verdict, _)| verdict,
            ),
        }
    }

    /// Selects an operation, checks its variables and what it costs.
    pub fn ready(
        &self,
        document: &Document,
        operation_name: Option<&str>,
        variables: Option<&Map<String, Json>>,
    ) -> Result<Ready, Refused> {
        let schema = self.judge.schema();
        let planned = document.operation(operation_name)?;
        let operation = &planned.operation;
        let variables = variables::coerce(schema, &document.judged.document, operation, variables)?;
        let plan = match planned.plan.get() {
            Some(plan) => plan.clone(),
            None => {
                let plan = flatten::flatten(
                    schema,
                    &document.judged.document,
                    operation,
                    &variables,
                    self.judge.limits().max_selections,
                )?;
                let plan = Arc::new(plan);
                if planned.conditional { plan } else { planned.plan.get_or_init(|| plan).clone() }
            }
        };
        let cost = plan.cost.total(&variables);
        let maximum = self.max_cost();
        if cost > maximum {
            let mut refused = Refused::new(
                Code::QueryTooComplex,
                format!("The operation may cost {cost}; at most {maximum} is allowed. Ask for fewer items."),
            );
            refused.extensions.insert("cost".into(), serde_json::json!({ "requested": cost, "maximum": maximum }));
            return Err(refused);
        }
        Ok(Ready {
            name: planned.name.clone(),
            kind: match operation.operation_type {
                apollo_compiler::ast::OperationType::Query => engine::OperationType::Query,
                apollo_compiler::ast::OperationType::Mutation => engine::OperationType::Mutation,
                apollo_compiler::ast::OperationType::Subscription => engine::OperationType::Subscription,
            },
            omitted: variables.len() < operation.variables.len(),
            plan,
            variables,
            cost,
        })
    }

    /// What an operation may cost.
    pub fn max_cost(&self) -> u64 {
        self.judge.limits().max_cost
    }
}

impl Document {
    fn new(judged: Judged) -> Self {
        let operations = judged
            .document
            .operations
            .iter()
            .map(|operation| Planned {
                operation: operation.clone(),
                name: operation.name.as_ref().map(|name| name.as_str().into()),
                conditional: flatten::is_conditional(&judged.document, operation),
                plan: OnceLock::new(),
            })
            .collect();
        Document { judged, operations }
    }

    fn operation(&self, name: Option<&str>) -> Result<&Planned, Refused> {
        let refused = |message: String| Refused::new(Code::OperationResolutionFailure, message);
        match (name, self.operations.as_slice()) {
            (None, [only]) => Ok(only),
            (None, []) => Err(refused("The document has no operation.".into())),
            (None, _) => Err(refused("The document has several operations: say which in `operationName`.".into())),
            (Some(name), operations) => {
                operations.iter().find(|planned| planned.name.as_deref() == Some(name)).ok_or_else(|| {
                    let name: String = name.chars().take(80).collect();
                    refused(format!("The document has no operation named \"{name}\"."))
                })
            }
        }
    }
}

impl Ready {
    /// The document for the executor. An argument whose variable was omitted is left out, so that its default holds: the
    /// engine would take it for null.
    pub fn document(&self) -> engine::ExecutableDocument {
        let mut document = self.plan.document.clone();
        if self.omitted
            && let engine::DocumentOperations::Single(operation) = &mut document.operations
        {
            self.leave_out(&mut operation.node.selection_set.node);
        }
        document
    }

    fn leave_out(&self, set: &mut engine::SelectionSet) {
        for selection in &mut set.items {
            match &mut selection.node {
                engine::Selection::Field(field) => {
                    let given = |value: &Value| match value {
                        Value::Variable(name) => self.variables.contains_key(name),
                        _ => true,
                    };
                    field.node.arguments.retain(|(_, value)| given(&value.node));
                    self.leave_out(&mut field.node.selection_set.node);
                }
                engine::Selection::InlineFragment(fragment) => self.leave_out(&mut fragment.node.selection_set.node),
                engine::Selection::FragmentSpread(_) => {}
            }
        }
    }
}

/// 64 hexadecimal digits as bytes.
fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}
