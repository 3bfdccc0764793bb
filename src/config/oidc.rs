//! The settings of the providers of OpenID Connect that people sign in with.

use super::{Secret, check::Check};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use url::{Host, Url};

/// Providers at most: they all stand on the page of sign-in.
const PROVIDERS: usize = 20;
/// What whoever joins by a provider may become. Nobody becomes an administrator by the word of another server.
const ROLES: [&str; 5] = ["manager", "sales_rep", "support", "member", "guest"];

/// A provider: who signs in there is believed to be whom it says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcProvider {
    /// Short and unchanging: a to z, digits, hyphens. Clients name it in `oidcBegin`.
    pub name: String,
    /// As people know it; empty: the name.
    pub label: String,
    /// Exactly as the provider writes it: `iss` of its tokens, where `/.well-known/openid-configuration` is below.
    pub issuer: String,
    /// What this server is registered as.
    pub client_id: String,
    /// None: a public client, which PKCE alone protects.
    pub client_secret: Option<Secret>,
    /// What is asked for; `openid` must be among it.
    pub scopes: Vec<String>,
    /// Where people may come back to: pages of the front end, each compared whole.
    pub redirect_uris: Vec<String>,
    /// Only confirmed addresses of these domains get in; none: all who have an account. `*`: any.
    pub email_domains: Vec<String>,
    /// The short name of the organization that whoever is no member of it joins; none: nobody joins.
    pub organization: Option<String>,
    /// What they are there.
    pub role: String,
}

impl Default for OidcProvider {
    fn default() -> Self {
        OidcProvider {
            name: String::new(),
            label: String::new(),
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
            redirect_uris: Vec::new(),
            email_domains: Vec::new(),
            organization: None,
            role: "member".into(),
        }
    }
}

impl OidcProvider {
    /// As people know it.
    pub fn label(&self) -> &str {
        if self.label.is_empty() { &self.name } else { &self.label }
    }

    fn faults(&self, production: bool) -> Vec<&'static str> {
        let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let reads = |url: &str| Url::parse(url).is_ok_and(|url| is_safe(&url, !production));
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let checks = [
            (
                (1..=40).contains(&self.name.len()) && self.name.chars().all(slug),
                "needs a name of 1 to 40 of the letters a to z, digits and hyphens",
            ),
            (self.label.chars().count() <= 80, "has a label of more than 80 characters"),
            (
                reads(&self.issuer) && !self.issuer.contains(['?', '#']),
                "needs an issuer that begins with https:// (http:// for this machine only, outside production)",
            ),
            (printable(&self.client_id), "needs a client_id"),
            (
                self.client_secret.as_ref().is_none_or(|secret| printable(secret.expose())),
                "has a strange client_secret",
            ),
            (
                self.scopes.iter().any(|scope| scope == "openid") && self.scopes.iter().all(|scope| printable(scope)),
                "needs scopes, openid among them",
            ),
            (
                !self.redirect_uris.is_empty() && self.redirect_uris.iter().all(|uri| reads(uri) && !uri.contains('#')),
                "needs redirect_uris that begin with https:// (http:// for this machine only, outside production)",
            ),
            (
                self.organization.is_none() || !self.email_domains.is_empty(),
                "lets people join an organization: it needs email_domains (\"*\" for everybody that the provider knows)",
            ),
            (ROLES.contains(&&*self.role), "needs a role that is manager, sales_rep, support, member or guest"),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
    }
}

/// Whether secrets may be sent there: over TLS, or within this machine where that is `open`.
pub fn is_safe(url: &Url, open: bool) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let plain = url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" || (open && here && url.scheme() == "http"))
}

/// The faults of all, each with the name of its provider or, without one, its place.
pub(super) fn check(providers: &[OidcProvider], check: &mut Check, production: bool) {
    check.that("oidc", providers.len() <= PROVIDERS, format!("are more than {PROVIDERS}"));
    let mut seen = BTreeSet::new();
    for (place, provider) in providers.iter().enumerate() {
        let called = match provider.name.as_str() {
            "" => format!("number {}", place + 1),
            name => format!("\"{name}\""),
        };
        for fault in provider.faults(production) {
            check.that("oidc", false, format!("the provider {called} {fault}"));
        }
        let named_once = provider.name.is_empty() || seen.insert(&provider.name);
        check.that("oidc", named_once, format!("there are two providers {called}"));
        let same = providers.iter().take(place).any(|before| before.issuer == provider.issuer);
        check.that("oidc", !same, format!("the provider {called} has the issuer of another one"));
    }
}
