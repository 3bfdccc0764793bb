//! The operators of texts, numbers, times, ids, tags and custom fields. Invariant: what they are given is as it would be
//! stored, or it is refused.

use super::{Budget, Conditions, Operators, list, text, texts};
use crate::{
    error::Result,
    kit::{
        id::Id,
        predicate::{Compare, Place, Predicate},
        scalars::{
            CurrencyCode, Date, DateOrDuration, DateTime, DateTimeOrDuration, Decimal, EmailAddress, JsonObject, Url,
        },
        table::Column,
        value::Bind,
    },
};
use async_graphql::{InputObject, InputType};

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
    EmailAddress => TextFilter,
    Url => TextFilter,
    CurrencyCode => TextFilter,
    Decimal => DecimalFilter,
    DateTime => DateTimeFilter,
    Date => DateFilter,
    JsonObject => Vec<CustomFieldCondition>,
}

impl<T: 'static> Filterable for Id<T> {
    type Operators = IdFilter;
}
