//! Whether a document is GraphQL, small enough and right for a schema. Invariant: what passes is valid by the
//! specification, as graphql-js judges it; what does not is told why, in sentences, with places.

use super::{
    conflicts, introspection, limits,
    refused::{Fault, Location, MAX_FAULTS, Refused},
    rules, scan,
};
use crate::{
    config::DocumentConfig,
    error::{Code, Error, Result},
};
use apollo_compiler::{
    ExecutableDocument, Schema,
    ast::{DirectiveList, Document, FieldDefinition, Type},
    diagnostic::{Diagnostic, ToCliReport},
    name,
    parser::Parser,
    schema::{Component, ExtendedType},
    validation::{DiagnosticData, DiagnosticList, Valid},
};

/// Characters of a message.
const MAX_MESSAGE: usize = 400;
/// apollo counts spaces, commas and comments as tokens; Stoa does not.
const LEXED_PER_TOKEN: usize = 8;
/// apollo counts several levels of its grammar for one bracket.
const LEVELS_PER_BRACKET: usize = 8;

/// apollo counts a subscription's root field twice when it is named twice.
const LEFT_TO_RULES: &str = "SubscriptionUsesMultipleFields";

/// A schema and the limits that documents are judged by.
pub struct Judge {
    schema: Valid<Schema>,
    limits: DocumentConfig,
}

/// A document that may be executed.
pub struct Judged {
    pub document: Valid<ExecutableDocument>,
    /// Selections of all operations with their fragments spread.
    pub selections: usize,
}

impl Judge {
    /// For a schema in SDL; an error of ours when it is no valid schema.
    pub fn new(sdl: &str, limits: DocumentConfig) -> Result<Self> {
        let wrong = |faults| Error::ours(format!("the schema's SDL is not valid: {faults}"));
        let mut schema = Schema::parse(sdl, "schema.graphql").map_err(|invalid| wrong(invalid.errors))?;
        tell_one_of(&mut schema);
        let schema = schema.validate().map_err(|invalid| wrong(invalid.errors))?;
        Ok(Judge { schema, limits })
    }

    pub fn schema(&self) -> &Valid<Schema> {
        &self.schema
    }

    pub fn limits(&self) -> &DocumentConfig {
        &self.limits
    }

    /// Measures, parses, limits and validates, in this order: each step bounds the work of the next.
    pub fn judge(&self, text: &str) -> Result<Judged, Refused> {
        let size = scan::measure(text);
        if size.tokens > self.limits.max_tokens {
            return Err(self.too_many_tokens());
        }
        if size.nesting > self.limits.max_nesting {
            return Err(self.too_nested());
        }
        let syntax = self.parse(text)?;
        let selections = limits::check(&syntax, &self.limits)?;
        let document = match syntax.to_executable_validate(&self.schema) {
            Ok(document) => document,
            Err(invalid) => {
                let faults = sentences(&invalid.errors);
                if !faults.is_empty() {
                    return Err(Refused::all(Code::GraphqlValidationFailed, faults));
                }
                // Only what `rules` judges better.
                Valid::assume_valid(invalid.partial)
            }
        };
        let mut faults = rules::check(&self.schema, &document);
        faults.extend(conflicts::check(&self.schema, &document));
        if !faults.is_empty() {
            return Err(Refused::all(Code::GraphqlValidationFailed, faults));
        }
        limits::check_roots(&document, &self.limits)?;
        introspection::check(&document, self.limits.introspection)?;
        Ok(Judged { document, selections })
    }

    fn parse(&self, text: &str) -> Result<Document, Refused> {
        let tokens = self.limits.max_tokens.saturating_mul(LEXED_PER_TOKEN);
        let levels = self.limits.max_nesting.saturating_mul(LEVELS_PER_BRACKET);
        let mut parser = Parser::new().token_limit(tokens).recursion_limit(levels);
        let parsed = parser.parse_ast(text, "document.graphql");
        match parsed {
            Ok(document) => Ok(document),
            Err(_) if parser.tokens_reached() >= tokens => Err(self.too_many_tokens()),
            Err(_) if parser.recursion_reached() >= levels => Err(self.too_nested()),
            // What follows the first mistake is guesswork.
            Err(invalid) => {
                Err(Refused::all(Code::GraphqlParseFailed, sentences(&invalid.errors).into_iter().take(1).collect()))
            }
        }
    }

    fn too_many_tokens(&self) -> Refused {
        Refused::new(Code::QueryTooLarge, format!("The document has more than {} tokens.", self.limits.max_tokens))
    }

    fn too_nested(&self) -> Refused {
        Refused::new(
            Code::QueryTooDeep,
            format!("The document's brackets nest more than {} deep.", self.limits.max_nesting),
        )
    }
}

/// `__Type.isOneOf`, which apollo does not know yet and the engine answers.
fn tell_one_of(schema: &mut Schema) {
    let name = name!("isOneOf");
    if let Some(ExtendedType::Object(object)) = schema.types.get_mut("__Type") {
        let field = FieldDefinition {
            description: None,
            name: name.clone(),
            arguments: Vec::new(),
            ty: Type::Named(name!("Boolean")),
            directives: DirectiveList::new(),
        };
        object.make_mut().fields.entry(name).or_insert_with(|| Component::new(field));
    }
}

/// What apollo found, in graphql-js's words where it knows them: none of its reports, no source excerpts.
fn sentences(found: &DiagnosticList) -> Vec<Fault> {
    let named = |name: &'static str| found.iter().filter(move |found| found.error.unstable_error_name() == Some(name));
    let unknown: Vec<_> = named("UndefinedField").filter_map(|found| found.error.location()).collect();
    // A field whose fields are all unknown looks to apollo as if it had none.
    let emptied = |diagnostic: &Diagnostic<'_, DiagnosticData>| {
        diagnostic.error.unstable_error_name() == Some("MissingSubselection")
            && diagnostic.error.location().is_some_and(|field| {
                unknown.iter().any(|place| place.offset() > field.offset() && place.end_offset() <= field.end_offset())
            })
    };
    found
        .iter()
        .filter(|diagnostic| diagnostic.error.unstable_error_name() != Some(LEFT_TO_RULES) && !emptied(diagnostic))
        .take(MAX_FAULTS)
        .map(|diagnostic| {
            let known = diagnostic.error.unstable_compat_message();
            let message = printable(&known.unwrap_or_else(|| sentence(&diagnostic.error.to_string())));
            let locations = diagnostic
                .line_column_range()
                .map(|range| Location { line: range.start.line, column: range.start.column })
                .into_iter()
                .collect();
            Fault { message: message.into(), locations }
        })
        .collect()
}

/// One line of bounded length: a message may quote what the client sent.
fn printable(text: &str) -> String {
    let clean = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    let mut line: String = text.chars().take(MAX_MESSAGE).map(clean).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        line.push('…');
    }
    line
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let mut sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}
