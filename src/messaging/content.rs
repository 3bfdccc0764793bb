//! What a member sends, by itself: of which kind it is, and what is wrong with it wherever it goes.

use crate::{
    db_enum,
    kit::{
        rules::{Rule, tidy_text},
        user_error::{UserErrorCode, UserErrors},
    },
};

db_enum! {
    /// What kind of message it is.
    pub enum MessageKind, filter MessageKindFilter {
        /// It says something, and may bring files along.
        Text = "text",
        /// It only brings files along: its body is empty.
        File = "file",
        /// Stoa tells what somebody did to the conversation: its sender. See `system`.
        System = "system",
    }
}

impl MessageKind {
    /// Of what a member sends.
    pub fn of(body: &str) -> Self {
        if body.is_empty() { MessageKind::File } else { MessageKind::Text }
    }

    /// What messages were when there was nothing else.
    pub fn text() -> Self {
        MessageKind::Text
    }
}

/// A body as it is stored. Whether it says enough, `demand_content` knows.
pub fn tidied(mut body: String, errors: &mut UserErrors) -> String {
    tidy_text(&mut body, "body", &Rule { max: 40_000, multiline: true, ..Rule::DEFAULT }, errors);
    body
}

/// REQUIRED for a message that would say nothing and bring nothing along.
pub fn demand_content(body: &str, has_files: bool, errors: &mut UserErrors) {
    if body.is_empty() && !has_files {
        errors.add("body", UserErrorCode::Required, "A message has at least one character, or a file.");
    }
}

/// What is wrong with a sender's own key.
pub fn check_key(key: Option<&str>, errors: &mut UserErrors) {
    if key.is_some_and(|key| key.is_empty() || key.chars().count() > 100 || key.chars().any(char::is_control)) {
        let message = "The key has 1 to 100 characters and no control characters.";
        errors.add("clientId", UserErrorCode::Invalid, message);
    }
}
