//! The rules of validation that apollo-compiler leaves out or reads too generously: literals within lists and input
//! objects, variables within them, `@oneOf`, repeated input fields, subscriptions. Invariant: together with apollo's rules the verdict on
//! a document is graphql-js's (`tests/differential`).

use super::refused::{Fault, Location};
use apollo_compiler::{
    ExecutableDocument, Name, Node, Schema,
    ast::{Argument, DirectiveList, InputValueDefinition, Type, Value, VariableDefinition},
    executable::{Operation, Selection, SelectionSet},
    schema::{ExtendedType, InputObjectType},
};
use std::collections::HashSet;

/// All faults of a document that apollo has found valid.
pub fn check(schema: &Schema, document: &ExecutableDocument) -> Vec<Fault> {
    let mut faults = Vec::new();
    for operation in document.operations.iter() {
        let mut walk = Walk { schema, document, operation, seen: HashSet::new(), faults: &mut faults };
        for variable in &operation.variables {
            if let Some(default) = &variable.default_value {
                walk.value(&variable.ty, default, Place::Default);
            }
            walk.directives(&variable.directives);
        }
        walk.directives(&operation.directives);
        walk.selections(&operation.selection_set);
        if operation.is_subscription() {
            single(document, operation, &mut faults);
        }
    }
    faults
}

/// A subscription has one root field, however often it is named.
fn single(document: &ExecutableDocument, operation: &Operation, faults: &mut Vec<Fault>) {
    let mut keys = HashSet::new();
    for field in operation.root_fields(document) {
        if keys.insert(field.response_key()) && keys.len() == 2 {
            let message = match &operation.name {
                Some(name) => format!("Subscription \"{name}\" must select only one top level field."),
                None => "Anonymous Subscription must select only one top level field.".into(),
            };
            let place = field.location().and_then(|span| span.line_column(&document.sources));
            let locations = place.map(|at| Location { line: at.line, column: at.column }).into_iter().collect();
            faults.push(Fault { message: message.into(), locations });
        }
    }
}

/// Where a value stands, as far as it matters for a variable there.
#[derive(Clone, Copy)]
enum Place {
    /// No variable may stand here.
    Default,
    /// An argument, an item, a field of an input object; whether it has a default of its own.
    Use { has_default: bool },
    /// The field of an `@oneOf` input object.
    OneOf,
}

struct Walk<'a, 'f> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    operation: &'a Operation,
    /// Fragments visited for this operation.
    seen: HashSet<&'a str>,
    faults: &'f mut Vec<Fault>,
}

impl<'a> Walk<'a, '_> {
    fn selections(&mut self, set: &'a SelectionSet) {
        for selection in &set.selections {
            self.directives(selection.directives());
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.definition.arguments, &field.arguments);
                    self.selections(&field.selection_set);
                }
                Selection::InlineFragment(fragment) => self.selections(&fragment.selection_set),
                Selection::FragmentSpread(spread) => {
                    if self.seen.insert(&spread.fragment_name)
                        && let Some(fragment) = spread.fragment_def(self.document)
                    {
                        self.directives(&fragment.directives);
                        self.selections(&fragment.selection_set);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &'a DirectiveList) {
        for directive in directives.iter() {
            if let Some(definition) = self.schema.directive_definitions.get(&directive.name) {
                self.arguments(&definition.arguments, &directive.arguments);
            }
        }
    }

    fn arguments(&mut self, definitions: &'a [Node<InputValueDefinition>], arguments: &'a [Node<Argument>]) {
        for argument in arguments {
            if let Some(definition) = definitions.iter().find(|definition| definition.name == argument.name) {
                let has_default = definition.default_value.is_some();
                self.value(&definition.ty, &argument.value, Place::Use { has_default });
            }
        }
    }

    fn value(&mut self, ty: &Type, value: &'a Node<Value>, place: Place) {
        if let Value::Variable(name) = &**value {
            match self.operation.variables.iter().find(|variable| variable.name == *name) {
                Some(variable) => self.variable(ty, variable, value, place),
                None => self.undefined(name, value),
            }
            return;
        }
        if value.is_null() {
            if ty.is_non_null() {
                self.fault(value, format!("Expected value of type \"{ty}\", found null."));
            }
            return;
        }
        if let Type::List(item) | Type::NonNullList(item) = ty {
            let inner = match place {
                Place::Default => Place::Default,
                Place::Use { .. } | Place::OneOf => Place::Use { has_default: false },
            };
            match value.as_list() {
                Some(items) => items.iter().for_each(|value| self.value(item, value, inner)),
                None => self.value(item, value, inner),
            }
            return;
        }
        let name = ty.inner_named_type();
        match self.schema.types.get(name) {
            Some(ExtendedType::InputObject(object)) => self.object(object, value, place),
            Some(ExtendedType::Enum(definition)) => match value.as_enum() {
                Some(word) if definition.values.contains_key(word) => {}
                Some(word) => self.fault(value, format!("Value \"{word}\" does not exist in \"{name}\" enum.")),
                None => self.fault(value, format!("Enum \"{name}\" cannot represent non-enum value: {value}.")),
            },
            Some(ExtendedType::Scalar(scalar)) => {
                let fits = match (name.as_str(), &**value) {
                    ("Int", Value::Int(number)) => number.try_to_i32().is_ok(),
                    ("Float", Value::Int(_) | Value::Float(_))
                    | ("String", Value::String(_))
                    | ("Boolean", Value::Boolean(_))
                    | ("ID", Value::String(_) | Value::Int(_)) => true,
                    ("Int" | "Float" | "String" | "Boolean" | "ID", _) if scalar.is_built_in() => false,
                    // What a scalar of Stoa's own may be is known to its resolver; field names still may not repeat.
                    _ => {
                        self.free(value);
                        true
                    }
                };
                if !fits {
                    self.fault(value, format!("{name} cannot represent value: {value}"));
                }
            }
            _ => {}
        }
    }

    fn undefined(&mut self, name: &Name, value: &Node<Value>) {
        self.fault(value, format!("Variable \"${name}\" is not defined."));
    }

    /// Within a custom scalar anything goes, except the same field twice and variables that are not there.
    fn free(&mut self, value: &'a Node<Value>) {
        match &**value {
            Value::Variable(name) if !self.operation.variables.iter().any(|variable| variable.name == *name) => {
                self.undefined(name, value);
            }
            Value::List(items) => items.iter().for_each(|item| self.free(item)),
            Value::Object(fields) => {
                self.unique(fields);
                fields.iter().for_each(|(_, value)| self.free(value));
            }
            _ => {}
        }
    }

    fn unique(&mut self, fields: &'a [(Name, Node<Value>)]) {
        let mut names = HashSet::new();
        for (name, value) in fields {
            if !names.insert(name) {
                self.fault(value, format!("There can be only one input field named \"{name}\"."));
            }
        }
    }

    fn object(&mut self, object: &InputObjectType, value: &'a Node<Value>, place: Place) {
        let name = &object.name;
        let Some(fields) = value.as_object() else {
            return self.fault(value, format!("Expected value of type \"{name}\", found {value}."));
        };
        self.unique(fields);
        for (field, value) in fields {
            if !object.fields.contains_key(field) {
                self.fault(value, format!("Field \"{field}\" is not defined by type \"{name}\"."));
            }
        }
        let one_of = object.directives.has("oneOf");
        for (field, definition) in &object.fields {
            match fields.iter().find(|(given, _)| given == field) {
                Some((_, value)) => {
                    let inner = match place {
                        Place::Default => Place::Default,
                        _ if one_of => Place::OneOf,
                        _ => Place::Use { has_default: definition.default_value.is_some() },
                    };
                    self.value(&definition.ty, value, inner);
                }
                None if definition.is_required() => self.fault(
                    value,
                    format!("Field \"{name}.{field}\" of required type \"{}\" was not provided.", definition.ty),
                ),
                None => {}
            }
        }
        if one_of {
            match fields {
                [(_, only)] if !only.is_null() => {}
                [(field, only)] => self.fault(only, format!("Field \"{name}.{field}\" must be non-null.")),
                _ => self.fault(value, format!("OneOf Input Object \"{name}\" must specify exactly one key.")),
            }
        }
    }

    /// The specification's IsVariableUsageAllowed, and what `@oneOf` adds to it.
    fn variable(&mut self, ty: &Type, variable: &VariableDefinition, value: &Node<Value>, place: Place) {
        let Place::Use { has_default } = place else {
            if matches!(place, Place::OneOf) && !variable.ty.is_non_null() {
                let message = format!(
                    "Variable \"${}\" must be non-nullable to be used for a OneOf Input Object.",
                    variable.name
                );
                self.fault(value, message);
            }
            if !variable.ty.is_assignable_to(ty) {
                self.misplaced(ty, variable, value);
            }
            return;
        };
        let allowed = if ty.is_non_null() && !variable.ty.is_non_null() {
            let falls_back = has_default || variable.default_value.as_ref().is_some_and(|value| !value.is_null());
            falls_back && variable.ty.is_assignable_to(&ty.clone().nullable())
        } else {
            variable.ty.is_assignable_to(ty)
        };
        if !allowed {
            self.misplaced(ty, variable, value);
        }
    }

    fn misplaced(&mut self, ty: &Type, variable: &VariableDefinition, value: &Node<Value>) {
        let message = format!(
            "Variable \"${}\" of type \"{}\" used in position expecting type \"{ty}\".",
            variable.name, variable.ty
        );
        self.fault(value, message);
    }

    fn fault(&mut self, at: &Node<Value>, message: String) {
        let place = at.location().and_then(|span| span.line_column(&self.document.sources));
        let locations = place.map(|at| Location { line: at.line, column: at.column }).into_iter().collect();
        self.faults.push(Fault { message: message.into(), locations });
    }
}
