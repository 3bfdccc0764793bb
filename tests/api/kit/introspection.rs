//! The schema as a client's tools see it: what generated tests walk along.

use serde_json::Value;
use std::collections::BTreeMap;

const QUERY: &str = "{ __schema { types { kind name description specifiedByURL isOneOf
    fields(includeDeprecated: true) { name description args(includeDeprecated: true) { ...input } type { ...reference } }
    inputFields(includeDeprecated: true) { ...input } interfaces { name } possibleTypes { name }
    enumValues(includeDeprecated: true) { name description } } } }
  fragment input on __InputValue { name description defaultValue type { ...reference } }
  fragment reference on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// The types by name, without those of introspection itself.
pub struct Types(BTreeMap<String, Value>);

/// A type in a place: `[Lead!]` is Lead, a list.
#[derive(Clone, Debug)]
pub struct Reference {
    pub name: String,
    /// As it is written: `[Lead!]!`.
    pub text: String,
    pub required: bool,
    pub list: bool,
}

/// An argument or a field of an input.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub of: Reference,
    /// Must be given.
    pub needed: bool,
}

impl Types {
    pub async fn read() -> Self {
        let answer = stoa::graphql::builder().finish().execute(QUERY).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        let answer = answer.data.into_json().expect("JSON");
        let types = answer["__schema"]["types"].as_array().expect("types").iter();
        let own = types.filter(|known| !name(known).starts_with("__"));
        Types(own.map(|known| (name(known).to_owned(), known.clone())).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, known)| (name.as_str(), known))
    }

    pub fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("no type {name} in the schema"))
    }

    pub fn kind(&self, name: &str) -> &str {
        self.get(name)["kind"].as_str().expect("a kind")
    }

    pub fn fields(&self, name: &str) -> &[Value] {
        list(&self.get(name)["fields"])
    }

    pub fn inputs(&self, name: &str) -> Vec<Input> {
        inputs(&self.get(name)["inputFields"])
    }

    /// The types that an interface or a union may be.
    pub fn possible(&self, name: &str) -> Vec<&str> {
        list(&self.get(name)["possibleTypes"]).iter().map(self::name).collect()
    }

    pub fn values(&self, name: &str) -> Vec<&str> {
        list(&self.get(name)["enumValues"]).iter().map(self::name).collect()
    }

    /// The names of the entities.
    pub fn entities(&self) -> Vec<&str> {
        self.possible("Node")
    }
}

/// The members of a list, none where there is null.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn name(value: &Value) -> &str {
    value["name"].as_str().expect("a name")
}

pub fn arguments(field: &Value) -> Vec<Input> {
    inputs(&field["args"])
}

fn inputs(values: &Value) -> Vec<Input> {
    let input = |value: &Value| {
        let of = reference(&value["type"]);
        Input { name: name(value).to_owned(), needed: of.required && value["defaultValue"].is_null(), of }
    };
    list(values).iter().map(input).collect()
}

pub fn reference(of: &Value) -> Reference {
    match of["kind"].as_str().expect("a kind") {
        "NON_NULL" => {
            let inner = reference(&of["ofType"]);
            Reference { text: format!("{}!", inner.text), required: true, ..inner }
        }
        "LIST" => {
            let inner = reference(&of["ofType"]);
            Reference { text: format!("[{}]", inner.text), required: false, list: true, ..inner }
        }
        _ => Reference { name: name(of).to_owned(), text: name(of).to_owned(), required: false, list: false },
    }
}
