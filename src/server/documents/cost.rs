//! What an operation costs: an object 1, a scalar 0, a list as often as it may have items, `totalCount` and an aggregate
//! 10. Invariant: worked out before execution from the document and its variables alone, in time linear in the document.

use async_graphql::{Name, Value, Variables};

/// Items of a connection when neither `first` nor `last` is given.
const PAGE: u64 = 25;
/// Items of a list that is not paged.
const LIST: u64 = 10;
/// A count over all rows, or an aggregate.
const COUNT: u64 = 10;
/// A question about the whole schema, however deep it asks.
const SCHEMA: u64 = 1000;
/// A question about one type.
const TYPE: u64 = 10;

/// A field that costs something, with those below it.
#[derive(Debug, Default)]
pub struct Cost {
    own: u64,
    items: Items,
    below: Vec<Cost>,
    /// Of these at most one comes to pass: what is selected from different object types.
    either: Vec<Cost>,
}

/// How many objects a field may answer with.
#[derive(Debug, Default)]
enum Items {
    #[default]
    One,
    Fixed(u64),
    /// As many as the first of these arguments that is a number says.
    Paged(Vec<Asked>),
    /// As many as the list given.
    Listed(Asked),
}

/// An argument as the document gives it.
#[derive(Clone, Debug)]
pub enum Asked {
    Number(u64),
    Items(u64),
    Variable(Name),
}

/// A field as its cost sees it.
pub struct Shape<'a> {
    pub name: &'a str,
    /// Objects, interfaces, unions.
    pub composite: bool,
    pub list: bool,
    /// `first` and `last` as given, where the field can be paged.
    pub page: Option<Vec<Asked>>,
    /// `ids` as given, where the field takes it.
    pub ids: Option<Asked>,
    /// `first` and `last` of the connection that the field belongs to.
    pub within: Option<&'a [Asked]>,
}

impl Cost {
    /// Of fields together.
    pub fn of_all(below: Vec<Cost>) -> Self {
        Cost { below, ..Cost::default() }
    }

    /// Of the dearest.
    pub fn of_one(either: Vec<Cost>) -> Self {
        Cost { either, ..Cost::default() }
    }

    /// Of a field; `None` when it costs nothing.
    pub fn of_field(shape: Shape<'_>, below: impl FnOnce(Option<&[Asked]>) -> Vec<Cost>) -> Option<Self> {
        let fixed = |own| Some(Cost { own, ..Cost::default() });
        match shape.name {
            "__schema" => return fixed(SCHEMA),
            "__type" => return fixed(TYPE),
            "totalCount" => return fixed(COUNT),
            _ if !shape.composite => return None,
            _ => {}
        }
        let below = below(shape.page.as_deref());
        let own = if shape.name.ends_with("Aggregate") || shape.name == "aggregate" { COUNT } else { 1 };
        let items = match (shape.list, shape.ids, shape.page, shape.within) {
            (false, ..) => Items::One,
            (true, Some(ids), ..) => Items::Listed(ids),
            (true, None, Some(page), _) => Items::Paged(page),
            (true, None, None, Some(page)) => Items::Paged(page.to_vec()),
            (true, None, None, None) => Items::Fixed(LIST),
        };
        Some(Cost { own, items, below, either: Vec::new() })
    }

    /// With the variables of one request. Too much to count is `u64::MAX`.
    pub fn total(&self, variables: &Variables) -> u64 {
        let dearest = self.either.iter().map(|cost| cost.total(variables)).max().unwrap_or_default();
        let each = self.below.iter().fold(self.own, |sum, below| sum.saturating_add(below.total(variables)));
        let each = each.saturating_add(dearest);
        let items = match &self.items {
            Items::One => 1,
            Items::Fixed(items) => *items,
            Items::Paged(asked) => asked.iter().find_map(|asked| asked.number(variables)).unwrap_or(PAGE),
            Items::Listed(asked) => asked.items(variables).unwrap_or(LIST),
        };
        each.saturating_mul(items)
    }
}

impl Asked {
    /// How an argument's value asks for a number of items.
    pub fn read(value: &async_graphql_value::Value) -> Option<Self> {
        use async_graphql_value::Value as Given;
        match value {
            Given::Variable(name) => Some(Asked::Variable(name.clone())),
            Given::Number(number) => Some(Asked::Number(number.as_u64().unwrap_or_default())),
            Given::List(items) => Some(Asked::Items(items.len() as u64)),
            Given::Null => None,
            _ => Some(Asked::Items(1)),
        }
    }

    fn number(&self, variables: &Variables) -> Option<u64> {
        match self {
            Asked::Number(number) => Some(*number),
            Asked::Items(_) => None,
            Asked::Variable(name) => match variables.get(name) {
                Some(Value::Number(number)) => Some(number.as_u64().unwrap_or_default()),
                _ => None,
            },
        }
    }

    fn items(&self, variables: &Variables) -> Option<u64> {
        match self {
            Asked::Items(items) => Some(*items),
            Asked::Number(_) => None,
            Asked::Variable(name) => match variables.get(name) {
                Some(Value::List(items)) => Some(items.len() as u64),
                _ => None,
            },
        }
    }
}
