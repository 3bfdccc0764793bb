//! Filters: the operators a client may use on each kind of field. Invariant: a filter has at most 50 conditions,
//! nests at most five deep and lists at most 200 values, and an operator given as null counts as absent.

use super::{
    entity::Entity,
    id::Id,
    predicate::{Compare, Place, Predicate},
    scalars::{DateOrDuration, DateTimeOrDuration, Decimal},
    table::Column,
    value::Bind,
};
use crate::error::{Error, Result};
use async_graphql::{InputObject, InputType};
use unicode_normalization::{UnicodeNormalization, is_nfc};

const MOST_LEAVES: usize = 50;
const MOST_LEVELS: usize = 5;
const MOST_VALUES: usize = 200;
const LONGEST_TEXT: usize = 1000;

/// What one filter may still contain.
#[derive(Debug, Default)]
pub struct Budget {
    leaves: usize,
    level: usize,
}

impl Budget {
    fn leaf(&mut self) -> Result<()> {
        self.leaves += 1;
        if self.leaves > MOST_LEAVES {
            return Err(Error::bad_input(format!("A filter has at most {MOST_LEAVES} conditions.")));
        }
        Ok(())
    }

    /// `deleted` says which records a list shows as a whole; below the top it would promise what it cannot keep.
    pub fn deleted_at_top(&self, deleted: Option<DeletedRecords>) -> Result<()> {
        if deleted.is_some() && self.level > 0 {
            return Err(Error::bad_input("`deleted` stands at the top of a filter only."));
        }
        Ok(())
    }

    /// Goes one level down for as long as `inside` takes.
    pub fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.level >= MOST_LEVELS {
            return Err(Error::bad_input(format!("A filter nests at most {MOST_LEVELS} levels deep.")));
        }
        self.level += 1;
        let result = inside(self);
        self.level -= 1;
        result
    }
}

/// The filter of an entity.
pub trait Filter: InputType + Default {
    fn predicate(self, budget: &mut Budget) -> Result<Predicate>;
}

/// The operators of one kind of field.
pub trait Operators {
    fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()>;
}

/// `and`, `or` and `not` of an entity's filter.
pub fn combine<F: Filter>(
    and: Option<Vec<F>>,
    or: Option<Vec<F>>,
    not: Option<Box<F>>,
    into: &mut Vec<Predicate>,
    budget: &mut Budget,
) -> Result<()> {
    let all = |parts: Vec<F>, budget: &mut Budget| -> Result<Vec<Predicate>> {
        budget.nested(|budget| {
            parts
                .into_iter()
                .map(|part| {
                    let before = budget.leaves;
                    let predicate = part.predicate(budget)?;
                    // A part without conditions counts, too, or there could be any number of them.
                    if budget.leaves == before {
                        budget.leaf()?;
                    }
                    Ok(predicate)
                })
                .collect()
        })
    };
    if let Some(parts) = and {
        into.push(Predicate::All(all(parts, budget)?));
    }
    if let Some(parts) = or {
        into.push(Predicate::Any(all(parts, budget)?));
    }
    if let Some(part) = not {
        into.push(Predicate::Not(Box::new(budget.nested(|budget| part.predicate(budget))?)));
    }
    Ok(())
}

fn list<T>(values: Vec<T>) -> Result<Vec<T>> {
    if values.len() > MOST_VALUES {
        return Err(Error::bad_input(format!("A list in a filter has at most {MOST_VALUES} values.")));
    }
    Ok(values)
}

fn text(value: String) -> Result<String> {
    if value.contains('\0') {
        return Err(Error::bad_input("A text in a filter may not contain the character NUL."));
    }
    if value.chars().count() > LONGEST_TEXT {
        return Err(Error::bad_input(format!("A text in a filter has at most {LONGEST_TEXT} characters.")));
    }
    // As texts are stored.
    Ok(if is_nfc(&value) { value } else { value.nfc().collect() })
}

fn texts(values: Vec<String>) -> Result<Vec<String>> {
    list(values)?.into_iter().map(text).collect()
}

/// Collects conditions on one column.
struct Conditions<'a> {
    column: &'static Column,
    into: &'a mut Vec<Predicate>,
    budget: &'a mut Budget,
}

impl Conditions<'_> {
    fn add(&mut self, predicate: Predicate) -> Result<()> {
        self.budget.leaf()?;
        self.into.push(predicate);
        Ok(())
    }

    fn compare(&mut self, compare: Compare, value: Option<Bind>) -> Result<()> {
        value.map_or(Ok(()), |value| self.add(Predicate::Compare(self.column, compare, value)))
    }

    fn any(&mut self, values: Option<Bind>) -> Result<()> {
        values.map_or(Ok(()), |values| self.add(Predicate::In(self.column, values)))
    }

    fn none(&mut self, values: Option<Bind>) -> Result<()> {
        values.map_or(Ok(()), |values| self.add(Predicate::Not(Box::new(Predicate::In(self.column, values)))))
    }

    fn is_null(&mut self, is_null: Option<bool>) -> Result<()> {
        match is_null {
            Some(true) => self.add(Predicate::IsNull(self.column)),
            Some(false) => self.add(Predicate::Not(Box::new(Predicate::IsNull(self.column)))),
            None => Ok(()),
        }
    }

    fn text(&mut self, place: Place, value: Option<String>) -> Result<()> {
        value.map_or(Ok(()), |value| self.add(Predicate::Text(self.column, place, text(value)?)))
    }
}

/// Conditions on a text.
#[derive(Clone, Debug, Default, InputObject)]
pub struct TextFilter {
    /// Is exactly this.
    pub eq: Option<String>,
    /// Is not exactly this; null is different from every text.
    pub ne: Option<String>,
    /// Is one of these, at most 200.
    #[graphql(name = "in")]
    pub any_of: Option<Vec<String>>,
    /// Is none of these, at most 200; null counts as none of them.
    pub not_in: Option<Vec<String>>,
    /// Has this in it, whatever its case and accents.
    pub contains: Option<String>,
    /// Begins with this, whatever its case and accents.
    pub starts_with: Option<String>,
    /// Ends with this, whatever its case and accents.
    pub ends_with: Option<String>,
    /// Whether there is no value.
    pub is_null: Option<bool>,
}

impl Operators for TextFilter {
    fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
        let mut on = Conditions { column, into, budget };
        let one = |value: Option<String>| value.map(text).transpose().map(|value| value.map(|v| Bind::Text(Some(v))));
        let many = |values: Option<Vec<String>>| values.map(texts).transpose().map(|v| v.map(|v| Bind::Texts(Some(v))));
        on.compare(Compare::Eq, one(self.eq)?)?;
        on.compare(Compare::Ne, one(self.ne)?)?;
        on.any(many(self.any_of)?)?;
        on.none(many(self.not_in)?)?;
        on.text(Place::Anywhere, self.contains)?;
        on.text(Place::Start, self.starts_with)?;
        on.text(Place::End, self.ends_with)?;
        on.is_null(self.is_null)
    }
}

/// Conditions on a yes or no.
#[derive(Clone, Debug, Default, InputObject)]
pub struct BooleanFilter {
    /// Is this.
    pub eq: Option<bool>,
    /// Is not this.
    pub ne: Option<bool>,
    /// Whether there is no value.
    pub is_null: Option<bool>,
}

impl Operators for BooleanFilter {
    fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
        let mut on = Conditions { column, into, budget };
        on.compare(Compare::Eq, self.eq.map(|v| Bind::Bool(Some(v))))?;
        on.compare(Compare::Ne, self.ne.map(|v| Bind::Bool(Some(v))))?;
        on.is_null(self.is_null)
    }
}

/// Conditions on an id.
#[derive(Clone, Debug, Default, InputObject)]
pub struct IdFilter {
    /// Is this.
    pub eq: Option<Id<()>>,
    /// Is not this; null is different from every id.
    pub ne: Option<Id<()>>,
    /// Is one of these, at most 200.
    #[graphql(name = "in")]
    pub any_of: Option<Vec<Id<()>>>,
    /// Is none of these, at most 200; null counts as none of them.
    pub not_in: Option<Vec<Id<()>>>,
    /// Whether there is no value.
    pub is_null: Option<bool>,
}

impl Operators for IdFilter {
    fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
        let mut on = Conditions { column, into, budget };
        let many = |ids: Option<Vec<Id<()>>>| -> Result<Option<Bind>> {
            Ok(ids.map(list).transpose()?.map(|ids| Bind::Uuids(ids.into_iter().map(|id| id.0).collect())))
        };
        on.compare(Compare::Eq, self.eq.map(|id| Bind::Uuid(Some(id.0))))?;
        on.compare(Compare::Ne, self.ne.map(|id| Bind::Uuid(Some(id.0))))?;
        on.any(many(self.any_of)?)?;
        on.none(many(self.not_in)?)?;
        on.is_null(self.is_null)
    }
}

macro_rules! ordered_filter {
    ($(#[$doc:meta])* $name:ident, $value:ty, $raw:ty, $one:ident, $many:ident, |$v:ident| $bind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, InputObject)]
        pub struct $name {
            /// Is exactly this.
            pub eq: Option<$value>,
            /// Is not this; null is different from every value.
            pub ne: Option<$value>,
            /// Is one of these, at most 200.
            #[graphql(name = "in")]
            pub any_of: Option<Vec<$value>>,
            /// Is none of these, at most 200; null counts as none of them.
            pub not_in: Option<Vec<$value>>,
            /// Is greater, or later.
            pub gt: Option<$value>,
            /// Is this or greater, or later.
            pub gte: Option<$value>,
            /// Is less, or earlier.
            pub lt: Option<$value>,
            /// Is this or less, or earlier.
            pub lte: Option<$value>,
            /// Whether there is no value.
            pub is_null: Option<bool>,
        }

        impl Operators for $name {
            fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
                let mut on = Conditions { column, into, budget };
                let raw = |$v: $value| -> $raw { $bind };
                let one = |v: Option<$value>| v.map(|v| Bind::$one(Some(raw(v))));
                let many = |v: Option<Vec<$value>>| -> Result<Option<Bind>> {
                    Ok(v.map(list).transpose()?.map(|v| Bind::$many(v.into_iter().map(raw).collect())))
                };
                on.compare(Compare::Eq, one(self.eq))?;
                on.compare(Compare::Ne, one(self.ne))?;
                on.any(many(self.any_of)?)?;
                on.none(many(self.not_in)?)?;
                on.compare(Compare::Gt, one(self.gt))?;
                on.compare(Compare::Gte, one(self.gte))?;
                on.compare(Compare::Lt, one(self.lt))?;
                on.compare(Compare::Lte, one(self.lte))?;
                on.is_null(self.is_null)
            }
        }
    };
}
ordered_filter!(/// Conditions on a whole number.
    IntFilter, i32, i32, Int, Ints, |v| v);
ordered_filter!(/// Conditions on an exact number.
    DecimalFilter, Decimal, rust_decimal::Decimal, Decimal, Decimals, |v| v.0);
ordered_filter!(/// Conditions on a moment, given as such or as a duration from now (`-P7D`: a week ago).
    DateTimeFilter, DateTimeOrDuration, chrono::DateTime<chrono::Utc>, Time, Times, |v| v.0);
ordered_filter!(/// Conditions on a day, given as such or as a duration from today (`-P7D`: a week ago).
    DateFilter, DateOrDuration, chrono::NaiveDate, Date, Dates, |v| v.0);

/// Conditions on tags.
#[derive(Clone, Debug, Default, InputObject)]
pub struct TagsFilter {
    /// Has this tag.
    pub has: Option<String>,
    /// Has one of these tags, at most 200.
    pub has_any: Option<Vec<String>>,
    /// Has all of these tags, at most 200.
    pub has_all: Option<Vec<String>>,
    /// Whether there are no tags.
    pub is_empty: Option<bool>,
}

impl Operators for TagsFilter {
    fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
        let mut on = Conditions { column, into, budget };
        if let Some(tag) = self.has {
            on.add(Predicate::HasAll(column, vec![text(tag)?]))?;
        }
        if let Some(tags) = self.has_any {
            on.add(Predicate::HasAny(column, texts(tags)?))?;
        }
        if let Some(tags) = self.has_all {
            on.add(Predicate::HasAll(column, texts(tags)?))?;
        }
        match self.is_empty {
            Some(true) => on.add(Predicate::IsEmpty(column)),
            Some(false) => on.add(Predicate::Not(Box::new(Predicate::IsEmpty(column)))),
            None => Ok(()),
        }
    }
}

/// Conditions on one custom field.
#[derive(Clone, Debug, InputObject)]
pub struct CustomFieldCondition {
    /// The key of the custom field, at most 100 characters.
    pub key: String,
    /// Is this, compared as text.
    pub eq: Option<String>,
    /// Is not this, compared as text; a missing value is different from every text.
    pub ne: Option<String>,
    /// Is one of these, compared as text; at most 200.
    #[graphql(name = "in")]
    pub any_of: Option<Vec<String>>,
    /// Whether there is no value.
    pub is_null: Option<bool>,
}

impl Operators for Vec<CustomFieldCondition> {
    fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
        let mut on = Conditions { column, into, budget };
        for condition in list(self)? {
            let key = text(condition.key)?;
            let is = |value: Option<String>| Predicate::JsonText(column, key.clone(), value);
            if let Some(value) = condition.eq {
                on.add(is(Some(text(value)?)))?;
            }
            if let Some(value) = condition.ne {
                on.add(Predicate::Not(Box::new(is(Some(text(value)?)))))?;
            }
            if let Some(values) = condition.any_of {
                on.add(Predicate::Any(texts(values)?.into_iter().map(|value| is(Some(value))).collect()))?;
            }
            match condition.is_null {
                Some(true) => on.add(is(None))?,
                Some(false) => on.add(Predicate::Not(Box::new(is(None))))?,
                None => {}
            }
        }
        Ok(())
    }
}

/// Which records a list shows, as to deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, async_graphql::Enum)]
pub enum DeletedRecords {
    /// Those that are not deleted.
    #[default]
    Exclude,
    /// Both.
    Include,
    /// Only those that are deleted and not yet purged.
    Only,
}

/// What the filter of an enum may say: `eq`, `ne`, `in`, `notIn`, `isNull`.
pub type EnumOperators<T> = (Option<T>, Option<T>, Option<Vec<T>>, Option<Vec<T>>, Option<bool>);

/// Operators of an enum stored as text, for the filters that `#[entity]` writes.
pub fn push_enum<T: super::value::Value>(
    column: &'static Column,
    (eq, ne, any_of, not_in, is_null): EnumOperators<T>,
    into: &mut Vec<Predicate>,
    budget: &mut Budget,
) -> Result<()> {
    let mut on = Conditions { column, into, budget };
    let many = |values: Option<Vec<T>>| -> Result<Option<Bind>> {
        Ok(values.map(list).transpose()?.map(|values| {
            let words = values.iter().filter_map(|value| match value.bind() {
                Bind::Text(word) => word,
                _ => None,
            });
            Bind::Texts(Some(words.collect()))
        }))
    };
    on.compare(Compare::Eq, eq.map(|v| v.bind()))?;
    on.compare(Compare::Ne, ne.map(|v| v.bind()))?;
    on.any(many(any_of)?)?;
    on.none(many(not_in)?)?;
    on.is_null(is_null)
}

/// An enum of the schema that a text column holds, with its filter.
///
/// ```text
/// db_enum! {
///     /// How far a lead has come.
///     pub enum LeadStatus, filter LeadStatusFilter {
///         /// Nobody has looked at it.
///         New = "new",
///     }
/// }
/// ```
#[macro_export]
macro_rules! db_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident, filter $filter:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum, serde::Serialize, serde::Deserialize)]
        #[graphql(rename_items = "SCREAMING_SNAKE_CASE")]
        $vis enum $name { $($(#[$variant_meta])* #[serde(rename = $word)] $variant),* }

        impl $name {
            /// As the database has it.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl $crate::kit::value::Value for $name {
            const KIND: $crate::kit::value::Kind = $crate::kit::value::Kind::Text;
            const ENUM: bool = true;
            fn read(raw: Option<diesel::pg::PgValue<'_>>) -> diesel::deserialize::Result<Self> {
                let raw = raw.ok_or("a value that must not be NULL")?;
                match std::str::from_utf8(raw.as_bytes())? {
                    $($word => Ok($name::$variant),)*
                    other => Err(format!("unknown {}: {other}", stringify!($name)).into()),
                }
            }
            fn bind(&self) -> $crate::kit::value::Bind {
                $crate::kit::value::Bind::Text(Some(self.word().to_owned()))
            }
        }

        #[doc = concat!("Conditions on a ", stringify!($name), ".")]
        #[derive(Clone, Debug, Default, async_graphql::InputObject)]
        $vis struct $filter {
            /// Is this.
            pub eq: Option<$name>,
            /// Is not this; null is different from every value.
            pub ne: Option<$name>,
            /// Is one of these.
            #[graphql(name = "in")]
            pub any_of: Option<Vec<$name>>,
            /// Is none of these; null counts as none of them.
            pub not_in: Option<Vec<$name>>,
            /// Whether there is no value.
            pub is_null: Option<bool>,
        }

        impl $crate::kit::filter::Filterable for $name {
            type Operators = $filter;
        }

        impl $crate::kit::rules::Tidy for $name {
            fn tidy(&mut self, _: &str, _: &$crate::kit::rules::Rule, _: &mut $crate::kit::user_error::UserErrors) {}
        }

        impl $crate::kit::filter::Operators for $filter {
            fn conditions(
                self,
                column: &'static $crate::kit::table::Column,
                into: &mut Vec<$crate::kit::predicate::Predicate>,
                budget: &mut $crate::kit::filter::Budget,
            ) -> $crate::error::Result<()> {
                let operators = (self.eq, self.ne, self.any_of, self.not_in, self.is_null);
                $crate::kit::filter::push_enum(column, operators, into, budget)
            }
        }
    };
}

/// The operators that filter a type of field.
pub trait Filterable {
    type Operators: Operators + InputType;
}

macro_rules! filterable {
    ($($field:ty => $operators:ty),* $(,)?) => {$(
        impl Filterable for $field {
            type Operators = $operators;
        }
    )*};
}
filterable! {
    String => TextFilter,
    bool => BooleanFilter,
    i32 => IntFilter,
    Vec<String> => TagsFilter,
    super::scalars::EmailAddress => TextFilter,
    super::scalars::Url => TextFilter,
    super::scalars::CurrencyCode => TextFilter,
    super::scalars::Decimal => DecimalFilter,
    super::scalars::DateTime => DateTimeFilter,
    super::scalars::Date => DateFilter,
    super::scalars::JsonObject => Vec<CustomFieldCondition>,
}

impl<T: 'static> Filterable for Id<T> {
    type Operators = IdFilter;
}

/// There is a visible record of `E` with `there` equal to this record's `here` that fits.
pub fn related<E: Entity>(
    here: &'static Column,
    there: &'static str,
    filter: E::Filter,
    budget: &mut Budget,
) -> Result<Predicate> {
    budget.leaf()?;
    let fits = Box::new(budget.nested(|budget| filter.predicate(budget))?);
    Ok(Predicate::Related { table: E::table(), here, there, fits })
}

/// What the filter of a list of records may say: `some`, `every`, `none`.
pub type ListOperators<F> = (Option<F>, Option<F>, Option<F>);

/// `some`, `every` and `none` of the records of `E` whose `there` names this one.
pub fn related_list<E: Entity>(
    here: &'static Column,
    there: &'static str,
    (some, every, none): ListOperators<E::Filter>,
    into: &mut Vec<Predicate>,
    budget: &mut Budget,
) -> Result<()> {
    if let Some(filter) = some {
        into.push(related::<E>(here, there, filter, budget)?);
    }
    if let Some(filter) = none {
        into.push(Predicate::Not(Box::new(related::<E>(here, there, filter, budget)?)));
    }
    if let Some(filter) = every {
        budget.leaf()?;
        let fits = Predicate::Not(Box::new(budget.nested(|budget| filter.predicate(budget))?));
        let exception = Predicate::Related { table: E::table(), here, there, fits: Box::new(fits) };
        into.push(Predicate::Not(Box::new(exception)));
    }
    Ok(())
}

/// Each word stands in one of the columns.
pub fn search(words: &str, columns: &[&'static Column], into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
    let words = text(words.to_owned())?;
    for (index, word) in words.split_whitespace().enumerate() {
        if index >= 8 {
            return Err(Error::bad_input("A search has at most 8 words."));
        }
        budget.leaf()?;
        let has_word = |column: &&'static Column| Predicate::Text(column, Place::Anywhere, word.to_owned());
        into.push(Predicate::Any(columns.iter().map(has_word).collect()));
    }
    Ok(())
}
