//! Turns a validated operation into the document that the executor runs: fragments spread, `@skip` and `@include` decided,
//! fields with the same response key merged. Invariant: what is executed is what the specification's CollectFields yields,
//! each field once and in the order of the document, so that the engine has nothing left to read differently.
//!
//! Where an interface or a union is selected from, inline fragments on object types and interfaces remain. Merging happens
//! within each of them; a field that is in several of them turns them all into one for each object type.

use super::{
    cost::{Asked, Cost, Shape},
    introspection::is_introspection,
    level::{Level, Merged},
    refused::Refused,
};
use crate::{error::Code, kit::plan::TableOf};
use apollo_compiler::{
    ExecutableDocument, Schema,
    ast::{DirectiveList, OperationType, Value as Literal},
    executable::{Field, Operation, Selection, SelectionSet},
    parser::SourceSpan,
    schema::ExtendedType,
};
use async_graphql::{
    Name, Pos, Positioned, Value as Const, Variables,
    parser::types::{self as engine, DocumentOperations},
};
use async_graphql_value::Value;
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Put on fields that can fail, so that the engine asks `server::engine::nulls` what becomes of an error: the field is
/// nullable. No document of a client can have it: no schema declares it.
pub const NULLABLE: &str = "stoa_nullable";
/// As `NULLABLE`, for a field that is not nullable.
pub const REQUIRED: &str = "stoa_required";

/// Plans made so far.
static PLANS: AtomicU64 = AtomicU64::new(0);

/// An operation as it is executed.
#[derive(Debug)]
pub struct Plan {
    /// No other plan has it, also when this one is gone.
    pub id: u64,
    pub document: engine::ExecutableDocument,
    pub cost: Cost,
    reads: OnceLock<Option<crate::kit::plan::Plan>>,
}

impl Plan {
    /// How to answer it without the executor, if that is possible.
    pub fn reads(&self, tables: &[TableOf]) -> Option<&crate::kit::plan::Plan> {
        let DocumentOperations::Single(operation) = &self.document.operations else { return None };
        let compile = || crate::kit::plan::Plan::compile(&operation.node.selection_set.node, tables);
        self.reads.get_or_init(compile).as_ref()
    }
}

/// Makes the plan of an operation of a valid document. `variables` decide `@skip` and `@include`. QUERY_TOO_COMPLEX when
/// it has more than `max_selections` fields.
pub fn flatten(
    schema: &Schema,
    document: &ExecutableDocument,
    operation: &Operation,
    variables: &Variables,
    max_selections: usize,
) -> Result<Plan, Refused> {
    let flattening = Flattening { schema, document, variables, left: Cell::new(max_selections) };
    let (selection_set, cost) = flattening.level(operation.object_type(), &[&operation.selection_set], None);
    if flattening.left.get() == 0 {
        return Err(Refused::new(
            Code::QueryTooComplex,
            format!("Its fragments on interfaces and unions make this more than {max_selections} fields."),
        ));
    }
    let variable_definitions = operation
        .variables
        .iter()
        .filter_map(|variable| {
            let pos = flattening.pos(variable.location());
            Some(Positioned::new(
                engine::VariableDefinition {
                    name: Positioned::new(Name::new(variable.name.as_str()), pos),
                    var_type: Positioned::new(engine::Type::new(&variable.ty.to_string())?, pos),
                    directives: Vec::new(),
                    // Defaults are among the coerced values.
                    default_value: None,
                },
                pos,
            ))
        })
        .collect();
    let pos = flattening.pos(None);
    let ty = match operation.operation_type {
        OperationType::Query => engine::OperationType::Query,
        OperationType::Mutation => engine::OperationType::Mutation,
        OperationType::Subscription => engine::OperationType::Subscription,
    };
    let operation = engine::OperationDefinition { ty, variable_definitions, directives: Vec::new(), selection_set };
    Ok(Plan {
        id: PLANS.fetch_add(1, Ordering::Relaxed),
        document: engine::ExecutableDocument {
            operations: DocumentOperations::Single(Positioned::new(operation, pos)),
            fragments: HashMap::new(),
        },
        cost: Cost::of_all(cost),
        reads: OnceLock::new(),
    })
}

/// Whether a variable decides what an operation selects, so that it needs a plan for each request.
pub fn is_conditional(document: &ExecutableDocument, operation: &Operation) -> bool {
    fn within<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet, seen: &mut HashSet<&'a str>) -> bool {
        set.selections.iter().any(|selection| {
            let decided = selection.directives().iter().any(|directive| {
                matches!(directive.name.as_str(), "skip" | "include")
                    && directive.specified_argument_by_name("if").is_some_and(|value| value.as_variable().is_some())
            });
            decided
                || match selection {
                    Selection::Field(field) => within(document, &field.selection_set, seen),
                    Selection::InlineFragment(fragment) => within(document, &fragment.selection_set, seen),
                    Selection::FragmentSpread(spread) => {
                        seen.insert(&spread.fragment_name)
                            && spread
                                .fragment_def(document)
                                .is_some_and(|fragment| within(document, &fragment.selection_set, seen))
                    }
                }
        })
    }
    within(document, &operation.selection_set, &mut HashSet::new())
}

struct Flattening<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    /// Fields that may still be made: fragments on two abstract types at once multiply.
    left: Cell<usize>,
}

impl<'a> Flattening<'a> {
    fn level(
        &self,
        parent: &'a str,
        sets: &[&'a SelectionSet],
        page: Option<&[Asked]>,
    ) -> (Positioned<engine::SelectionSet>, Vec<Cost>) {
        // Once there is too much, nothing is made any more.
        let sets: Vec<_> = sets.iter().filter(|_| self.left.get() > 0).collect();
        let collected = |parent: &'a str| {
            let mut level = Level::default();
            for set in &sets {
                self.collect(parent, None, set, &mut level);
            }
            level
        };
        let mut runs = collected(parent);
        if runs.overlaps() {
            // The same field under two conditions would be executed twice and its answers mixed: instead, all that is
            // selected from each object that this can be.
            let objects = self.schema.types.iter().filter(|(_, definition)| definition.is_object());
            runs.runs = objects
                .filter(|(object, _)| self.possible(object, parent))
                .flat_map(|(object, _)| {
                    let runs = collected(object).runs.into_iter();
                    runs.map(|(_, fields)| (Some(object.as_str()), fields))
                })
                .collect();
        }
        let pos = self.pos(sets.first().and_then(|set| set.selections.first()).and_then(location));
        let mut costs = Vec::new();
        let mut either: BTreeMap<&str, Vec<Cost>> = BTreeMap::new();
        let mut items = Vec::new();
        for (condition, fields) in runs.runs {
            let object = condition.filter(|on| self.schema.get_object(on).is_some());
            let costs = object.map_or(&mut costs, |object| either.entry(object).or_default());
            let holder = condition.unwrap_or(parent);
            let fields = fields.into_iter().map(|merged| self.field(holder, merged, page, costs));
            match condition {
                None => items.extend(fields),
                Some(on) => {
                    let selection_set = Positioned::new(engine::SelectionSet { items: fields.collect() }, pos);
                    let on = Positioned::new(Name::new(on), pos);
                    let fragment = engine::InlineFragment {
                        type_condition: Some(Positioned::new(engine::TypeCondition { on }, pos)),
                        directives: Vec::new(),
                        selection_set,
                    };
                    items.push(Positioned::new(engine::Selection::InlineFragment(Positioned::new(fragment, pos)), pos));
                }
            }
        }
        if !either.is_empty() {
            costs.push(Cost::of_one(either.into_values().map(Cost::of_all).collect()));
        }
        (Positioned::new(engine::SelectionSet { items }, pos), costs)
    }

    fn collect(&self, parent: &'a str, condition: Option<&'a str>, set: &'a SelectionSet, level: &mut Level<'a>) {
        for selection in &set.selections {
            if !self.wanted(selection.directives()) {
                continue;
            }
            match selection {
                Selection::Field(field) => level.add(condition, field),
                Selection::InlineFragment(fragment) => {
                    let on = fragment.type_condition.as_ref().map(|name| name.as_str());
                    self.narrow(parent, condition, on, &fragment.selection_set, level);
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    if level.spread.insert((condition, name))
                        && let Some(fragment) = self.document.fragments.get(name)
                    {
                        let on = Some(fragment.type_condition().as_str());
                        self.narrow(parent, condition, on, &fragment.selection_set, level);
                    }
                }
            }
        }
    }

    /// Collects a fragment `on` a type, within `condition`.
    fn narrow(
        &self,
        parent: &'a str,
        condition: Option<&'a str>,
        on: Option<&'a str>,
        set: &'a SelectionSet,
        level: &mut Level<'a>,
    ) {
        let current = condition.unwrap_or(parent);
        let Some(on) = on.filter(|on| *on != current && !self.schema.is_subtype(on, current)) else {
            return self.collect(parent, condition, set, level);
        };
        match (self.schema.types.get(current), self.schema.types.get(on)) {
            // An object that is none of these.
            (Some(ExtendedType::Object(_)), _) => {}
            (_, Some(ExtendedType::Object(_))) if self.possible(on, current) => {
                self.collect(parent, Some(on), set, level);
            }
            (_, Some(ExtendedType::Interface(_))) if condition.is_none() => {
                self.collect(parent, Some(on), set, level);
            }
            // Two abstract types at once, which a single fragment cannot say: one for each object that is both.
            (_, Some(ExtendedType::Interface(_) | ExtendedType::Union(_))) => {
                for (object, definition) in &self.schema.types {
                    if definition.is_object()
                        && self.possible(object, current)
                        && self.possible(object, on)
                        && self.possible(object, parent)
                    {
                        self.collect(parent, Some(object), set, level);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a value of type `of` can be an object of type `object`.
    fn possible(&self, object: &str, of: &str) -> bool {
        object == of || self.schema.is_subtype(of, object)
    }

    fn field(
        &self,
        holder: &'a str,
        merged: Merged<'a>,
        page: Option<&[Asked]>,
        costs: &mut Vec<Cost>,
    ) -> Positioned<engine::Selection> {
        let field = merged.field;
        self.left.set(self.left.get().saturating_sub(1));
        let pos = self.pos(field.location());
        let definition = &field.definition;
        let inner = definition.ty.inner_named_type().as_str();
        let composite = self.schema.types.get(inner).is_some_and(|ty| !ty.is_leaf());
        let arguments: Vec<_> = field
            .arguments
            .iter()
            .map(|argument| {
                let place = self.pos(argument.value.location());
                let name = Positioned::new(Name::new(argument.name.as_str()), place);
                (name, Positioned::new(value(&argument.value), place))
            })
            .collect();
        let asked = |names: &[&str]| -> Vec<Asked> {
            let given = |name: &&str| arguments.iter().find(|(given, _)| given.node.as_str() == *name);
            names.iter().filter_map(given).filter_map(|(_, value)| Asked::read(&value.node)).collect()
        };
        let takes = |name: &str| definition.argument_by_name(name).is_some();
        let shape = Shape {
            name: &field.name,
            composite,
            list: definition.ty.is_list(),
            page: (takes("first") || takes("last")).then(|| asked(&["first", "last"])),
            ids: asked(&["ids"]).pop(),
            within: page,
        };
        let mut selection_set = Positioned::new(engine::SelectionSet::default(), pos);
        let mut unfold = |page: Option<&[Asked]>| {
            let (selections, below) = self.level(inner, &merged.sets, page);
            selection_set = selections;
            below
        };
        if is_introspection(&field.name) {
            // Its cost does not depend on what is below it.
            unfold(None);
            costs.extend(Cost::of_field(shape, |_| Vec::new()));
        } else {
            costs.extend(Cost::of_field(shape, unfold));
        }
        let directives = self.mark(holder, field, composite).map(|name| {
            let name = Positioned::new(Name::new(name), pos);
            Positioned::new(engine::Directive { name, arguments: Vec::new() }, pos)
        });
        let field = engine::Field {
            alias: field.alias.as_ref().map(|alias| Positioned::new(Name::new(alias.as_str()), pos)),
            name: Positioned::new(Name::new(field.name.as_str()), pos),
            arguments,
            directives: directives.into_iter().collect(),
            selection_set,
        };
        Positioned::new(engine::Selection::Field(Positioned::new(field, pos)), pos)
    }

    /// Which fields can fail: all but the columns of entities, of which lists have many (a mark costs a tenth of a
    /// microsecond). A column is a leaf without arguments of a type that implements `Node`.
    fn mark(&self, holder: &str, field: &Field, composite: bool) -> Option<&'static str> {
        let entity = match self.schema.types.get(holder) {
            Some(ExtendedType::Object(object)) => object.implements_interfaces.iter().any(|name| **name == "Node"),
            _ => holder == "Node",
        };
        let may_fail = composite || !entity || !field.definition.arguments.is_empty();
        if !may_fail || field.name.starts_with("__") || holder.starts_with("__") {
            return None;
        }
        Some(if field.definition.ty.is_non_null() { REQUIRED } else { NULLABLE })
    }

    /// Whether `@skip` and `@include` leave a selection in.
    fn wanted(&self, directives: &DirectiveList) -> bool {
        directives.iter().all(|directive| {
            let skips = match directive.name.as_str() {
                "skip" => true,
                "include" => false,
                _ => return true,
            };
            let holds = match directive.specified_argument_by_name("if").map(|value| &**value) {
                Some(Literal::Boolean(holds)) => *holds,
                Some(Literal::Variable(name)) => {
                    matches!(self.variables.get(name.as_str()), Some(Const::Boolean(true)))
                }
                _ => false,
            };
            holds != skips
        })
    }

    fn pos(&self, span: Option<SourceSpan>) -> Pos {
        match span.and_then(|span| span.line_column(&self.document.sources)) {
            Some(at) => Pos { line: at.line, column: at.column },
            None => Pos { line: 1, column: 1 },
        }
    }
}

fn location(selection: &Selection) -> Option<SourceSpan> {
    match selection {
        Selection::Field(field) => field.location(),
        Selection::FragmentSpread(spread) => spread.location(),
        Selection::InlineFragment(fragment) => fragment.location(),
    }
}

/// A literal as the engine has it. A number too large for it becomes a float, as in JSON.
fn value(literal: &Literal) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Variable(name) => Value::Variable(Name::new(name.as_str())),
        Literal::Enum(name) => Value::Enum(Name::new(name.as_str())),
        Literal::String(text) => Value::String(text.clone()),
        Literal::Boolean(truth) => Value::Boolean(*truth),
        Literal::Int(number) => number.as_str().parse().map_or(Value::Null, Value::Number),
        Literal::Float(number) => number.as_str().parse().map_or(Value::Null, Value::Number),
        Literal::List(items) => Value::List(items.iter().map(|item| value(item)).collect()),
        Literal::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (Name::new(name.as_str()), value(field))).collect())
        }
    }
}
