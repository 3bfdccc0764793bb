//! Templates: one file a mail, from which both parts are made. Invariant: what a mail is told is escaped in its HTML
//! part, and its text part says the same.
//!
//! A template speaks in paragraphs, facts and buttons (`parts.html`, `parts.txt`); the layouts are around it.

use super::Mail;
use crate::error::{Error, Result};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use std::sync::LazyLock;

macro_rules! templates {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../../templates/mail/", $name, ".jinja")))),*]
    };
}

/// The mails. Each is compiled twice: as HTML and as text.
const MAILS: [(&str, &str); 13] = templates![
    "account_locked",
    "email_changed",
    "email_confirm",
    "identity_linked",
    "invitation",
    "new_sign_in",
    "organization_deleted",
    "password_changed",
    "password_reset",
    "refresh_reused",
    "test",
    "two_factor_changed",
    "welcome"
];

/// What is around and within all of them.
const COMMON: [(&str, &str); 4] = [
    ("layout.html", include_str!("../../../templates/mail/layout.html")),
    ("layout.txt", include_str!("../../../templates/mail/layout.txt")),
    ("parts.html", include_str!("../../../templates/mail/parts.html")),
    ("parts.txt", include_str!("../../../templates/mail/parts.txt")),
];

static TEMPLATES: LazyLock<Result<Environment<'static>, minijinja::Error>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    for (name, source) in COMMON {
        environment.add_template(name, source)?;
    }
    for (name, source) in MAILS {
        environment.add_template_owned(format!("{name}.html"), source)?;
        environment.add_template_owned(format!("{name}.txt"), source)?;
    }
    Ok(environment)
});

/// The two parts of a mail.
#[derive(Clone, Debug)]
pub struct Parts {
    pub html: String,
    pub text: String,
}

/// Makes both parts. `base_url` is where people reach this Stoa.
pub fn render<M: Mail>(mail: &M, base_url: &str) -> Result<Parts> {
    let environment = TEMPLATES.as_ref().map_err(|fault| Error::ours(fault.to_string()))?;
    let told = Value::from_serialize(mail);
    let part = |kind: &str| -> Result<String, minijinja::Error> {
        let own = context! { parts => format!("parts.{kind}"), base_url, subject => mail.subject(), ..told.clone() };
        let content = environment.get_template(&format!("{}.{kind}", M::TEMPLATE))?.render(&own)?;
        let around = context! { content => Value::from_safe_string(content.trim().to_owned()), ..own };
        environment.get_template(&format!("layout.{kind}"))?.render(around)
    };
    // The debug form names the template and the line.
    let part = |kind| part(kind).map_err(|fault| Error::ours(format!("{fault:#}")));
    Ok(Parts { html: part("html")?, text: plain(&part("txt")?) })
}

/// At most one empty line in a row, and a line break at the end.
fn plain(text: &str) -> String {
    let mut lines: Vec<&str> = text.trim().lines().collect();
    lines.dedup_by(|line, before| line.trim().is_empty() && before.trim().is_empty());
    lines.push("");
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize)]
    struct Hello {
        organization: String,
    }

    impl Mail for Hello {
        const TEMPLATE: &'static str = "test";

        fn subject(&self) -> String {
            "A & B".into()
        }
    }

    #[test]
    fn values_are_escaped_where_that_matters_and_only_there() {
        let mail = Hello { organization: "<b>Fish & Chips</b>".into() };
        let parts = render(&mail, "https://stoa.example.com").unwrap();
        assert!(parts.html.contains("&lt;b&gt;Fish &amp; Chips&lt;") && !parts.html.contains("<b>Fish"));
        assert!(parts.html.contains("<title>A &amp; B</title>"), "{}", parts.html);
        assert!(parts.text.contains("<b>Fish & Chips</b>"), "{}", parts.text);
        assert!(!parts.text.contains("<p"), "{}", parts.text);
    }

    #[test]
    fn every_file_is_a_mail_that_is_known() {
        let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/mail"))
            .unwrap()
            .filter_map(|entry| {
                entry.unwrap().file_name().into_string().unwrap().strip_suffix(".jinja").map(str::to_owned)
            })
            .collect();
        files.sort();
        assert_eq!(files, MAILS.map(|(name, _)| name));
        assert!(TEMPLATES.is_ok());
    }
}
