//! What the user can mend: which field, what is wrong with it, and a code for the program. Invariant: all faults
//! of an input are told at once.

use async_graphql::{Enum, SimpleObject};

/// What is wrong with a field of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum UserErrorCode {
    /// A value is needed.
    Required,
    /// The value cannot be used here.
    Invalid,
    /// The text or list is too long.
    TooLong,
    /// The text or list is too short.
    TooShort,
    /// The number or date is out of range.
    OutOfRange,
    /// The text does not have the wanted form.
    InvalidFormat,
    /// Another record has this value already.
    NotUnique,
    /// The record named does not exist, or not for you.
    NotFound,
    /// Somebody else changed the record in the meantime.
    Conflict,
    /// There are too many already.
    LimitExceeded,
    /// The record is in a state that does not allow this.
    StateInvalid,
    /// Other records need it.
    InUse,
    /// This is not possible.
    Unsupported,
}

/// Something about the input that the user can mend. Nothing was written.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserError {
    /// Where in `input`, such as `["billingAddress", "city"]`; empty: the input as a whole.
    pub field: Vec<String>,
    /// A sentence for the user.
    pub message: String,
    /// A code for the program.
    pub code: UserErrorCode,
}

/// The faults of one input.
#[derive(Clone, Debug, Default)]
pub struct UserErrors(pub Vec<UserError>);

impl UserErrors {
    /// Adds a fault of a field: `"email"`, or a path with dots such as `"billingAddress.city"`; empty for the
    /// input as a whole.
    pub fn add(&mut self, field: &str, code: UserErrorCode, message: impl Into<String>) {
        let field = field.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        self.0.push(UserError { field, message: message.into(), code });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults of one item of a list: their paths begin with `items.<index>`.
    pub fn within(self, list: &str, index: usize) -> Self {
        let prefix = [list.to_owned(), index.to_string()];
        UserErrors(
            self.0
                .into_iter()
                .map(|error| UserError { field: prefix.iter().cloned().chain(error.field).collect(), ..error })
                .collect(),
        )
    }
}
