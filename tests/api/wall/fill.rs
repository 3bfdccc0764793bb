//! Documents and values made from the schema alone. Invariant: what it cannot fill stops the test with the name of the
//! place, so that nothing new stays untested in silence.

use crate::kit::introspection::{Input, Reference, Types, arguments, list, name, reference};
use chrono::{TimeDelta, Utc};
use serde_json::{Map, Value, json};
use std::{cell::RefCell, collections::BTreeSet, fmt::Write};
use uuid::Uuid;

/// Words for records other than their own name.
const ALIASES: &[(&str, &str)] = &[
    ("actor", "Member"),
    ("entity", ANY),
    ("owner", "Member"),
    ("creator", "Member"),
    ("createdBy", "Member"),
    ("deletedBy", "Member"),
    ("assign", "Member"),
    ("manager", "Member"),
    ("leader", "Member"),
    ("sender", "Member"),
    ("pinn", "Member"),
    ("threadRoot", "Message"),
    ("replies", "Message"),
    ("partner", "Member"),
    ("inbox", "Conversation"),
    ("userContact", "UserContact"),
    ("user", "User"),
    ("session", "Session"),
    ("oidcUnlink", "LinkedIdentity"),
    ("parent", "Account"),
    ("children", "Account"),
    ("reportsTo", "Contact"),
    ("role", "CustomRole"),
    ("upload", "File"),
];

/// Any kind of record.
pub const ANY: &str = "*";

/// Where the values of a document come from.
pub trait Source {
    /// Ids of that kind of record (or of `ANY`); `focus`: for the place that the document is about.
    fn ids(&self, kind: &str, focus: bool) -> Vec<String>;
    /// Cursors for this root field.
    fn cursors(&self, field: &str) -> Vec<String>;
    /// What texts contain.
    fn marker(&self) -> &str;
}

/// A place within the input of a field: the names from the argument down.
pub type Place = Vec<String>;

/// How much of an input is filled.
#[derive(Clone, Copy, PartialEq)]
pub enum Extent {
    /// What must be there.
    Needed,
    /// All of it, as far as there are values.
    Full,
}

pub struct Filler<'a> {
    pub types: &'a Types,
    /// The fields of objects that documents have selected.
    pub covered: RefCell<BTreeSet<String>>,
}

/// One root field of a document with its variables.
pub struct Selected {
    declarations: Vec<String>,
    pub variables: Map<String, Value>,
    text: String,
}

impl Selected {
    /// Several root fields in one document.
    pub fn document(kind: &str, fields: &[Selected]) -> (String, Value) {
        let declared: Vec<&str> = fields.iter().flat_map(|field| &field.declarations).map(String::as_str).collect();
        let declared = if declared.is_empty() { String::new() } else { format!("({})", declared.join(", ")) };
        let texts: Vec<&str> = fields.iter().map(|field| field.text.as_str()).collect();
        let variables = fields.iter().flat_map(|field| field.variables.clone()).collect();
        (format!("{kind}{declared} {{ {} }}", texts.join(" ")), Value::Object(variables))
    }
}

impl<'a> Filler<'a> {
    pub fn new(types: &'a Types) -> Self {
        Filler { types, covered: RefCell::default() }
    }

    /// Places of ids and of cursors in the arguments of a root field, at most `most` inputs deep.
    pub fn places(&self, field: &Value, most: usize) -> Vec<Place> {
        let mut found = Vec::new();
        for argument in arguments(field) {
            self.places_below(&argument, &mut Vec::new(), &mut Vec::new(), most, &mut found);
        }
        found
    }

    fn places_below(
        &self,
        at: &Input,
        path: &mut Place,
        inside: &mut Vec<String>,
        most: usize,
        found: &mut Vec<Place>,
    ) {
        path.push(at.name.clone());
        if at.of.name == "ID" || is_cursor(at) {
            found.push(path.clone());
        } else if self.types.kind(&at.of.name) == "INPUT_OBJECT" && !inside.contains(&at.of.name) && inside.len() < most
        {
            inside.push(at.of.name.clone());
            for inner in self.types.inputs(&at.of.name) {
                self.places_below(&inner, path, inside, most, found);
            }
            inside.pop();
        }
        path.pop();
    }

    /// Arguments of a field: what is needed (or all), and the place in focus. None: something needed is not there yet.
    pub fn arguments(
        &self,
        field: &Value,
        extent: Extent,
        focus: &[String],
        source: &dyn Source,
    ) -> Option<Map<String, Value>> {
        let mut filled = Map::new();
        for argument in arguments(field) {
            let rest = focus.split_first().filter(|(first, _)| **first == argument.name).map(|(_, rest)| rest);
            if argument.needed || rest.is_some() || (extent == Extent::Full && argument.name == "input") {
                let trail = vec![name(field).to_owned(), argument.name.clone()];
                filled.insert(argument.name.clone(), self.value(&argument.of, &trail, extent, rest, source)?);
            }
        }
        Some(filled)
    }

    fn value(
        &self,
        of: &Reference,
        trail: &[String],
        extent: Extent,
        focus: Option<&[String]>,
        source: &dyn Source,
    ) -> Option<Value> {
        let inner = |of: &Reference| Reference { list: false, ..of.clone() };
        if of.name == "ID" {
            let fresh = extent == Extent::Full && trail.last().is_some_and(|last| last == "id");
            let kind = self.kind(trail);
            let ids = if fresh { vec![Uuid::now_v7().to_string()] } else { source.ids(&kind, focus.is_some()) };
            return if of.list { (!ids.is_empty()).then(|| json!(ids)) } else { ids.first().map(|id| json!(id)) };
        }
        if of.list {
            return self.value(&inner(of), trail, extent, focus, source).map(|one| json!([one]));
        }
        let last = trail.last().map_or("", String::as_str);
        match self.types.kind(&of.name) {
            "ENUM" => return self.types.values(&of.name).first().map(|value| json!(value)),
            "INPUT_OBJECT" => return self.object(&of.name, trail, extent, focus, source),
            _ => {}
        }
        let marker = source.marker();
        Some(match of.name.as_str() {
            "String" if focus.is_some() && matches!(last, "after" | "before") => {
                json!(source.cursors(&trail[0]).first()?)
            }
            "String" if last.to_lowercase().contains("password") => json!("seven red herrings fly"),
            "String" if last == "clientId" || last.ends_with("Slug") => {
                json!(format!("{marker}-{}", &Uuid::new_v4().simple().to_string()[..8]))
            }
            "String" if last == "contentType" => json!("text/plain"),
            "String" if last == "emoji" => json!("🎉"),
            "String" if last == "body" => json!(format!("{marker} {last} <@channel>")),
            // Found in all texts, where it stands alone.
            "String" if last == "query" => json!(marker),
            "String" if last == "email" => json!(format!("{marker}-{}@example.com", Uuid::new_v4().simple())),
            "String" => json!(format!("{marker} {last}")),
            "EmailAddress" => json!(format!("{marker}-{last}@example.com")),
            "URL" => json!(format!("https://{marker}.example.com/{last}")),
            "JSONObject" => json!({ "note": format!("{marker} {last}") }),
            "JSON" => json!(format!("{marker} {last}")),
            "Int" => json!(1),
            "Float" => json!(1.5),
            "Boolean" => json!(false),
            "Decimal" | "BigInt" => json!("17"),
            "Date" | "DateOrDuration" => json!("2026-01-02"),
            "DateTime" if last == "scheduledFor" => json!((Utc::now() + TimeDelta::days(30)).to_rfc3339()),
            "DateTime" | "DateTimeOrDuration" => json!("2026-01-02T03:04:05.678Z"),
            "CurrencyCode" => json!("EUR"),
            other => panic!("teach the wall test what a {other} looks like: {}", trail.join(".")),
        })
    }

    fn object(
        &self,
        of: &str,
        trail: &[String],
        extent: Extent,
        focus: Option<&[String]>,
        source: &dyn Source,
    ) -> Option<Value> {
        let one_of = self.types.get(of)["isOneOf"] == true;
        let mut filled = Map::new();
        for inner in self.types.inputs(of) {
            let rest = focus
                .and_then(<[String]>::split_first)
                .filter(|(first, _)| **first == inner.name)
                .map(|(_, rest)| rest);
            let wanted = inner.needed || rest.is_some() || (extent == Extent::Full && !one_of);
            if !(wanted || one_of && focus.is_none_or(<[String]>::is_empty) && filled.is_empty()) {
                continue;
            }
            let mut trail = trail.to_vec();
            trail.push(inner.name.clone());
            match self.value(&inner.of, &trail, extent, rest, source) {
                Some(value) => _ = filled.insert(inner.name, value),
                None if inner.needed || rest.is_some() => return None,
                None => {}
            }
        }
        // Of one that has exactly one member there is none yet.
        (!one_of || !filled.is_empty()).then_some(Value::Object(filled))
    }

    /// What kind of record an id at this place names: the innermost word that says it.
    pub fn kind(&self, trail: &[String]) -> String {
        let mut entities = self.types.entities();
        entities.sort_by_key(|entity| std::cmp::Reverse(entity.len()));
        for word in trail.iter().rev() {
            if word.starts_with("node") {
                return ANY.to_owned();
            }
            let low = word.to_lowercase();
            let alias = ALIASES.iter().find(|(alias, _)| low.starts_with(&alias.to_lowercase())).map(|(_, kind)| *kind);
            if let Some(kind) =
                alias.or_else(|| entities.iter().find(|entity| low.contains(&entity.to_lowercase())).copied())
            {
                return kind.to_owned();
            }
        }
        panic!("teach the wall test what the id at {} names (ALIASES)", trail.join("."))
    }

    /// A root field under an alias, with all that can be selected of it. `entities`: how many entities deep.
    pub fn select(
        &self,
        root: &str,
        field: &Value,
        alias: &str,
        filled: Map<String, Value>,
        entities: usize,
    ) -> Selected {
        let known = arguments(field);
        let mut selected = Selected { declarations: Vec::new(), variables: Map::new(), text: String::new() };
        let mut given = Vec::new();
        for (argument, value) in filled {
            let of = known.iter().find(|known| known.name == argument).expect("a known argument");
            let variable = format!("{alias}_{argument}");
            selected.declarations.push(format!("${variable}: {}", of.of.text));
            given.push(format!("{argument}: ${variable}"));
            selected.variables.insert(variable, value);
        }
        let given = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
        self.covered.borrow_mut().insert(format!("{root}.{}", name(field)));
        // A payload's way back to all queries is shown with its leaves: the queries are walked along for themselves.
        let mut path = vec![root.to_owned(), "Query".to_owned()];
        let below = self.selection(&reference(&field["type"]).name, &mut path, entities, "");
        selected.text = format!("{alias}: {}{given}{below}", name(field));
        selected
    }

    /// `{ … }` for an object, nothing for a leaf. What lies on the way already is shown with its leaves only.
    fn selection(&self, of: &str, path: &mut Vec<String>, entities: usize, prefix: &str) -> String {
        let mut text = String::new();
        match self.types.kind(of) {
            "SCALAR" | "ENUM" => return text,
            "UNION" | "INTERFACE" => {
                for possible in self.types.possible(of) {
                    // Of the same name in two of them a field may have two types: each gets its own.
                    let below = self.selection(possible, path, entities, &format!("{possible}_"));
                    let _ = write!(text, " ... on {possible}{below}");
                }
            }
            _ => {
                let entity = self.types.entities().contains(&of);
                let end = path.iter().any(|seen| seen == of) || (entity && entities == 0);
                path.push(of.to_owned());
                for field in self.types.fields(of) {
                    let below = reference(&field["type"]).name;
                    let leaf = matches!(self.types.kind(&below), "SCALAR" | "ENUM");
                    if (end && !leaf) || arguments(field).iter().any(|argument| argument.needed) {
                        continue;
                    }
                    self.covered.borrow_mut().insert(format!("{of}.{}", name(field)));
                    let deeper = entities.saturating_sub(usize::from(entity));
                    let inner = self.selection(&below, path, deeper, "");
                    let alias = if prefix.is_empty() { String::new() } else { format!("{prefix}{}: ", name(field)) };
                    let _ = write!(text, " {alias}{}{inner}", name(field));
                }
                path.pop();
            }
        }
        format!(" {{ __typename{text} }}")
    }

    /// Fields of objects that no document has selected.
    pub fn missed(&self) -> Vec<String> {
        let covered = self.covered.borrow();
        let objects = self.types.iter().filter(|(_, of)| of["kind"] == "OBJECT");
        let fields = objects
            .flat_map(|(of, known)| list(&known["fields"]).iter().map(move |field| format!("{of}.{}", name(field))));
        fields.filter(|field| !covered.contains(field)).collect()
    }
}

pub fn is_cursor(at: &Input) -> bool {
    at.of.name == "String" && matches!(at.name.as_str(), "after" | "before")
}
