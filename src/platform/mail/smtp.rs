//! Mail by SMTP (RFC 5321). Invariant: with "starttls" and "tls" neither password nor mail is sent in the clear.

use super::words;
use crate::{
    config::{MailConfig, SmtpSecurity},
    error::{Error, Result},
    platform::jobs::Failure,
};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
        response::Category,
    },
};
use std::time::Duration;

/// One server.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    host: String,
}

impl Smtp {
    pub fn new(config: &MailConfig) -> Result<Self> {
        let host = config.smtp_host.clone().ok_or_else(|| Error::ours("mail.smtp_host is missing"))?;
        let trust = || TlsParameters::new_rustls(host.clone()).map_err(Error::ours);
        let (tls, usual) = match config.smtp_security {
            SmtpSecurity::Starttls => (Tls::Required(trust()?), 587),
            SmtpSecurity::Tls => (Tls::Wrapper(trust()?), 465),
            SmtpSecurity::None => (Tls::None, 25),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
            .port(config.smtp_port.unwrap_or(usual))
            .tls(tls)
            .timeout(Some(Duration::from_millis(config.timeout_ms)));
        if let (Some(user), Some(password)) = (&config.smtp_user, &config.smtp_password) {
            transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(Smtp { transport: transport.build(), host })
    }

    pub async fn send(&self, message: &Message) -> Result<String, Failure> {
        match self.transport.send_raw(message.envelope(), &message.formatted()).await {
            Ok(response) => Ok(format!("{} {}", response.code(), response.first_line().unwrap_or_default())),
            // 55x speaks of this mail and its recipient; other permanent errors of us, which somebody can mend.
            Err(fault)
                if fault.is_permanent() && fault.status().is_some_and(|code| code.category == Category::MailSystem) =>
            {
                Err(Failure::Never(words(&fault)))
            }
            Err(fault) => Err(Failure::Later(words(&fault))),
        }
    }

    pub async fn check(&self) -> Result<String, String> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(format!("{} takes mail by SMTP", self.host)),
            Ok(false) => Err(format!("{} does not answer as an SMTP server", self.host)),
            Err(fault) => Err(format!("{}: {}", self.host, words(&fault))),
        }
    }
}
