//! The settings of mail. Invariant: a transport that is chosen has what it needs.

use super::{
    Secret,
    check::{self, Check},
};
use serde::{Deserialize, Serialize};

/// How mails leave.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    pub transport: MailTransport,
    /// Who mails are from: an address, or `Name <address>`.
    pub from: String,
    /// Where answers go; none: to `from`.
    pub reply_to: Option<String>,
    /// How long one mail may take to be handed over, in milliseconds.
    pub timeout_ms: u64,
    /// The SMTP server; none: mail.transport must not be `smtp`.
    pub smtp_host: Option<String>,
    /// Its port; none: 587, or 465 with TLS from the beginning, or 25 without any.
    pub smtp_port: Option<u16>,
    pub smtp_security: SmtpSecurity,
    pub smtp_user: Option<String>,
    pub smtp_password: Option<Secret>,
    /// The AWS region of Amazon SES, such as `eu-central-1`.
    pub ses_region: Option<String>,
    pub ses_access_key: Option<Secret>,
    pub ses_secret_key: Option<Secret>,
    /// Where Amazon SES answers; none: by the region.
    pub ses_url: Option<String>,
    pub sendgrid_key: Option<Secret>,
    /// Where SendGrid answers.
    pub sendgrid_url: String,
}

impl Default for MailConfig {
    fn default() -> Self {
        MailConfig {
            transport: MailTransport::File,
            from: "Stoa <stoa@localhost>".into(),
            reply_to: None,
            timeout_ms: 20_000,
            smtp_host: None,
            smtp_port: None,
            smtp_security: SmtpSecurity::Starttls,
            smtp_user: None,
            smtp_password: None,
            ses_region: None,
            ses_access_key: None,
            ses_secret_key: None,
            ses_url: None,
            sendgrid_key: None,
            sendgrid_url: "https://api.sendgrid.com".into(),
        }
    }
}

impl MailConfig {
    pub(super) fn check(&self, check: &mut Check) {
        let address = "must be an address such as Stoa <stoa@example.com>";
        check.that("from", check::is_mailbox(&self.from), address);
        check.that("reply_to", self.reply_to.as_deref().is_none_or(check::is_mailbox), address);
        check.within("timeout_ms", self.timeout_ms, 100..=280_000);
        check.that("smtp_port", self.smtp_port != Some(0), "must not be 0");
        let pair = self.smtp_user.is_some() == self.smtp_password.is_some();
        check.that("smtp_password", pair, "goes with mail.smtp_user: give both or neither");
        for (name, url) in [("ses_url", self.ses_url.as_deref()), ("sendgrid_url", Some(&*self.sendgrid_url))] {
            let is_base = |url: &str| check::is_web_url(url) && !url.ends_with('/');
            check.that(name, url.is_none_or(is_base), "must look like https://host, without a slash at the end");
        }
        let region = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        check.that("ses_region", self.ses_region.as_deref().is_none_or(region), "must be a name such as eu-central-1");
        let transport = self.transport;
        let mut needs = |which, name: &str, given: bool| {
            let word = format!("is needed with mail.transport = \"{transport:?}\"").to_lowercase();
            check.that(name, transport != which || given, word);
        };
        needs(MailTransport::Smtp, "smtp_host", self.smtp_host.is_some());
        needs(MailTransport::Ses, "ses_region", self.ses_region.is_some());
        needs(MailTransport::Ses, "ses_access_key", self.ses_access_key.is_some());
        needs(MailTransport::Ses, "ses_secret_key", self.ses_secret_key.is_some());
        needs(MailTransport::Sendgrid, "sendgrid_key", self.sendgrid_key.is_some());
    }
}

/// Which way mails leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTransport {
    /// As files below the data directory: nothing leaves.
    File,
    Smtp,
    /// Amazon SES, by its HTTP interface.
    Ses,
    /// SendGrid, by its HTTP interface.
    Sendgrid,
}

/// How a connection to an SMTP server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// Begins in the clear and must become TLS before anything is said.
    Starttls,
    /// TLS from the beginning.
    Tls,
    /// In the clear: only for a server on the same machine or network.
    None,
}
