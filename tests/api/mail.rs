//! Mail: it leaves with what it tells of, whatever the other side does, and says only what it should.

use crate::kit::{
    Founder, Server, code, data,
    mail::{Manner, Provider, Received, Smtp, until, working},
    user_errors,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use stoa::config::{Config, MailTransport, SmtpSecurity};

const PASSWORD: &str = "nine purple otters juggle";
const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) {
    session { accessToken refreshToken } userErrors { code } } }";

async fn login(server: &Server, who: &Founder, password: &str) -> Value {
    server.graphql(LOGIN, json!({ "input": { "email": who.email, "password": password } }), None).await
}

/// Uses a refresh token twice, of which the member is told; a job of the organization.
async fn reuse(server: &Server, who: &Founder) {
    let answer = login(server, who, PASSWORD).await;
    let token = data(&answer, "login.session.refreshToken");
    let query = "mutation($input: SessionRefreshInput!) { sessionRefresh(input: $input) { userErrors { code } } }";
    for refused in [0, 1] {
        let answer = server.graphql(query, json!({ "input": { "refreshToken": token } }), None).await;
        assert_eq!(data(&answer, "sessionRefresh.userErrors").as_array().unwrap().len(), refused, "{answer}");
        // Longer ago than a lost answer is made good.
        server.sql("UPDATE refresh_tokens SET used_at = used_at - interval '11 seconds'").await;
    }
}

/// The organization's only job, when it has come so far.
async fn job(server: &Server, who: &Founder, status: &str) -> Value {
    until(status, async || {
        let query = "{ jobs { nodes { id kind about status attempts lastError runAt createdAt finishedAt } } }";
        let jobs = server.graphql(query, json!({}), Some(who)).await;
        data(&jobs, "jobs.nodes").as_array().unwrap().iter().find(|job| job["status"] == status).cloned()
    })
    .await
}

/// A part of a mail, decoded.
fn part(mail: &Received, kind: &str) -> String {
    let part =
        mail.data.split(&format!("Content-Type: {kind}")).nth(1).unwrap_or_else(|| panic!("no {kind}: {}", mail.data));
    let body = part.split_once("\n\n").unwrap().1;
    // The boundary ends it; a signature begins with two hyphens as well, and a space.
    let lines = body.lines().take_while(|line| !line.starts_with("--") || *line == "--=20");
    let body = lines.collect::<Vec<_>>().join("\n");
    body.replace("=\n", "").replace("=3D", "=").replace("=22", "\"")
}

#[tokio::test]
async fn a_mail_arrives_with_both_parts_and_nothing_of_it_stays() {
    let smtp = Smtp::start().await;
    let server = working(|config| {
        smtp.settings(config);
        config.mail.from = "Stoa <stoa@example.com>".into();
        config.mail.reply_to = Some("help@example.com".into());
        config.mail.smtp_user = Some("me".into());
        config.mail.smtp_password = Some("hunter2".to_owned().into());
        config.public_url = Some("https://stoa.example.com".into());
    })
    .await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    let mail = smtp.mail().await;
    assert_eq!(mail.from, "MAIL FROM:<stoa@example.com>");
    assert_eq!(mail.to, [format!("RCPT TO:<{}>", who.email)]);
    assert_eq!(STANDARD.decode(mail.auth.as_deref().unwrap()).unwrap(), b"\0me\0hunter2");
    for header in [
        "From: Stoa <stoa@example.com>",
        "Reply-To: help@example.com",
        "Auto-Submitted: auto-generated",
        "Subject: A session was ended for safety",
        "Message-ID: <",
        "Date: ",
    ] {
        assert!(mail.data.contains(header), "{header} in {}", mail.data);
    }
    let (text, html) = (part(&mail, "text/plain"), part(&mail, "text/html"));
    assert!(text.starts_with("Hello Ada Founder,\n") && text.contains("https://stoa.example.com"), "{text}");
    assert!(html.contains("Hello Ada Founder,</p>") && html.contains("<table"), "{html}");

    let done = job(&server, &who, "DONE").await;
    assert_eq!((&done["kind"], &done["attempts"]), (&json!("mail"), &json!(1)));
    assert_eq!(done["about"], json!(format!("refresh_reused to {}", who.email)));
    assert_eq!(server.count("SELECT count(*) FROM jobs WHERE kind = 'mail' AND payload IS NOT NULL").await, 0);
    assert_eq!(smtp.mails.lock().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn who_is_locked_out_is_told_once_and_nobody_else_sees_it() {
    let smtp = Smtp::start().await;
    let server = working(|config| {
        smtp.settings(config);
        config.identity.max_failures = 2;
        config.identity.lock_seconds = 2;
    })
    .await;
    let who = server.founder().await;
    for _ in 0..2 {
        login(&server, &who, "not the password").await;
    }
    let mail = smtp.mail().await;
    assert!(mail.to[0].contains(&who.email) && mail.data.contains("Subject: Your account is locked for now"));
    assert!(part(&mail, "text/plain").contains("For the next minute nobody"), "{}", part(&mail, "text/plain"));
    // An address that nobody has is locked as well, and there is nobody to tell.
    for _ in 0..2 {
        let nobody = json!({ "input": { "email": "nobody@example.com", "password": "not the password" } });
        server.graphql(LOGIN, nobody, None).await;
    }
    let seen = server.graphql("{ jobs { totalCount } }", json!({}), Some(&who)).await;
    assert_eq!(data(&seen, "jobs.totalCount"), 0, "mail about an account is of no organization");
    assert_eq!(smtp.mails.lock().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_changed_password_is_told_and_a_refused_change_is_not() {
    let smtp = Smtp::start().await;
    let server = working(|config| smtp.settings(config)).await;
    let who = server.founder().await;
    let query =
        "mutation($input: PasswordChangeInput!) { passwordChange(input: $input) { userErrors { field code } } }";
    let change = async |from: &str, to: &str| {
        let input = json!({ "input": { "currentPassword": from, "newPassword": to } });
        server.graphql(query, input, Some(&who)).await
    };
    let refused = change(PASSWORD, "short").await;
    assert_eq!(user_errors(&refused, "passwordChange"), ["newPassword TOO_SHORT"]);
    let changed = change(PASSWORD, "eleven yellow badgers waltz").await;
    assert!(user_errors(&changed, "passwordChange").is_empty());
    assert!(smtp.mail().await.data.contains("Subject: Your password was changed"));
    assert_eq!(server.count("SELECT count(*) FROM jobs WHERE kind = 'mail'").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_mail_server_that_misbehaves_delays_the_mail_and_never_the_request() {
    for manner in
        [Manner::Hangs, Manner::Babbles, Manner::Says("451 4.7.1 try again later"), Manner::Says("530 5.7.0 sign in")]
    {
        let smtp = Smtp::start().await;
        smtp.behave(manner.clone());
        let server = working(|config| smtp.settings(config)).await;
        let who = server.founder().await;
        let begin = Instant::now();
        reuse(&server, &who).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{manner:?}");
        let waiting = until("a failed attempt", async || {
            let jobs = server.graphql("{ jobs { nodes { status lastError } } }", json!({}), Some(&who)).await;
            data(&jobs, "jobs.nodes")[0]["lastError"].as_str().map(str::to_owned)
        })
        .await;
        assert!(!waiting.is_empty());
        smtp.behave(Manner::Accepts);
        assert!(smtp.mail().await.to[0].contains(&who.email), "{manner:?}");
        let done = job(&server, &who, "DONE").await;
        assert!(done["attempts"].as_i64().unwrap() > 1, "{done}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_mail_server_that_is_away_gets_the_mail_when_it_is_back() {
    let gone = Smtp::start().await;
    let server = working(|config| gone.settings(config)).await;
    gone.stop();
    until("nobody", async || tokio::net::TcpStream::connect(gone.address).await.err()).await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    job(&server, &who, "WAITING").await;
    let back = Smtp::at(gone.address).await;
    assert!(back.mail().await.to[0].contains(&who.email));
    server.stop().await;
}

#[tokio::test]
async fn a_recipient_whom_the_server_refuses_ends_the_mail_with_the_reason() {
    let smtp = Smtp::start().await;
    smtp.behave(Manner::Says("550 5.1.1 no such user here"));
    let server = working(|config| smtp.settings(config)).await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    let dead = job(&server, &who, "DEAD").await;
    assert_eq!(dead["attempts"], 1);
    assert!(dead["lastError"].as_str().unwrap().contains("no such user here"), "{dead}");

    // Somebody mends it and tries again.
    smtp.behave(Manner::Accepts);
    let retry = "mutation($input: JobInput!) { jobRetry(input: $input) { job { status attempts finishedAt } userErrors { code } } }";
    let answer = server.graphql(retry, json!({ "input": { "id": dead["id"] } }), Some(&who)).await;
    assert_eq!(data(&answer, "jobRetry.job"), &json!({ "status": "WAITING", "attempts": 0, "finishedAt": null }));
    smtp.mail().await;
    job(&server, &who, "DONE").await;
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_where_tls_was_asked_for() {
    let smtp = Smtp::start().await;
    let server = working(|config| {
        smtp.settings(config);
        config.mail.smtp_security = SmtpSecurity::Starttls;
        config.mail.smtp_user = Some("me".into());
        config.mail.smtp_password = Some("hunter2".to_owned().into());
    })
    .await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    until("a failed attempt", async || {
        let jobs = server.graphql("{ jobs { nodes { lastError } } }", json!({}), Some(&who)).await;
        data(&jobs, "jobs.nodes")[0]["lastError"].as_str().map(str::to_owned)
    })
    .await;
    assert!(smtp.mails.lock().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn what_users_write_adds_no_header_and_no_recipient() {
    let smtp = Smtp::start().await;
    let server = working(|config| smtp.settings(config)).await;
    let who = server.founder().await;
    let hostile = "Fish\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script>";
    // Past all checks of the API, as if one of them had a hole.
    server
        .session()
        .await
        .execute("UPDATE organizations SET name = $1 WHERE id::text = $2", &[&hostile, &who.organization.to_string()])
        .await
        .unwrap();
    let test = "mutation($input: MailTestInput!) { mailTest(input: $input) { accepted transport answer userErrors { code } } }";
    let answer = server.graphql(test, json!({ "input": { "to": "somebody@example.com" } }), Some(&who)).await;
    assert_eq!(
        data(&answer, "mailTest"),
        &json!({ "accepted": true, "transport": "SMTP", "answer": "250 queued as 42", "userErrors": [] })
    );
    let mail = smtp.mail().await;
    assert_eq!(mail.to, ["RCPT TO:<somebody@example.com>"]);
    let head = mail.data.split_once("\n\n").unwrap().0;
    assert!(!head.contains("\nBcc:"), "{head}");
    assert!(!part(&mail, "text/html").contains("<script>"), "{}", mail.data);

    for to in ["a@example.com\r\nBcc: victim@example.com", "a@example.com, victim@example.com"] {
        let answer = server.graphql(test, json!({ "input": { "to": to } }), Some(&who)).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_test_tells_what_the_server_said_and_only_administrators_may_ask() {
    let smtp = Smtp::start().await;
    smtp.behave(Manner::Says("550 5.7.1 we do not know you"));
    let server = working(|config| smtp.settings(config)).await;
    let who = server.founder().await;
    let test = "mutation { mailTest(input: { to: \"somebody@example.com\" }) { accepted answer } }";
    let answer = server.graphql(test, json!({}), Some(&who)).await;
    assert_eq!(data(&answer, "mailTest.accepted"), false);
    assert!(data(&answer, "mailTest.answer").as_str().unwrap().contains("we do not know you"), "{answer}");
    let member = server.member(&who, "manager", None).await;
    assert_eq!(code(&server.graphql(test, json!({}), Some(&member)).await), "FORBIDDEN");
    let preview = "{ mailPreview(template: INVITATION) { subject } }";
    assert_eq!(code(&server.graphql(preview, json!({}), Some(&member)).await), "FORBIDDEN");
    for _ in 0..4 {
        server.graphql(test, json!({}), Some(&who)).await;
    }
    assert_eq!(code(&server.graphql(test, json!({}), Some(&who)).await), "RATE_LIMITED");
    server.stop().await;
}

#[tokio::test]
async fn every_mail_can_be_looked_at() {
    let server = crate::kit::server().await;
    let who = server.founder().await;
    let types = server.graphql("{ __type(name: \"MailTemplate\") { enumValues { name } } }", json!({}), None).await;
    let templates = data(&types, "__type.enumValues").as_array().unwrap();
    assert_eq!(templates.len(), 13);
    for template in templates {
        let query = "query($template: MailTemplate!) { mailPreview(template: $template) { subject html text } }";
        let answer = server.graphql(query, json!({ "template": template["name"] }), Some(&who)).await;
        let mail = data(&answer, "mailPreview");
        let (subject, html, text) = (&mail["subject"], mail["html"].as_str().unwrap(), mail["text"].as_str().unwrap());
        assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"), "{html}");
        assert!(html.contains(&format!("<title>{}</title>", subject.as_str().unwrap())), "{html}");
        assert!(text.starts_with("Hello") && !text.contains('<') && !text.contains("&#"), "{text}");
        assert!(!text.contains("\n\n\n"), "{text:?}");
    }
}

#[tokio::test]
async fn without_settings_mails_are_files() {
    let server = working(|_| ()).await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    job(&server, &who, "DONE").await;
    let folder = server.app.config.data_dir.join("mail");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].extension().unwrap(), "eml");
    assert!(std::fs::read_to_string(&files[0]).unwrap().contains(&format!("To: {}", who.email)));
    server.stop().await;
}

fn ses(config: &mut Config, url: &str) {
    config.mail.transport = MailTransport::Ses;
    config.mail.ses_region = Some("eu-central-1".into());
    config.mail.ses_access_key = Some("AKIDEXAMPLE".to_owned().into());
    config.mail.ses_secret_key = Some("geheim".to_owned().into());
    config.mail.ses_url = Some(url.into());
}

fn sendgrid(config: &mut Config, url: &str) {
    config.mail.transport = MailTransport::Sendgrid;
    config.mail.sendgrid_key = Some("SG.geheim".to_owned().into());
    config.mail.sendgrid_url = url.into();
}

#[tokio::test]
async fn amazon_ses_gets_the_mail_through_whatever_it_answers_before() {
    let provider = Provider::start(&[
        Manner::Answers(429, r#"{"message":"Maximum sending rate exceeded."}"#),
        Manner::Answers(403, r#"{"message":"The security token included in the request is invalid."}"#),
        Manner::Answers(500, "<html>oops</html>"),
        Manner::Answers(200, "not what is documented"),
        Manner::Hangs,
        Manner::Answers(200, r#"{"MessageId":"0107"}"#),
    ])
    .await;
    let server = working(|config| ses(config, &provider.url)).await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    let asked = provider.asked(6).await;
    let done = job(&server, &who, "DONE").await;
    assert_eq!(done["attempts"], 6);
    for asked in &asked {
        assert_eq!(asked.path, "/v2/email/outbound-emails");
        let signed = asked.headers["authorization"].to_str().unwrap();
        assert!(
            signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
                && signed.contains("/eu-central-1/ses/aws4_request")
        );
        assert!(signed.contains("SignedHeaders=content-type;host;x-amz-date"), "{signed}");
        let message = STANDARD.decode(asked.body["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap();
        assert!(String::from_utf8(message).unwrap().contains(&format!("To: {}", who.email)));
    }
    server.stop().await;
}

#[tokio::test]
async fn amazon_ses_refuses_for_good() {
    let refusal = r#"{"message":"Email address is not verified."}"#;
    let provider = Provider::start(&[Manner::Answers(400, refusal)]).await;
    let server = working(|config| ses(config, &provider.url)).await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    let dead = job(&server, &who, "DEAD").await;
    assert_eq!(dead["lastError"], "The provider answered 400: Email address is not verified.");
    assert_eq!(provider.asked.lock().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn sendgrid_gets_the_mail_through_whatever_it_answers_before() {
    let provider = Provider::start(&[
        Manner::Answers(429, r#"{"errors":[{"message":"too many requests"}]}"#),
        Manner::Answers(401, r#"{"errors":[{"message":"The provided authorization grant is invalid"}]}"#),
        Manner::Answers(503, ""),
        Manner::Answers(200, "<html>a captive portal</html>"),
        Manner::Hangs,
        Manner::Answers(202, ""),
    ])
    .await;
    let server = working(|config| sendgrid(config, &provider.url)).await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    let asked = provider.asked(6).await;
    assert_eq!(job(&server, &who, "DONE").await["attempts"], 6);
    let last = asked.last().unwrap();
    assert_eq!(
        (last.path.as_str(), &last.headers["authorization"]),
        ("/v3/mail/send", &"Bearer SG.geheim".parse().unwrap())
    );
    assert_eq!(last.body["personalizations"], json!([{ "to": [{ "email": who.email }] }]));
    assert_eq!(last.body["tracking_settings"]["click_tracking"]["enable"], false);
    assert_eq!(last.body["content"][0]["type"], "text/plain");
    assert!(last.body["content"][1]["value"].as_str().unwrap().contains("Hello Ada Founder,"));
    server.stop().await;
}

#[tokio::test]
async fn sendgrid_refuses_for_good() {
    let refusal = r#"{"errors":[{"message":"The from address does not match a verified Sender Identity."}]}"#;
    let provider = Provider::start(&[Manner::Answers(400, refusal)]).await;
    let server = working(|config| sendgrid(config, &provider.url)).await;
    let who = server.founder().await;
    reuse(&server, &who).await;
    let dead = job(&server, &who, "DEAD").await;
    assert!(dead["lastError"].as_str().unwrap().contains("verified Sender Identity"), "{dead}");
    server.stop().await;
}
