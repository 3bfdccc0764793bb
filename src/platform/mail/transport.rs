//! The ways a mail leaves. Invariant: whatever the other side does, the answer is one of three: it has the mail, it may
//! have it later, it never will.

use super::{
    http::{SendGrid, Ses},
    letter::{self, Letter, Sender},
    smtp::Smtp,
};
use crate::{
    config::{Config, MailTransport},
    error::Result,
    platform::jobs::Failure,
};
use std::{io, path::PathBuf};
use uuid::Uuid;

/// Where mails go.
pub enum Transport {
    /// Files that people open with their mail program.
    File(PathBuf),
    Smtp(Box<Smtp>),
    Ses(Box<Ses>),
    SendGrid(Box<SendGrid>),
}

impl Transport {
    pub fn new(config: &Config) -> Result<Self> {
        Ok(match config.mail.transport {
            MailTransport::File => Transport::File(config.data_dir.join("mail")),
            MailTransport::Smtp => Transport::Smtp(Box::new(Smtp::new(&config.mail)?)),
            MailTransport::Ses => Transport::Ses(Box::new(Ses::new(&config.mail)?)),
            MailTransport::Sendgrid => Transport::SendGrid(Box::new(SendGrid::new(&config.mail)?)),
        })
    }

    pub fn name(&self) -> &'static str {
        match self {
            Transport::File(_) => "file",
            Transport::Smtp(_) => "SMTP",
            Transport::Ses(_) => "Amazon SES",
            Transport::SendGrid(_) => "SendGrid",
        }
    }

    /// Hands a mail over; answers what the other side said.
    pub async fn send(&self, sender: &Sender, letter: &Letter) -> Result<String, Failure> {
        match self {
            Transport::File(folder) => {
                let message = letter::message(sender, letter)?.formatted();
                let file = folder.join(format!("{}.eml", letter.id));
                write(folder.clone(), file.clone(), message).await.map_err(|fault| {
                    tracing::warn!(%fault, folder = %folder.display(), "a mail could not be written");
                    Failure::Later("The file could not be written.".into())
                })?;
                Ok(format!("written to mail/{}.eml below the data directory", letter.id))
            }
            Transport::Smtp(smtp) => smtp.send(&letter::message(sender, letter)?).await,
            Transport::Ses(ses) => ses.send(&letter::message(sender, letter)?).await,
            Transport::SendGrid(sendgrid) => sendgrid.send(sender, letter).await,
        }
    }

    /// Whether the other side would take a mail.
    pub async fn check(&self) -> Result<String, String> {
        match self {
            Transport::File(folder) => {
                let trial = folder.join(format!(".{}", Uuid::new_v4()));
                let written = write(folder.clone(), trial.clone(), Vec::new()).await;
                let removed = tokio::fs::remove_file(&trial).await;
                match written.and(removed) {
                    Ok(()) => Ok(format!("files in {}; nothing leaves", folder.display())),
                    Err(fault) => Err(format!("{} cannot be written to: {fault}", folder.display())),
                }
            }
            Transport::Smtp(smtp) => smtp.check().await,
            Transport::Ses(ses) => ses.check().await,
            Transport::SendGrid(sendgrid) => sendgrid.check().await,
        }
    }
}

/// Whole or not at all: whoever watches the folder finds no half mail.
async fn write(folder: PathBuf, file: PathBuf, bytes: Vec<u8>) -> io::Result<()> {
    tokio::fs::create_dir_all(&folder).await?;
    let unfinished = file.with_extension("part");
    tokio::fs::write(&unfinished, bytes).await?;
    tokio::fs::rename(&unfinished, &file).await
}
