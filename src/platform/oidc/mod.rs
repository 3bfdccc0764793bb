//! Providers of OpenID Connect (OpenID Connect Core 1.0 and Discovery 1.0, the code flow with PKCE of RFC 7636): who signs
//! in there is told to us in a signed token. Invariant: who is told was asked for by this server, by the provider that was
//! named, for the one attempt; whatever else a provider answers, in whatever time, signs nobody in.

mod claims;
#[cfg(test)]
mod tests;

pub use claims::Identity;

use crate::{
    config::{Config, OidcProvider, Secret, is_safe, millis},
    error::Result,
    platform::outbound::{self, Client},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use claims::Unbelievable;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header, http::request::Builder};
use jsonwebtoken::jwk::Jwk;
use parking_lot::Mutex;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;
use url::{Url, form_urlencoded};

/// Bytes of an answer that are read; what is cut off is no JSON.
const ANSWER: usize = 256 * 1024;
/// How long is believed what a provider says of itself. Another key is noticed at once.
const KEPT: Duration = Duration::from_secs(3600);

/// Why somebody is not told to us.
#[derive(Debug)]
pub enum Refused {
    /// The provider does not take the code: used before, too old, or never given out.
    Code,
    /// The token is not good; why is for the log.
    Unbelievable(String),
    /// The provider does not answer, or not as it should; what it did is for the log.
    Away(String),
}

impl From<Unbelievable> for Refused {
    fn from(why: Unbelievable) -> Self {
        Refused::Unbelievable(why.why)
    }
}

/// What an attempt to sign in is known by, and what binds the answer to it.
pub struct Attempt<'a> {
    pub redirect_uri: &'a str,
    /// Comes back in the token.
    pub nonce: &'a str,
    /// Of PKCE.
    pub verifier: &'a str,
}

/// The providers of the settings.
pub struct Oidc(Vec<Provider>);

impl Oidc {
    pub fn new(config: &Config) -> Result<Self> {
        let make = |settings: &OidcProvider| {
            Ok(Provider {
                settings: settings.clone(),
                client: outbound::client()?,
                timeout: millis(config.identity.oidc_timeout_ms),
                metadata: Mutex::default(),
                keys: Mutex::default(),
            })
        };
        config.identity.oidc.iter().map(make).collect::<Result<_>>().map(Oidc)
    }

    pub fn all(&self) -> &[Provider] {
        &self.0
    }

    pub fn named(&self, name: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.settings.name == name)
    }

    /// The provider that has this `iss`.
    pub fn of_issuer(&self, issuer: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.settings.issuer == issuer)
    }
}

/// Something asked once an hour.
type Kept<T> = Mutex<Option<(Instant, Arc<T>)>>;

pub struct Provider {
    pub settings: OidcProvider,
    client: Client,
    timeout: Duration,
    metadata: Kept<Metadata>,
    keys: Kept<Vec<Jwk>>,
}

/// What a provider says of itself.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    /// None: only the header `Authorization` (Discovery 1.0, section 3).
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// What came for a code.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<Secret>,
}

/// The keys of a provider, each for itself: one of a kind that we do not know spoils no others.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<serde_json::Value>,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Fault {
    error: String,
}

impl Provider {
    /// Where to send the browser.
    pub async fn authorization_url(&self, attempt: &Attempt<'_>, state: &str) -> Result<Url, Refused> {
        let metadata = self.in_time(self.metadata()).await?;
        let mut url = metadata.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", attempt.redirect_uri)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", state)
            .append_pair("nonce", attempt.nonce)
            .append_pair("code_challenge", &claims::challenge(attempt.verifier))
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Who has signed in there, for the code that the browser came back with.
    pub async fn identify(&self, attempt: &Attempt<'_>, code: &str) -> Result<Identity, Refused> {
        let identify = async {
            let metadata = self.metadata().await?;
            let tokens = self.redeem(&metadata, attempt, code).await?;
            let known = self.keys(&metadata, false).await?;
            let checked = match claims::check(&tokens.id_token, &self.settings, &known, attempt.nonce) {
                // With a key that was not there, or was another one, when they were last asked for.
                Err(why) if why.of_strange_key => {
                    let known = self.keys(&metadata, true).await?;
                    claims::check(&tokens.id_token, &self.settings, &known, attempt.nonce)
                }
                checked => checked,
            };
            let identity = checked?;
            match (&identity.email, &metadata.userinfo_endpoint, &tokens.access_token) {
                (None, Some(endpoint), Some(token)) => self.complete(identity, endpoint, token).await,
                _ => Ok(identity),
            }
        };
        self.in_time(identify).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
        let late = |_| Refused::Away(format!("no answer within {} ms", self.timeout.as_millis()));
        timeout(self.timeout, work).await.unwrap_or_else(|end| Err(late(end)))
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, Refused> {
        if let Some(kept) = fresh(&self.metadata) {
            return Ok(kept);
        }
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = self.get(&url, None).await?;
        if metadata.issuer != *issuer {
            return Err(Refused::Away("its discovery document is of another issuer".into()));
        }
        // In the clear only where the issuer is so itself: on this machine.
        let open = issuer.starts_with("http://");
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        if !endpoints.into_iter().chain(&metadata.userinfo_endpoint).all(|url| is_safe(url, open)) {
            return Err(Refused::Away("its discovery document names an address without TLS".into()));
        }
        Ok(keep(&self.metadata, metadata))
    }

    async fn keys(&self, metadata: &Metadata, anew: bool) -> Result<Arc<Vec<Jwk>>, Refused> {
        if let Some(kept) = fresh(&self.keys).filter(|_| !anew) {
            return Ok(kept);
        }
        let keys: Keys = self.get(metadata.jwks_uri.as_str(), None).await?;
        let known = keys.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        Ok(keep(&self.keys, known))
    }

    /// Exchanges the code (RFC 6749, section 4.1.3).
    async fn redeem(&self, metadata: &Metadata, attempt: &Attempt<'_>, code: &str) -> Result<Tokens, Refused> {
        let id = &self.settings.client_id;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", attempt.redirect_uri),
            ("code_verifier", attempt.verifier),
        ];
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(metadata.token_endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let offers = |method: &str| methods.iter().any(|offered| offered == method);
        match &self.settings.client_secret {
            Some(secret) if methods.is_empty() || offers("client_secret_basic") => {
                let coded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let both = STANDARD.encode(format!("{}:{}", coded(id), coded(secret.expose())));
                request = request.header(header::AUTHORIZATION, format!("Basic {both}"));
            }
            Some(secret) => form.extend([("client_id", &**id), ("client_secret", secret.expose())]),
            None => form.push(("client_id", id)),
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let (status, body) = self.ask(request, form).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| Refused::Away("it answers a code with nonsense".into()));
        }
        match serde_json::from_slice::<Fault>(&body) {
            Ok(Fault { error }) if error == "invalid_grant" => Err(Refused::Code),
            Ok(Fault { error }) => Err(Refused::Away(format!("it refuses this server: {error:.100}"))),
            Err(_) => Err(Refused::Away(format!("it answers a code with {status}"))),
        }
    }

    /// Adds the address from where the standard has it in the first place (Core 1.0, sections 5.3 and 5.4).
    async fn complete(&self, identity: Identity, endpoint: &Url, token: &Secret) -> Result<Identity, Refused> {
        let authorization = format!("Bearer {}", token.expose());
        let told = self.get(endpoint.as_str(), Some(authorization)).await?;
        Ok(claims::complete(identity, told)?)
    }

    async fn get<T: DeserializeOwned>(&self, url: &str, authorization: Option<String>) -> Result<T, Refused> {
        let mut request = Request::builder().method(Method::GET).uri(url).header(header::ACCEPT, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let (status, body) = self.ask(request, String::new()).await?;
        if status != StatusCode::OK {
            return Err(Refused::Away(format!("{url} answers {status}")));
        }
        serde_json::from_slice(&body).map_err(|_| Refused::Away(format!("{url} answers nonsense")))
    }

    async fn ask(&self, request: Builder, body: String) -> Result<(StatusCode, Vec<u8>), Refused> {
        let request = request.body(Full::new(Bytes::from(body))).map_err(|fault| Refused::Away(fault.to_string()))?;
        outbound::ask(&self.client, request, ANSWER).await.map_err(|fault| Refused::Away(fault.to_string()))
    }
}

fn fresh<T>(kept: &Kept<T>) -> Option<Arc<T>> {
    kept.lock().as_ref().filter(|(since, _)| since.elapsed() < KEPT).map(|(_, value)| value.clone())
}

fn keep<T>(kept: &Kept<T>, value: T) -> Arc<T> {
    let value = Arc::new(value);
    *kept.lock() = Some((Instant::now(), value.clone()));
    value
}
