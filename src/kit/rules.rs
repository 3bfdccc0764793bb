//! What must hold of a record before it is written. The mechanical part (length, range, form) follows from the
//! struct's attributes; the rest is `Rules`, written by hand beside the entity. Invariant: what is stored has
//! been trimmed, is in Unicode NFC and has no control characters.

use super::{
    entity::Entity,
    scalars::{Address, Decimal, JsonObject},
    user_error::{UserErrorCode, UserErrors},
    write::Tx,
};
use crate::error::Result;
use std::future::Future;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// What must hold before a write, beyond single fields. Runs in the transaction; may change the record, may add
/// user errors, may refuse with an error.
pub trait Rules: Entity {
    fn check(
        _tx: &mut Tx,
        _old: Option<&Self>,
        _new: &mut Self,
        _errors: &mut UserErrors,
    ) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// The mechanical rule of a field.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Characters of a text at most.
    pub max: usize,
    /// May have line breaks.
    pub multiline: bool,
    /// Least and greatest number.
    pub range: (i64, i64),
}

impl Rule {
    pub const DEFAULT: Rule = Rule { max: 250, multiline: false, range: (i64::MIN, i64::MAX) };
}

/// Puts a value into the form in which it is stored and tells what is wrong with it.
pub trait Tidy {
    fn tidy(&mut self, field: &str, rule: &Rule, errors: &mut UserErrors);
    /// Whether a field that must have a value has none worth the name.
    fn is_blank(&self) -> bool {
        false
    }
}

/// Trimmed, NFC, without control characters (save line breaks and tabs where lines are allowed).
pub fn tidy_text(text: &mut String, field: &str, rule: &Rule, errors: &mut UserErrors) {
    let trimmed = text.trim();
    if !is_nfc(trimmed) {
        *text = trimmed.nfc().collect();
    } else if trimmed.len() != text.len() {
        *text = trimmed.to_owned();
    }
    let allowed = |letter: char| rule.multiline && matches!(letter, '\n' | '\r' | '\t');
    if text.chars().any(|letter| letter.is_control() && !allowed(letter)) {
        errors.add(field, UserErrorCode::Invalid, "The text has control characters, which are not allowed.");
    }
    if text.chars().count() > rule.max {
        errors.add(field, UserErrorCode::TooLong, format!("The text has more than {} characters.", rule.max));
    }
}

impl Tidy for String {
    fn tidy(&mut self, field: &str, rule: &Rule, errors: &mut UserErrors) {
        tidy_text(self, field, rule, errors);
    }

    fn is_blank(&self) -> bool {
        self.trim().is_empty()
    }
}

impl<T: Tidy> Tidy for Option<T> {
    fn tidy(&mut self, field: &str, rule: &Rule, errors: &mut UserErrors) {
        if let Some(value) = self {
            value.tidy(field, rule, errors);
            // A text of nothing but spaces is no text.
            if value.is_blank() {
                *self = None;
            }
        }
    }
}

impl Tidy for i32 {
    fn tidy(&mut self, field: &str, rule: &Rule, errors: &mut UserErrors) {
        let (least, most) = rule.range;
        if !(least..=most).contains(&i64::from(*self)) {
            errors.add(field, UserErrorCode::OutOfRange, format!("The number must be between {least} and {most}."));
        }
    }
}

/// Money and other exact numbers: numeric(15,2).
impl Tidy for Decimal {
    fn tidy(&mut self, field: &str, rule: &Rule, errors: &mut UserErrors) {
        let end = rust_decimal::Decimal::new(999_999_999_999_999, 2);
        let (least, most) = (end.min((-end).max(rule.range.0.into())), end.min(rule.range.1.into()));
        if self.0 < least || self.0 > most {
            errors.add(field, UserErrorCode::OutOfRange, format!("The number must be between {least} and {most}."));
        } else if self.0.normalize().scale() > 2 {
            errors.add(field, UserErrorCode::InvalidFormat, "The number has more than two decimal places.");
        } else {
            self.0.rescale(2);
            // PostgreSQL has no negative zero.
            if self.0.is_zero() {
                self.0.set_sign_positive(true);
            }
        }
    }
}

/// Tags: at most 50, each 1 to 60 characters; a repeated one is dropped.
impl Tidy for Vec<String> {
    fn tidy(&mut self, field: &str, _rule: &Rule, errors: &mut UserErrors) {
        if self.len() > 50 {
            errors.add(field, UserErrorCode::TooLong, "There may be at most 50 tags.");
            return;
        }
        let rule = Rule { max: 60, ..Rule::DEFAULT };
        for (index, tag) in self.iter_mut().enumerate() {
            let path = format!("{field}.{index}");
            tag.tidy(&path, &rule, errors);
            if tag.is_empty() {
                errors.add(&path, UserErrorCode::Required, "A tag must not be empty.");
            }
        }
        let mut seen = std::collections::HashSet::new();
        self.retain(|tag| seen.insert(tag.clone()));
    }
}

/// Custom fields: at most 100 keys and 32 KiB.
impl Tidy for JsonObject {
    fn tidy(&mut self, field: &str, _rule: &Rule, errors: &mut UserErrors) {
        let size = serde_json::to_string(&self.0).map_or(usize::MAX, |text| text.len());
        if self.0.len() > 100 || size > 32 * 1024 {
            errors.add(field, UserErrorCode::TooLong, "Custom fields may have at most 100 keys and 32 KiB.");
        }
        if has_nul(&serde_json::Value::Object(self.0.clone())) {
            errors.add(field, UserErrorCode::Invalid, "A text has the character NUL, which is not allowed.");
        }
    }
}

fn has_nul(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(has_nul),
        serde_json::Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

impl Tidy for Address {
    fn tidy(&mut self, field: &str, _rule: &Rule, errors: &mut UserErrors) {
        for (name, part, max) in self.parts() {
            part.tidy(&format!("{field}.{name}"), &Rule { max, ..Rule::DEFAULT }, errors);
        }
    }
}

macro_rules! always_tidy {
    ($($kind:ty),*) => {$(
        impl Tidy for $kind {
            fn tidy(&mut self, _: &str, _: &Rule, _: &mut UserErrors) {}
        }
    )*};
}
always_tidy!(
    bool,
    super::scalars::Date,
    super::scalars::DateTime,
    super::scalars::EmailAddress,
    super::scalars::Url,
    super::scalars::CurrencyCode
);

impl<T> Tidy for super::id::Id<T> {
    fn tidy(&mut self, _: &str, _: &Rule, _: &mut UserErrors) {}
}
