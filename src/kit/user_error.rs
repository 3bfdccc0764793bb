//! What a user can mend. Invariant: a payload tells all faults of its input at once, each with its path in it.

use async_graphql::{Enum, SimpleObject};
use std::borrow::Cow;

/// What kind of fault it is.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserErrorCode {
    /// A value is missing.
    Required,
    /// A value that cannot be used, for the reason in `message`.
    Invalid,
    /// More characters or items than allowed.
    TooLong,
    /// Fewer characters or items than needed.
    TooShort,
    /// A number or a time beyond its limits.
    OutOfRange,
    /// Not written the way such a value is written.
    InvalidFormat,
    /// Somebody or something else has this value already.
    NotUnique,
    /// What the value refers to does not exist, or not for you.
    NotFound,
    /// Changed by somebody else in the meantime.
    Conflict,
    /// More than this organization may have.
    LimitExceeded,
    /// Not possible in the state that the record is in.
    StateInvalid,
    /// Still needed elsewhere.
    InUse,
    /// Understood, but not offered by this server.
    Unsupported,
    /// A code of the person's authenticator, or a recovery code, is needed as well as the password.
    TwoFactorRequired,
}

/// A fault in the input, told so that the user can mend it.
#[derive(SimpleObject, Clone, Debug, PartialEq, Eq)]
pub struct UserError {
    /// Where: the path inside `input`, such as `["address", "city"]` or `["items", "3", "name"]`. Null when the fault
    /// lies in the input as a whole.
    pub field: Option<Vec<String>>,
    /// What to do about it, in plain English.
    pub message: Cow<'static, str>,
    /// What kind of fault it is, for programs.
    pub code: UserErrorCode,
}

/// The faults found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserErrors(Vec<UserError>);

impl UserErrors {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault. `field` is the path inside `input` in GraphQL spelling, its parts joined by dots
    /// (`address.city`, `items.3.name`); empty for the input as a whole.
    pub fn add(&mut self, field: &str, code: UserErrorCode, message: impl Into<Cow<'static, str>>) {
        let field = (!field.is_empty()).then(|| field.split('.').map(str::to_owned).collect());
        self.0.push(UserError { field, message: message.into(), code });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a fault has been found in that field, or within it.
    pub fn has(&self, field: &str) -> bool {
        let field: Vec<&str> = field.split('.').collect();
        self.0.iter().flat_map(|error| &error.field).any(|path| path.iter().take(field.len()).eq(&field))
    }

    /// The faults of one item of a list: their paths begin with the list and the item's place.
    pub fn within(self, list: &str, index: usize) -> Self {
        let place = [list.to_owned(), index.to_string()];
        let moved = self.0.into_iter().map(|error| {
            let path = place.iter().cloned().chain(error.field.unwrap_or_default()).collect();
            UserError { field: Some(path), ..error }
        });
        UserErrors(moved.collect())
    }

    /// All of `other`, after these.
    pub fn extend(&mut self, other: UserErrors) {
        self.0.extend(other.0);
    }

    pub fn iter(&self) -> std::slice::Iter<'_, UserError> {
        self.0.iter()
    }
}

impl From<UserErrors> for Vec<UserError> {
    fn from(errors: UserErrors) -> Self {
        errors.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_and_the_whole_input_is_null() {
        let mut errors = UserErrors::new();
        errors.add("items.3.name", UserErrorCode::Required, "Give a name.");
        errors.add("", UserErrorCode::Invalid, "No.");
        assert!(errors.has("items.3.name") && errors.has("items") && !errors.has("items.4") && !errors.has("name"));
        assert!(!errors.has("items.3.name.first"));
        let errors: Vec<UserError> = errors.into();
        assert_eq!(errors[0].field.as_deref().unwrap(), ["items", "3", "name"]);
        assert_eq!(errors[1].field, None);
    }
}
