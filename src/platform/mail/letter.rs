//! A mail as it is stored and sent. Invariant: nothing that a user has written can add a header or a recipient.

use crate::platform::jobs::{Failure, Job};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Characters of a subject at most.
const SUBJECT: usize = 200;

/// A mail that is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The same at every attempt, so that the other side can tell a repetition.
    pub id: Uuid,
    /// Which mail it is.
    pub template: String,
    pub to: String,
    pub subject: String,
    pub html: String,
    pub text: String,
}

/// The job that hands a mail over. It may hold a one-time token, and is emptied when it is done.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendMail {
    pub letter: Letter,
}

impl Job for SendMail {
    const KIND: &'static str = "mail";
    /// With the usual pauses somewhat more than a day: a mail server may be away for one.
    const ATTEMPTS: i32 = 36;

    fn about(&self) -> String {
        format!("{} to {}", self.letter.template, self.letter.to)
    }
}

/// Who mails are from.
pub struct Sender {
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
}

/// One address without a name, as it was checked when it was given.
pub fn recipient(letter: &Letter) -> Result<Address, Failure> {
    letter.to.parse().map_err(|_| Failure::Never("The recipient's address cannot be used.".into()))
}

/// The message in MIME: a text part and an HTML part that say the same.
pub fn message(sender: &Sender, letter: &Letter) -> Result<Message, Failure> {
    let domain = sender.from.email.domain();
    let mut message = Message::builder()
        .from(sender.from.clone())
        .to(Mailbox::new(None, recipient(letter)?))
        .subject(one_line(&letter.subject))
        .message_id(Some(format!("<{}@{domain}>", letter.id)))
        // Out-of-office programs do not answer these (RFC 3834).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()));
    if let Some(reply_to) = &sender.reply_to {
        message = message.reply_to(reply_to.clone());
    }
    message
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
        .map_err(|fault| Failure::Never(format!("The message cannot be written: {fault}.")))
}

/// A subject: what would end the header becomes a space.
pub fn one_line(text: &str) -> String {
    let letters = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let line: String = letters.take(SUBJECT).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(to: &str, subject: &str) -> Letter {
        let (template, to, subject) = ("test".into(), to.into(), subject.into());
        Letter { id: Uuid::nil(), template, to, subject, html: "<p>Grüße</p>".into(), text: "Grüße".into() }
    }

    fn sender() -> Sender {
        Sender { from: "Stoa <stoa@example.com>".parse().unwrap(), reply_to: None }
    }

    #[test]
    fn a_subject_adds_no_header() {
        let text = message(&sender(), &letter("a@example.com", "Hello\r\nBcc: b@example.com\r\n\r\nbody")).unwrap();
        let text = String::from_utf8(text.formatted()).unwrap();
        assert!(!text.contains("\nBcc:"), "{text}");
        assert!(text.contains("Subject: Hello  Bcc: b@example.com"), "{text}");
        assert!(text.contains("Auto-Submitted: auto-generated"), "{text}");
    }

    #[test]
    fn an_address_is_one_address() {
        for to in ["a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com", "A <a@example.com>", "", "a"]
        {
            assert!(message(&sender(), &letter(to, "Hello")).is_err(), "{to}");
        }
    }
}
