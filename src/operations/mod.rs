//! What administrators keep an eye on: jobs and mails.

pub mod job;
mod mail;

pub use mail::MailTemplate;

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct OperationsQuery(job::JobQuery, mail::MailQuery);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct OperationsMutation(job::JobMutation, mail::MailMutation);
