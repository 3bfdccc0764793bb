//! Mail by the HTTP interfaces of Amazon SES (version 2) and SendGrid (version 3). Invariant: only an answer that the
//! provider documents as acceptance counts as one.

use super::{
    letter::{self, Letter, Sender},
    sigv4::{self, Key, Signable},
    words,
};
use crate::{
    config::{MailConfig, Secret},
    error::{Error, Result},
    platform::{
        jobs::Failure,
        outbound::{self, Client},
    },
};
use chrono::Utc;
use http_body_util::Full;
use hyper::{Request, StatusCode, http::request::Builder};
use lettre::Message;
use serde_json::{Value, json};
use url::Url;

/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// Status and the beginning of the body.
async fn ask(client: &Client, request: Builder, body: String) -> Result<(StatusCode, String), Failure> {
    let broken =
        |fault: &dyn std::error::Error| Failure::Later(format!("The provider does not answer: {}.", words(fault)));
    let request = request.body(Full::from(body)).map_err(|fault| broken(&fault))?;
    let (status, body) = outbound::ask(client, request, ANSWER).await.map_err(|fault| broken(&*fault))?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// What a refusal means. That the key is wrong or lacks a right is for us to mend, and then the mail can go.
fn refusal(status: StatusCode, why: String) -> Failure {
    let later =
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    let words = format!("The provider answered {}: {why}", status.as_u16());
    if status.is_client_error() && !later.contains(&status) { Failure::Never(words) } else { Failure::Later(words) }
}

/// Amazon SES.
pub struct Ses {
    client: Client,
    url: String,
    /// As it stands in the header `Host`.
    host: String,
    region: String,
    access_key: Secret,
    secret_key: Secret,
}

impl Ses {
    pub fn new(config: &MailConfig) -> Result<Self> {
        let needed = |name: &str| Error::ours(format!("mail.{name} is missing"));
        let region = config.ses_region.clone().ok_or_else(|| needed("ses_region"))?;
        let url = config.ses_url.clone().unwrap_or_else(|| format!("https://email.{region}.amazonaws.com"));
        let parsed = Url::parse(&url).map_err(Error::ours)?;
        let name = parsed.host_str().ok_or_else(|| needed("ses_url"))?;
        let host = parsed.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        Ok(Ses {
            client: outbound::client()?,
            url,
            host,
            region,
            access_key: config.ses_access_key.clone().ok_or_else(|| needed("ses_access_key"))?,
            secret_key: config.ses_secret_key.clone().ok_or_else(|| needed("ses_secret_key"))?,
        })
    }

    /// `SendEmail` with the whole message.
    pub async fn send(&self, message: &Message) -> Result<String, Failure> {
        let body = json!({ "Content": { "Raw": { "Data": sigv4::base64(&message.formatted()) } } }).to_string();
        let (status, answer) = self.ask("POST", "/v2/email/outbound-emails", body).await?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        match answer["MessageId"].as_str() {
            Some(id) if status == StatusCode::OK => Ok(format!("accepted as {id}")),
            _ if status == StatusCode::OK => Err(Failure::Later("The provider's answer names no message.".into())),
            _ => {
                let why = answer["message"].as_str().or(answer["Message"].as_str()).unwrap_or("no reason given");
                Err(refusal(status, why.to_owned()))
            }
        }
    }

    /// `GetAccount`: whether the keys are good, and whether sending is paused.
    pub async fn check(&self) -> Result<String, String> {
        match self.ask("GET", "/v2/email/account", String::new()).await {
            Ok((StatusCode::OK, answer)) => {
                let account: Value = serde_json::from_str(&answer).unwrap_or_default();
                match account["SendingEnabled"] {
                    Value::Bool(true) => Ok(format!("Amazon SES in {} takes mail", self.region)),
                    _ => Err(format!("Amazon SES in {} has paused sending for this account", self.region)),
                }
            }
            Ok((status, _)) => Err(format!("Amazon SES answered {status}")),
            Err(failure) => Err(failure.why()),
        }
    }

    async fn ask(&self, method: &'static str, path: &str, body: String) -> Result<(StatusCode, String), Failure> {
        let now = Utc::now();
        let stamp = sigv4::stamp(now);
        let key = Key {
            access_key: self.access_key.expose(),
            secret_key: self.secret_key.expose(),
            region: &self.region,
            service: "ses",
        };
        let headers = [("content-type", "application/json"), ("host", &*self.host), ("x-amz-date", &*stamp)];
        let signable = Signable { method, path, headers: &headers, body: body.as_bytes() };
        let authorization = sigv4::authorization(&key, &signable, now);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("host", &self.host)
            .header("content-type", "application/json")
            .header("x-amz-date", stamp)
            .header("authorization", authorization);
        ask(&self.client, request, body).await
    }
}

/// SendGrid.
pub struct SendGrid {
    client: Client,
    url: String,
    key: Secret,
}

impl SendGrid {
    pub fn new(config: &MailConfig) -> Result<Self> {
        let key = config.sendgrid_key.clone().ok_or_else(|| Error::ours("mail.sendgrid_key is missing"))?;
        Ok(SendGrid { client: outbound::client()?, url: config.sendgrid_url.clone(), key })
    }

    pub async fn send(&self, sender: &Sender, letter: &Letter) -> Result<String, Failure> {
        let person = |mailbox: &lettre::message::Mailbox| match &mailbox.name {
            Some(name) => json!({ "email": mailbox.email.to_string(), "name": name }),
            None => json!({ "email": mailbox.email.to_string() }),
        };
        let mut mail = json!({
            "personalizations": [{ "to": [{ "email": letter::recipient(letter)?.to_string() }] }],
            "from": person(&sender.from),
            "subject": letter::one_line(&letter.subject),
            "content": [
                { "type": "text/plain", "value": letter.text },
                { "type": "text/html", "value": letter.html },
            ],
            "headers": { "Auto-Submitted": "auto-generated" },
            "custom_args": { "letter": letter.id },
            // Links hold one-time tokens: they are nobody else's to count.
            "tracking_settings": {
                "click_tracking": { "enable": false, "enable_text": false },
                "open_tracking": { "enable": false },
            },
        });
        if let Some(reply_to) = &sender.reply_to {
            mail["reply_to"] = person(reply_to);
        }
        let request = self.request("POST", "/v3/mail/send").header("content-type", "application/json");
        let (status, answer) = ask(&self.client, request, mail.to_string()).await?;
        if status == StatusCode::ACCEPTED {
            return Ok("accepted".into());
        }
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let why = answer["errors"][0]["message"].as_str().unwrap_or("no reason given");
        Err(refusal(status, why.to_owned()))
    }

    /// Whether the key may send.
    pub async fn check(&self) -> Result<String, String> {
        match ask(&self.client, self.request("GET", "/v3/scopes"), String::new()).await {
            Ok((StatusCode::OK, answer)) => {
                let scopes: Value = serde_json::from_str(&answer).unwrap_or_default();
                let sends = scopes["scopes"].as_array().is_some_and(|all| all.iter().any(|scope| scope == "mail.send"));
                let lacks = || "SendGrid's key lacks the right mail.send".to_owned();
                if sends { Ok("SendGrid takes mail".to_owned()) } else { Err(lacks()) }
            }
            Ok((status, _)) => Err(format!("SendGrid answered {status}")),
            Err(failure) => Err(failure.why()),
        }
    }

    fn request(&self, method: &'static str, path: &str) -> Builder {
        let authorization = format!("Bearer {}", self.key.expose());
        Request::builder().method(method).uri(format!("{}{path}", self.url)).header("authorization", authorization)
    }
}
