//! Mail: composed where something happens, left in the queue with it, handed over by the worker. Invariant: no request
//! waits for a mail server, and a mail leaves if and only if what it tells of was committed.
//!
//! A mail is a struct beside its feature ([`Mail`]) with a template in `templates/mail/`. In reading order: `template`
//! makes the two parts, `letter` the message, `transport` the ways out: `smtp`, and `http` with `sigv4` for Amazon SES
//! and SendGrid.

mod http;
mod letter;
mod sigv4;
mod smtp;
mod template;
mod transport;

pub use letter::{Letter, SendMail};
pub use template::Parts;

use crate::{
    config::Config,
    error::{Error, Result},
    platform::{
        database::Transaction,
        jobs::{Failure, Jobs},
    },
};
use lettre::message::Mailbox;
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;
use transport::Transport;
use uuid::Uuid;

/// A mail before it is written: what its template is told.
pub trait Mail: Serialize {
    /// The name of its file in `templates/mail/`.
    const TEMPLATE: &'static str;

    fn subject(&self) -> String;
}

/// Composes mails and hands them over.
pub struct Mailer {
    jobs: Jobs,
    transport: Transport,
    sender: letter::Sender,
    timeout: Duration,
    base_url: String,
}

impl Mailer {
    /// Reads the settings; the error says which cannot be used. Connects to nobody.
    pub fn new(config: &Config, jobs: &Jobs) -> Result<Self> {
        let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|fault| Error::ours(format!("mail.from: {fault}")));
        Ok(Mailer {
            jobs: jobs.clone(),
            transport: Transport::new(config)?,
            sender: letter::Sender {
                from: mailbox(&config.mail.from)?,
                reply_to: config.mail.reply_to.as_deref().map(mailbox).transpose()?,
            },
            timeout: Duration::from_millis(config.mail.timeout_ms),
            base_url: config.base_url(),
        })
    }

    /// Leaves a mail in the transaction. Mail about an organization or a membership belongs to that organization, whose
    /// administrators see that it was sent; mail about a person's account belongs to none.
    pub async fn enqueue(
        &self,
        tx: &mut Transaction,
        organization: Option<Uuid>,
        to: &str,
        mail: &impl Mail,
    ) -> Result<()> {
        self.jobs.enqueue(tx, organization, &SendMail { letter: self.write(to, mail)? }).await
    }

    /// A mail as it would be sent.
    pub fn write<M: Mail>(&self, to: &str, mail: &M) -> Result<Letter> {
        let Parts { html, text } = template::render(mail, &self.base_url)?;
        let (template, subject) = (M::TEMPLATE.to_owned(), letter::one_line(&mail.subject()));
        Ok(Letter { id: Uuid::now_v7(), template, to: to.to_owned(), subject, html, text })
    }

    /// Hands a mail over; answers what the other side said.
    pub async fn send(&self, letter: &Letter) -> Result<String, Failure> {
        let late = || Failure::Later(format!("No answer within {} ms.", self.timeout.as_millis()));
        timeout(self.timeout, self.transport.send(&self.sender, letter)).await.unwrap_or_else(|_| Err(late()))
    }

    /// Whether mails can be handed over, without sending one: what the other side said, or what is wrong.
    pub async fn check(&self) -> Result<String, String> {
        let late = || format!("no answer within {} ms", self.timeout.as_millis());
        timeout(self.timeout, self.transport.check()).await.unwrap_or_else(|_| Err(late()))
    }

    /// The way mails leave, in a word.
    pub fn transport(&self) -> &'static str {
        self.transport.name()
    }
}

/// The error with its causes.
fn words(fault: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (fault.to_string(), fault.source());
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
