//! Documents by chance: a walk over a schema that is valid when nothing odd happens, and oddities where validation has
//! something to find. The same seed makes the same document.

use apollo_compiler::{
    Node, Schema,
    ast::{FieldDefinition, InputValueDefinition, OperationType, Type},
    schema::ExtendedType,
};
use std::fmt::Write;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }
}

struct Generator<'a> {
    schema: &'a Schema,
    chance: Chance,
    /// Oddities that may still happen.
    odd: usize,
    /// No variables.
    constant: bool,
    variables: Vec<(String, String, Option<String>)>,
    /// Name, type, body; some are spread, some are not.
    fragments: Vec<(String, String, String)>,
    names: usize,
}

/// A document for a schema. Half of them are odd.
pub fn document(schema: &Schema, seed: u64) -> String {
    let mut generator = Generator::new(schema, seed);
    let odd = if generator.chance.one_in(2) { 0 } else { 1 + generator.chance.below(3) };
    generator.odd = odd;
    let text = generator.document();
    if odd > 0 && generator.chance.one_in(8) { generator.damage(text) } else { text }
}

/// A valid query without variables.
pub fn query(schema: &Schema, seed: u64) -> String {
    let mut generator = Generator { constant: true, ..Generator::new(schema, seed) };
    let depth = 1 + generator.chance.below(4);
    let mut text = generator.selections("Query", depth, false);
    for (name, on, body) in &generator.fragments {
        let _ = write!(text, "\nfragment {name} on {on} {body}");
    }
    text
}

impl<'a> Generator<'a> {
    fn new(schema: &'a Schema, seed: u64) -> Self {
        Generator {
            schema,
            chance: Chance(seed),
            odd: 0,
            constant: false,
            variables: Vec::new(),
            fragments: Vec::new(),
            names: 0,
        }
    }

    /// Something odd, here, about once in `many` times while any is left.
    fn odd(&mut self, many: usize) -> bool {
        let happens = self.odd > 0 && self.chance.one_in(many);
        if happens {
            self.odd -= 1;
        }
        happens
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn document(&mut self) -> String {
        let operations = if self.chance.one_in(6) { 2 } else { 1 };
        let mut text = String::new();
        for index in 0..operations {
            let kinds = [
                OperationType::Query,
                OperationType::Query,
                OperationType::Query,
                OperationType::Mutation,
                OperationType::Subscription,
            ];
            let kind = *self.chance.pick(&kinds).unwrap();
            let Some(root) = self.schema.root_operation(kind).cloned() else { continue };
            self.variables.clear();
            let depth = 1 + self.chance.below(4);
            let body = self.selections(&root, depth, kind == OperationType::Subscription);
            let anonymous = if operations == 1 { self.chance.one_in(2) } else { self.odd(4) };
            let name = if anonymous {
                String::new()
            } else if self.odd(30) {
                "Op".into()
            } else {
                format!("Op{}", if self.odd(30) { 0 } else { index })
            };
            let mut variables = self.variables.clone();
            if self.odd(12) {
                variables.pop();
            }
            if self.odd(12) {
                variables.push(("unused".into(), "Int".into(), None));
            }
            if self.odd(20)
                && let Some(first) = variables.first().cloned()
            {
                variables.push(first);
            }
            if self.odd(20) {
                variables.push((
                    "strange".into(),
                    ["User", "Nowhere", "[Found!]", "Note!"][self.chance.below(4)].into(),
                    None,
                ));
            }
            let mut declared = String::new();
            for (name, ty, default) in &variables {
                let _ = write!(declared, "${name}: {ty}");
                if let Some(default) = default {
                    let _ = write!(declared, " = {default}");
                }
                if self.schema.directive_definitions.contains_key("mark") && self.chance.one_in(20) {
                    declared.push_str(" @mark(id: 1) @mark(id: \"2\")");
                }
                declared.push(' ');
            }
            let declared = if declared.is_empty() { declared } else { format!("({declared})") };
            let directives = self.directives("OPERATION");
            if name.is_empty() && declared.is_empty() && directives.is_empty() && kind == OperationType::Query {
                text.push_str(&body);
            } else {
                let _ = write!(text, "{} {name}{declared}{directives} {body}", kind.name());
            }
            text.push('\n');
        }
        if self.odd(12) {
            let body = "{ __typename }".to_string();
            let on = self.some_type();
            let name = self.name("Unused");
            self.fragments.push((name, on, body));
        }
        if self.odd(20) && !self.fragments.is_empty() {
            let copy = self.fragments[self.chance.below(self.fragments.len())].clone();
            self.fragments.push(copy);
        }
        if self.odd(15) && !self.fragments.is_empty() {
            // A circle.
            let index = self.chance.below(self.fragments.len());
            let other = self.fragments[self.chance.below(self.fragments.len())].0.clone();
            let body = &mut self.fragments[index].2;
            body.truncate(body.len() - 1);
            let _ = write!(body, " ...{other} }}");
        }
        for (name, on, body) in self.fragments.clone() {
            let directives = if self.odd(20) { " @skip(if: true)" } else { "" };
            let _ = writeln!(text, "fragment {name} on {on}{directives} {body}");
        }
        if self.odd(40) {
            text.push_str("type Extra { a: Int }\n");
        }
        text
    }

    fn some_type(&mut self) -> String {
        let names: Vec<_> = self.schema.types.keys().map(|name| name.to_string()).collect();
        if self.chance.one_in(6) { "Nowhere".into() } else { self.chance.pick(&names).unwrap().clone() }
    }

    fn fields_of(&self, ty: &str) -> Vec<Node<FieldDefinition>> {
        match self.schema.types.get(ty) {
            Some(ExtendedType::Object(object)) => object.fields.values().map(|field| field.node.clone()).collect(),
            Some(ExtendedType::Interface(interface)) => {
                interface.fields.values().map(|field| field.node.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn possible(&self, ty: &str) -> Vec<String> {
        let objects = self.schema.types.iter().filter(|(_, definition)| definition.is_object());
        objects
            .filter(|(name, _)| name.as_str() == ty || self.schema.is_subtype(ty, name))
            .map(|(name, _)| name.to_string())
            .collect()
    }

    /// A type that a fragment can have here.
    fn overlapping(&mut self, ty: &str) -> String {
        if self.odd(8) {
            return self.some_type();
        }
        let possible = self.possible(ty);
        let candidates: Vec<_> = self
            .schema
            .types
            .iter()
            .filter(|(_, definition)| definition.is_object() || definition.is_interface() || definition.is_union())
            .filter(|(name, _)| self.possible(name).iter().any(|object| possible.contains(object)))
            .map(|(name, _)| name.to_string())
            .collect();
        self.chance.pick(&candidates).cloned().unwrap_or_else(|| ty.to_string())
    }

    fn selections(&mut self, ty: &str, depth: usize, single: bool) -> String {
        let count = if single && !self.odd(3) { 1 } else { 1 + self.chance.below(4) };
        let mut text = String::from("{");
        for _ in 0..count {
            text.push(' ');
            let one = self.selection(ty, depth, single);
            text.push_str(&one);
        }
        text.push_str(" }");
        text
    }

    fn selection(&mut self, ty: &str, depth: usize, single: bool) -> String {
        let fields = self.fields_of(ty);
        let roll = self.chance.below(10);
        if !single && (fields.is_empty() || roll < 2) && depth > 0 {
            let on = self.overlapping(ty);
            let body = self.selections(&on, depth - 1, false);
            let directives = self.directives("FRAGMENT");
            if self.chance.one_in(2) {
                return match self.chance.one_in(5) && !fields.is_empty() {
                    true => {
                        let body = self.selections(ty, depth - 1, false);
                        format!("...{directives} {body}")
                    }
                    false => format!("... on {on}{directives} {body}"),
                };
            }
            let name = self.name("F");
            self.fragments.push((name.clone(), on, body));
            let name = if self.odd(10) { "Missing".to_string() } else { name };
            return format!("...{name}{directives}");
        }
        if fields.is_empty() || (roll == 9 && !single) || (single && self.odd(4)) {
            return "__typename".into();
        }
        let field = self.chance.pick(&fields).unwrap().clone();
        let mut name = field.name.to_string();
        if self.odd(12) {
            name = ["nothing", "id", "name", "__schema", "on"][self.chance.below(5)].into();
        }
        let alias = match self.chance.below(8) {
            // Sometimes the same alias for different fields: that must be noticed however deep it is.
            0 if self.odd(2) => "a: ".to_string(),
            0 => format!("{}: ", self.name("k")),
            _ => String::new(),
        };
        let arguments = self.arguments(&field.arguments, 12);
        let directives = self.directives("FIELD");
        let inner = field.ty.inner_named_type();
        let leaf = self.schema.types.get(inner).is_none_or(|definition| definition.is_leaf());
        let body = if leaf != self.odd(25) {
            String::new()
        } else if depth == 0 {
            " { __typename }".into()
        } else {
            format!(" {}", self.selections(inner, depth - 1, false))
        };
        format!("{alias}{name}{arguments}{directives}{body}")
    }

    fn arguments(&mut self, definitions: &[Node<InputValueDefinition>], many: usize) -> String {
        let mut given = Vec::new();
        for definition in definitions {
            let required = definition.is_required();
            if required && self.odd(many) || !required && self.chance.one_in(2) {
                continue;
            }
            let value = self.value(&definition.ty, definition.default_value.is_some(), 3, true);
            given.push(format!("{}: {value}", definition.name));
            if self.odd(40) {
                given.push(format!("{}: {value}", definition.name));
            }
        }
        if self.odd(40) {
            given.push("unknown: 1".into());
        }
        if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) }
    }

    fn directives(&mut self, place: &str) -> String {
        let mut text = String::new();
        if self.chance.one_in(8) && place != "OPERATION" {
            let ty = Type::parse("Boolean!", "").unwrap();
            let value = self.value(&ty, false, 0, true);
            let name = if self.chance.one_in(2) { "skip" } else { "include" };
            let _ = write!(text, " @{name}(if: {value})");
            if self.odd(6) {
                let _ = write!(text, " @{name}(if: true)");
            }
        }
        if self.schema.directive_definitions.contains_key("note") && self.chance.one_in(12) {
            let definition = self.schema.directive_definitions.get("note").unwrap().clone();
            let arguments = self.arguments(&definition.arguments, 12);
            let _ = write!(text, " @note{arguments}");
        }
        if self.odd(30) {
            let odd = [
                " @unknown",
                " @deprecated",
                " @skip",
                " @include(if: 1)",
                " @mark",
                " @mark(id: 1)",
                " @oneOf",
                " @skip(if: true, unless: false)",
                " @defer",
                " @specifiedBy(url: \"x\")",
            ];
            text.push_str(odd[self.chance.below(odd.len())]);
        }
        text
    }

    fn value(&mut self, ty: &Type, has_default: bool, depth: usize, variables: bool) -> String {
        if variables && !self.constant && self.chance.one_in(4) {
            return self.variable(ty, has_default);
        }
        if self.odd(15) {
            let odd = [
                "null",
                "1",
                "-0",
                "1.5",
                "\"text\"",
                "true",
                "LOW",
                "NOWHERE",
                "[]",
                "{}",
                "[null]",
                "[[1]]",
                "{to: 1}",
                "{to: 1, to: 2}",
                "{id: 1, number: 2}",
                "{id: null}",
                "{id: $nothing}",
                "{unknown: 1}",
                "2147483648",
                "\"\"\"block\"\"\"",
                "[LOW, 1]",
                "$nothing",
                "{and: {and: [{}]}}",
            ];
            return odd[self.chance.below(odd.len())].into();
        }
        if !ty.is_non_null() && self.chance.one_in(8) {
            return "null".into();
        }
        if ty.is_list() {
            let item = ty.item_type().clone();
            // A single value stands for a list of one.
            if self.chance.one_in(6) {
                return self.value(&item, false, depth, variables);
            }
            let items: Vec<_> = (0..self.chance.below(3)).map(|_| self.value(&item, false, depth, variables)).collect();
            return format!("[{}]", items.join(", "));
        }
        let name = ty.inner_named_type();
        match self.schema.types.get(name) {
            Some(ExtendedType::Enum(definition)) => {
                let values: Vec<_> = definition.values.keys().map(|value| value.to_string()).collect();
                self.chance.pick(&values).unwrap().clone()
            }
            Some(ExtendedType::InputObject(object)) => {
                let one_of = object.directives.has("oneOf");
                let chosen = self.chance.below(object.fields.len());
                let mut given = Vec::new();
                for (index, (field, definition)) in object.fields.iter().enumerate() {
                    let required = definition.is_required();
                    let wanted = match one_of {
                        true => index == chosen || self.odd(20),
                        false => (required && !self.odd(15)) || (!required && depth > 0 && self.chance.one_in(3)),
                    };
                    if wanted {
                        let ty = if one_of {
                            definition.ty.as_ref().clone().non_null()
                        } else {
                            definition.ty.as_ref().clone()
                        };
                        let value =
                            self.value(&ty, definition.default_value.is_some(), depth.saturating_sub(1), variables);
                        given.push(format!("{field}: {value}"));
                    }
                }
                format!("{{{}}}", given.join(", "))
            }
            _ => match name.as_str() {
                "Int" => ["0", "-5", "2147483647"][self.chance.below(3)].into(),
                "Float" => ["0", "1.5", "-2e3", "6.02E+23"][self.chance.below(4)].into(),
                "Boolean" => ["true", "false"][self.chance.below(2)].into(),
                "ID" => ["\"x\"", "7", "\"\""][self.chance.below(3)].into(),
                "String" => ["\"x\"", "\"\\u00e9 \\\" \\n\"", "\"\"\" block \\\"\"\" { \"\"\"", "\"\\u{1F600}\""]
                    [self.chance.below(4)]
                .into(),
                _ => ["\"1.5\"", "3", "true", "WORD", "[1, \"x\"]", "{a: {b: [null]}}", "1.25"][self.chance.below(7)]
                    .into(),
            },
        }
    }

    /// A variable that may stand where a value of this type is expected, most often.
    fn variable(&mut self, ty: &Type, has_default: bool) -> String {
        let name = self.name("v");
        let mut declared = ty.to_string();
        let mut default = None;
        match self.chance.below(6) {
            0 | 1 if !ty.is_non_null() => declared.push('!'),
            2 if ty.is_non_null() && has_default => drop(declared.pop()),
            3 if ty.is_non_null() => {
                declared.pop();
                let nullable = ty.clone().nullable();
                let value = self.value(&nullable, false, 2, false);
                // A default of null does not help.
                default = if value == "null" && !self.odd(2) { None } else { Some(value) };
                if default.is_none() {
                    declared = ty.to_string();
                }
            }
            4 => default = Some(self.value(ty, false, 2, false)),
            _ => {}
        }
        if self.odd(10) {
            declared = match self.chance.below(5) {
                0 => declared.trim_end_matches('!').to_string(),
                1 => format!("[{declared}]"),
                2 => declared.trim_start_matches('[').trim_end_matches(']').to_string(),
                3 => "Int".into(),
                _ => "String!".into(),
            };
        }
        self.variables.push((name.clone(), declared, default));
        format!("${name}")
    }

    /// One character less, more or other.
    fn damage(&mut self, text: String) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        let at = self.chance.below(letters.len());
        let other = [
            '{', '}', '(', ')', '[', ']', '!', '$', ':', '"', '@', '.', '#', '\\', '0', '-', 'x', ' ', '\n', 'é',
            '\u{0}', '&', '|', '=',
        ];
        match self.chance.below(3) {
            0 => drop(letters.remove(at)),
            1 => letters.insert(at, other[self.chance.below(other.len())]),
            _ => letters[at] = other[self.chance.below(other.len())],
        }
        letters.into_iter().collect()
    }
}
