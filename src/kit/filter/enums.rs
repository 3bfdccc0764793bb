//! Enums of the schema that a text column holds, and their operators. Invariant: only words of the enum reach the
//! database.

use super::{Budget, Conditions, list};
use crate::{
    error::Result,
    kit::{
        predicate::{Compare, Predicate},
        table::Column,
        value::{Bind, Value},
    },
};

/// What the filter of an enum may say: `eq`, `ne`, `in`, `notIn`, `isNull`.
pub type EnumOperators<T> = (Option<T>, Option<T>, Option<Vec<T>>, Option<Vec<T>>, Option<bool>);

/// Operators of an enum stored as text, for the filters that `#[entity]` writes.
pub fn push_enum<T: Value>(
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
