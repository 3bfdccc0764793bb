//! The values of an operation's variables, checked before anything is executed, as graphql-js does it. Invariant: what
//! comes out fits the types the operation declares, custom scalars excepted (their resolvers check them); an omitted
//! variable stays omitted.

use super::refused::{Fault, Location, MAX_FAULTS, Refused};
use crate::error::Code;
use apollo_compiler::{
    ExecutableDocument, Schema,
    ast::{Type, Value as Literal},
    executable::Operation,
    schema::{ExtendedType, InputObjectType},
};
use async_graphql::{Name, Value, Variables, indexmap::IndexMap};
use serde_json::{Map, Value as Json};
use std::fmt::Write;

/// Characters of a refused value that its error quotes.
const MAX_QUOTE: usize = 80;

/// Coerces `given` to what `operation` declares. Variables that it does not declare are ignored.
pub fn coerce(
    schema: &Schema,
    document: &ExecutableDocument,
    operation: &Operation,
    given: Option<&Map<String, Json>>,
) -> Result<Variables, Refused> {
    let mut variables = Variables::default();
    let mut faults = Vec::new();
    for definition in &operation.variables {
        let (name, ty) = (&definition.name, &definition.ty);
        let mut coercion = Coercion { schema, variable: name, path: Vec::new(), messages: Vec::new() };
        let value = match (given.and_then(|given| given.get(name.as_str())), &definition.default_value) {
            (Some(Json::Null), _) if ty.is_non_null() => {
                coercion.messages.push(format!("Variable \"${name}\" of non-null type \"{ty}\" must not be null."));
                None
            }
            (Some(value), _) => Some(coercion.value(ty, value)),
            (None, Some(default)) => Some(literal(default)),
            (None, None) if ty.is_non_null() => {
                coercion.messages.push(format!("Variable \"${name}\" of required type \"{ty}\" was not provided."));
                None
            }
            (None, None) => None,
        };
        if let Some(value) = value {
            variables.insert(Name::new(name.as_str()), value);
        }
        let place = definition.location().and_then(|span| span.line_column(&document.sources));
        let place = place.map(|at| Location { line: at.line, column: at.column });
        faults.extend(
            coercion
                .messages
                .into_iter()
                .map(|message| Fault { message: message.into(), locations: place.into_iter().collect() }),
        );
    }
    if faults.is_empty() { Ok(variables) } else { Err(Refused::all(Code::BadUserInput, faults)) }
}

/// A step from a variable to a value within it.
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

struct Coercion<'a> {
    schema: &'a Schema,
    variable: &'a str,
    path: Vec<Step<'a>>,
    messages: Vec<String>,
}

impl<'a> Coercion<'a> {
    /// Null and a message when the value does not fit.
    fn value(&mut self, ty: &'a Type, value: &'a Json) -> Value {
        if value.is_null() {
            if ty.is_non_null() {
                self.refuse(value, format_args!("Expected non-nullable type \"{ty}\" not to be null."));
            }
            return Value::Null;
        }
        if let Type::List(item) | Type::NonNullList(item) = ty {
            let Json::Array(items) = value else {
                // A single value stands for a list of one.
                return Value::List(vec![self.value(item, value)]);
            };
            let coerce = |(index, value)| {
                self.path.push(Step::Item(index));
                let value = self.value(item, value);
                self.path.pop();
                value
            };
            return Value::List(items.iter().enumerate().map(coerce).collect());
        }
        let name = ty.inner_named_type();
        match self.schema.types.get(name) {
            Some(ExtendedType::InputObject(object)) => self.object(object, value),
            Some(ExtendedType::Enum(definition)) => match value.as_str() {
                Some(word) if definition.values.contains_key(word) => Value::Enum(Name::new(word)),
                Some(word) => {
                    self.refuse(value, format_args!("Value \"{}\" does not exist in \"{name}\" enum.", quote(word)));
                    Value::Null
                }
                None => {
                    self.refuse(value, format_args!("Enum \"{name}\" cannot represent non-string value."));
                    Value::Null
                }
            },
            _ => self.scalar(name, value),
        }
    }

    fn scalar(&mut self, name: &str, value: &Json) -> Value {
        let coerced = match (name, value) {
            // As in JavaScript, 1.0 is an integer.
            ("Int", Json::Number(number)) => number
                .as_i64()
                .or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64))
                .and_then(|integer| i32::try_from(integer).ok())
                .map(Value::from),
            ("Float", Json::Number(number)) => Some(Value::Number(number.clone())),
            ("String" | "ID", Json::String(text)) => Some(Value::String(text.clone())),
            ("ID", Json::Number(number)) if !number.is_f64() => Some(Value::String(number.to_string())),
            ("Boolean", Json::Bool(truth)) => Some(Value::Boolean(*truth)),
            ("Int" | "Float" | "String" | "ID" | "Boolean", _) => None,
            _ => Some(free(value)),
        };
        coerced.unwrap_or_else(|| {
            let expected = match name {
                "Int" if value.is_i64() || value.is_u64() => "Int cannot represent non 32-bit signed integer value.",
                "Int" => "Int cannot represent non-integer value.",
                "Float" => "Float cannot represent non numeric value.",
                "String" => "String cannot represent a non string value.",
                "Boolean" => "Boolean cannot represent a non boolean value.",
                _ => "ID cannot represent value.",
            };
            self.refuse(value, format_args!("{expected}"));
            Value::Null
        })
    }

    fn object(&mut self, object: &'a InputObjectType, value: &'a Json) -> Value {
        let name = &object.name;
        let Json::Object(given) = value else {
            self.refuse(value, format_args!("Expected type \"{name}\" to be an object."));
            return Value::Null;
        };
        if let Some(unknown) = given.keys().find(|key| !object.fields.contains_key(key.as_str())) {
            self.refuse(value, format_args!("Field \"{}\" is not defined by type \"{name}\".", quote(unknown)));
        }
        let mut coerced = IndexMap::with_capacity(given.len());
        for (field, definition) in &object.fields {
            match (given.get(field.as_str()), &definition.default_value) {
                (Some(value), _) => {
                    self.path.push(Step::Field(field));
                    coerced.insert(Name::new(field.as_str()), self.value(&definition.ty, value));
                    self.path.pop();
                }
                (None, Some(default)) => {
                    coerced.insert(Name::new(field.as_str()), literal(default));
                }
                (None, None) if definition.ty.is_non_null() => self.refuse(
                    value,
                    format_args!("Field \"{field}\" of required type \"{}\" was not provided.", definition.ty),
                ),
                (None, None) => {}
            }
        }
        if object.directives.has("oneOf") {
            match (given.len(), given.values().next()) {
                (1, Some(Json::Null)) => {
                    self.refuse(value, format_args!("The one field of \"{name}\" must be non-null."))
                }
                (1, _) => {}
                _ => self.refuse(value, format_args!("Exactly one key must be specified for OneOf type \"{name}\".")),
            }
        }
        Value::Object(coerced)
    }

    fn refuse(&mut self, value: &Json, why: std::fmt::Arguments<'_>) {
        if self.messages.len() >= MAX_FAULTS {
            return;
        }
        let mut message = format!("Variable \"${}\" got invalid value {}", self.variable, quote(&value.to_string()));
        if !self.path.is_empty() {
            let _ = write!(message, " at \"{}", self.variable);
            for step in &self.path {
                let _ = match step {
                    Step::Field(name) => write!(message, ".{name}"),
                    Step::Item(index) => write!(message, "[{index}]"),
                };
            }
            message.push('"');
        }
        let _ = write!(message, "; {why}");
        self.messages.push(message);
    }
}

/// The beginning of a text that came from outside.
fn quote(text: &str) -> String {
    let mut letters = text.chars();
    let mut quoted: String = letters.by_ref().take(MAX_QUOTE).collect();
    if letters.next().is_some() {
        quoted.push('…');
    }
    quoted
}

/// JSON as it is, for a custom scalar.
fn free(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::Number(number) => Value::Number(number.clone()),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(free).collect()),
        Json::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (Name::new(name), free(value))).collect())
        }
    }
}

/// A default of the schema or the operation. No variable can stand in one: that has been validated.
fn literal(value: &Literal) -> Value {
    match value {
        Literal::Null | Literal::Variable(_) => Value::Null,
        Literal::Enum(name) => Value::Enum(Name::new(name.as_str())),
        Literal::String(text) => Value::String(text.clone()),
        Literal::Boolean(truth) => Value::Boolean(*truth),
        Literal::Int(number) => number.as_str().parse().map_or(Value::Null, Value::Number),
        Literal::Float(number) => number.as_str().parse().map_or(Value::Null, Value::Number),
        Literal::List(items) => Value::List(items.iter().map(|item| literal(item)).collect()),
        Literal::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (Name::new(name.as_str()), literal(value))).collect())
        }
    }
}
