//! Mail as administrators see it: whether it leaves, and how each one looks. Invariant: a preview is made of invented
//! people; nobody's mail is shown to somebody else.

use crate::{
    error::Result,
    identity::mails::*,
    kit::{
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        scalars::EmailAddress,
        scope::Scope,
        user_error::UserError,
    },
    platform::mail::{Letter, Mail},
    schema::organizations,
};
use async_graphql::{Context, Enum, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

/// Tests of an organization within a minute: each is a mail to somebody who may not have asked.
const TESTS_PER_MINUTE: u32 = 5;

/// Shows that mail leaves.
#[derive(Serialize)]
struct TestMail {
    organization: String,
}

impl Mail for TestMail {
    const TEMPLATE: &'static str = "test";

    fn subject(&self) -> String {
        format!("A test from {}", self.organization)
    }
}

/// The mails that Stoa sends.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTemplate {
    /// After too many wrong passwords.
    AccountLocked,
    /// To the old address, when the address of an account has changed.
    EmailChanged,
    /// To an address that is to become that of an account, with a link to confirm it.
    EmailConfirm,
    /// After a provider was linked, by which one can sign in from then on.
    IdentityLinked,
    /// To somebody who is invited into the organization.
    Invitation,
    /// After a sign-in from a device that was not seen before.
    NewSignIn,
    /// To the owners of an organization that was deleted, with a link to restore it.
    OrganizationDeleted,
    /// After the password was changed.
    PasswordChanged,
    /// With a link to choose a new password.
    PasswordReset,
    /// After a session was ended because its refresh token was used twice.
    RefreshReused,
    /// What `mailTest` sends.
    Test,
    /// After two-factor sign-in was switched on or off.
    TwoFactorChanged,
    /// After registration, with a link to confirm the address.
    Welcome,
}

/// A mail as it would be sent to an invented person.
#[derive(SimpleObject)]
pub struct MailPreview {
    /// The subject.
    pub subject: String,
    /// The HTML part: a whole document.
    pub html: String,
    /// The text part, which says the same.
    pub text: String,
}

/// Whom to send a test to.
#[derive(InputObject)]
pub struct MailTestInput {
    /// Where the test goes.
    to: EmailAddress,
}

/// What came of `mailTest`.
#[derive(SimpleObject)]
pub struct MailTestPayload {
    /// Whether the mail server or provider has taken the mail. It may still bounce later.
    accepted: bool,
    /// The way that mails leave: `file`, `SMTP`, `Amazon SES` or `SendGrid`.
    transport: &'static str,
    /// What the other side said, or why the mail did not leave.
    answer: String,
    /// Always empty: a refusal is no mistake of the input.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// Queries.
#[derive(Default)]
pub struct MailQuery;

#[Object]
impl MailQuery {
    /// How a mail looks, with an invented person's data.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on ORGANIZATION.
    async fn mail_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which mail.")] template: MailTemplate,
    ) -> Option<MailPreview> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            scope.actor.demand(Resource::Organization, Action::Update)?;
            let Letter { subject, html, text, .. } = sample(scope, template)?;
            Ok(Some(MailPreview { subject, html, text }))
        })
        .await
    }
}

/// Mutations.
#[derive(Default)]
pub struct MailMutation;

#[Object]
impl MailMutation {
    /// Sends a test, at once and not by a job, and answers what the mail server or provider said.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on ORGANIZATION; RATE_LIMITED after 5 within a minute.
    async fn mail_test(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to send it to.")] input: MailTestInput,
    ) -> Option<MailTestPayload> {
        or_null(ctx, async { test(scope(ctx)?, input).await.map(Some) }).await
    }
}

async fn test(scope: &Scope, input: MailTestInput) -> Result<MailTestPayload> {
    let (app, actor) = (&scope.app, &scope.actor);
    actor.demand(Resource::Organization, Action::Update)?;
    actor.demand_verified()?;
    app.throttle.take("mail test", &actor.organization.to_string(), TESTS_PER_MINUTE, TESTS_PER_MINUTE).await?;
    let organization = name_of_organization(scope).await?;
    let letter = app.mail.write(&input.to.0, &TestMail { organization })?;
    let (accepted, answer) = match app.mail.send(&letter).await {
        Ok(answer) => (true, answer),
        Err(failure) => (false, failure.why()),
    };
    let transport = app.mail.transport();
    Ok(MailTestPayload { accepted, transport, answer, user_errors: Vec::new(), query: Default::default() })
}

async fn name_of_organization(scope: &Scope) -> Result<String> {
    let mut conn = scope.reader().await?;
    let organization = organizations::table.find(scope.actor.organization).select(organizations::name);
    Ok(organization.first(&mut *conn).await?)
}

fn sample(scope: &Scope, template: MailTemplate) -> Result<Letter> {
    let (mail, to) = (&scope.app.mail, "ada@example.com");
    let (name, organization) = (|| "Ada Lovelace".to_owned(), || "Analytical Engines".to_owned());
    let link = |path: &str| format!("{}/{path}", scope.app.config.base_url());
    match template {
        MailTemplate::AccountLocked => mail.write(to, &AccountLocked { name: name(), minutes: 15 }),
        MailTemplate::EmailChanged => mail.write(to, &EmailChanged { name: name(), email: "ada@example.org".into() }),
        MailTemplate::EmailConfirm => {
            let email = "ada@example.org".into();
            mail.write(to, &EmailConfirm { name: name(), email, link: link("verify?token=example"), hours: 24 })
        }
        MailTemplate::IdentityLinked => mail.write(to, &IdentityLinked { name: name(), provider: organization() }),
        MailTemplate::Invitation => mail.write(
            to,
            &Invitation {
                inviter: "Charles Babbage".into(),
                organization: organization(),
                role: "manager".into(),
                link: link("invitation?token=example"),
                days: 7,
            },
        ),
        MailTemplate::NewSignIn => mail.write(
            to,
            &NewSignIn {
                name: name(),
                at: "10 December 2026, 09:15 (Europe/London)".into(),
                address: "192.0.2.7".into(),
                device: "Firefox on Linux".into(),
            },
        ),
        MailTemplate::OrganizationDeleted => mail.write(
            to,
            &OrganizationDeleted {
                name: name(),
                deleter: "Charles Babbage".into(),
                organization: organization(),
                day: "10 December 2026".into(),
                link: link("restore?token=example"),
            },
        ),
        MailTemplate::PasswordChanged => mail.write(to, &PasswordChanged { name: name() }),
        MailTemplate::PasswordReset => {
            mail.write(to, &PasswordReset { name: name(), link: link("password?token=example"), minutes: 60 })
        }
        MailTemplate::RefreshReused => mail.write(to, &RefreshReused { name: name(), organization: organization() }),
        MailTemplate::Test => mail.write(to, &TestMail { organization: organization() }),
        MailTemplate::TwoFactorChanged => mail.write(to, &TwoFactorChanged { name: name(), enabled: true }),
        MailTemplate::Welcome => mail.write(to, &Welcome { name: name(), link: link("verify?token=example") }),
    }
}
