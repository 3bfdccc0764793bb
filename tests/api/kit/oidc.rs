//! A provider of OpenID Connect that tests start: it keeps to the standard, or lies and fails as it is told.

use super::{RUNTIME, Server, data};
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::Utc;
use ed25519_dalek::{SigningKey, pkcs8::EncodePrivateKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use stoa::config::{Config, OidcProvider};
use tokio::net::TcpListener;
use url::Url;

/// The page of the front end that browsers come back to.
pub const PAGE: &str = "https://app.example.com/signed-in?by=issuer";
const CLIENT: &str = "stoa & co";
const SECRET: &str = "s3cret:with/signs";

/// How it behaves.
#[derive(Clone, Debug, Default)]
pub enum Manner {
    #[default]
    Honest,
    /// These claims instead (null: without them).
    Claims(Value),
    /// Signs with a key that it does not show, under the name of one that it does.
    ForeignKey,
    /// `alg: none`.
    Unsigned,
    /// Signs with what both sides know.
    Symmetric,
    /// Changes members of its discovery document.
    Metadata(Value),
    /// One path answers this.
    Answers(&'static str, u16, String),
    /// One path takes a request and says nothing.
    Hangs(&'static str),
    /// One path sends on to another address.
    Redirects(&'static str, String),
    /// Says who it is only where that is asked for, and then this.
    UserInfo(Value),
}

/// A key, its name, and as it is shown.
#[derive(Clone)]
pub struct Key(String, Algorithm, EncodingKey, Jwk);

impl Key {
    pub fn ed25519(seed: u8) -> Self {
        let (id, key) = (format!("key {seed}"), SigningKey::from_bytes(&[seed; 32]));
        let public = URL_SAFE_NO_PAD.encode(key.verifying_key());
        let shown = json!({ "kty": "OKP", "crv": "Ed25519", "x": public, "kid": id, "use": "sig" });
        let key = EncodingKey::from_ed_der(key.to_pkcs8_der().expect("a key").as_bytes());
        Key(id, Algorithm::EdDSA, key, serde_json::from_value(shown).expect("a key"))
    }

    pub fn rsa() -> Self {
        Self::of("rsa", Algorithm::RS256, EncodingKey::from_rsa_der(&der(include_str!("keys/rsa.pem"))))
    }

    pub fn ec() -> Self {
        Self::of("ec", Algorithm::ES256, EncodingKey::from_ec_der(&der(include_str!("keys/ec.pem"))))
    }

    /// The same under another name.
    pub fn named(mut self, id: &str) -> Self {
        self.0 = id.to_owned();
        self.3.common.key_id = Some(id.to_owned());
        self
    }

    fn of(id: &str, method: Algorithm, key: EncodingKey) -> Self {
        let mut shown = Jwk::from_encoding_key(&key, method).expect("a key");
        shown.common.key_id = Some(id.to_owned());
        Key(id.to_owned(), method, key, shown)
    }
}

fn der(pem: &str) -> Vec<u8> {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(lines).expect("base64")
}

/// A code that was given out: the parameters of the request, and who has signed in.
type Given = (HashMap<String, String>, Value);

#[derive(Clone)]
pub struct Issuer {
    pub url: String,
    pub manner: Arc<Mutex<Manner>>,
    pub key: Arc<Mutex<Key>>,
    /// Who sits at the browser.
    person: Arc<Mutex<Value>>,
    codes: Arc<Mutex<HashMap<String, Given>>>,
    /// Requests by path.
    pub asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = RUNTIME.spawn(async { TcpListener::bind("127.0.0.1:0").await.expect("a port") });
        let listener = listener.await.expect("a listener");
        let issuer = Issuer {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            manner: Arc::default(),
            key: Arc::new(Mutex::new(Key::ed25519(1))),
            person: Arc::default(),
            codes: Arc::default(),
            asked: Arc::default(),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/keys", get(keys))
            .route("/userinfo", get(userinfo))
            .layer(axum::middleware::from_fn_with_state(issuer.clone(), behave))
            .with_state(issuer.clone());
        RUNTIME.spawn(async { axum::serve(listener, router).await });
        issuer
    }

    /// A server whose people may sign in here.
    pub async fn server(&self, change: impl FnOnce(&mut OidcProvider)) -> Server {
        let mut settings = self.settings();
        change(&mut settings);
        Server::with(|config: &mut Config| config.identity.oidc.push(settings)).await
    }

    pub fn settings(&self) -> OidcProvider {
        OidcProvider {
            name: "issuer".into(),
            label: "Example Inc.".into(),
            issuer: self.url.clone(),
            client_id: CLIENT.into(),
            client_secret: Some(SECRET.to_owned().into()),
            redirect_uris: vec!["https://app.example.com/other".into(), PAGE.into()],
            ..OidcProvider::default()
        }
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    fn is(&self) -> Manner {
        self.manner.lock().clone()
    }

    /// Begins at a server.
    pub async fn begin(&self, server: &Server) -> Value {
        let query = "mutation($input: OidcBeginInput!) { oidcBegin(input: $input) {
            authorizationUrl handle expiresAt userErrors { field code message } } }";
        server.graphql(query, json!({ "input": { "provider": "issuer", "redirectUri": PAGE } }), None).await
    }

    /// Begins at a server, and lets somebody sign in here: what the front end has then, for `oidcComplete`.
    pub async fn visit(&self, server: &Server, person: Value) -> Value {
        let begun = self.begin(server).await;
        let begun = data(&begun, "oidcBegin");
        self.return_from(begun["authorizationUrl"].as_str().expect("an address"), &begun["handle"], person).await
    }

    /// Lets somebody sign in at that address.
    pub async fn return_from(&self, url: &str, handle: &Value, person: Value) -> Value {
        *self.person.lock() = person;
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let answer = browser.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap_or_default());
        let back = answer.headers()["location"].to_str().expect("a text");
        assert!(back.starts_with(&format!("{PAGE}&")), "{back}");
        let mut input = json!({ "handle": handle });
        for (name, value) in Url::parse(back).expect("an address").query_pairs() {
            if name != "by" {
                input[&*name] = json!(value);
            }
        }
        input
    }
}

/// Fails, where it is told to.
async fn behave(
    State(issuer): State<Issuer>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let path = request.uri().path().to_owned();
    *issuer.asked.lock().entry(path.clone()).or_default() += 1;
    match issuer.is() {
        Manner::Answers(at, status, body) if at == path => {
            (StatusCode::from_u16(status).expect("a status"), body).into_response()
        }
        Manner::Hangs(at) if at == path => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK.into_response()
        }
        Manner::Redirects(at, to) if at == path => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        }
        _ => next.run(request).await,
    }
}

async fn discovery(State(issuer): State<Issuer>) -> String {
    let at = |path: &str| format!("{}/{path}", issuer.url);
    let mut known = json!({ "issuer": issuer.url, "authorization_endpoint": at("authorize?tenant=1"),
        "token_endpoint": at("token"), "jwks_uri": at("keys"), "userinfo_endpoint": at("userinfo"),
        "response_types_supported": ["code"] });
    if let Manner::Metadata(changes) = issuer.is() {
        merge(&mut known, &changes);
    }
    known.to_string()
}

fn merge(into: &mut Value, changes: &Value) {
    let into = into.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => _ = into.remove(name),
            value => _ = into.insert(name.clone(), value.clone()),
        }
    }
}

async fn authorize(State(issuer): State<Issuer>, Query(asked): Query<HashMap<String, String>>) -> Response {
    let is = |name: &str, value: &str| asked.get(name).is_some_and(|given| given == value);
    let sound = is("response_type", "code")
        && is("tenant", "1")
        && is("client_id", CLIENT)
        && is("redirect_uri", PAGE)
        && is("scope", "openid email profile")
        && is("code_challenge_method", "S256");
    if !sound {
        return (StatusCode::BAD_REQUEST, format!("{asked:?}")).into_response();
    }
    let code = format!("code/{}", uuid::Uuid::new_v4());
    let mut back = Url::parse(PAGE).expect("an address");
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked["state"]);
    let person = issuer.person.lock().clone();
    issuer.codes.lock().insert(code, (asked, person));
    (StatusCode::SEE_OTHER, [(header::LOCATION, String::from(back))]).into_response()
}

async fn token(State(issuer): State<Issuer>, headers: HeaderMap, body: String) -> Response {
    let asked: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, json!({ "error": error }).to_string()).into_response();
    let coded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", coded(CLIENT), coded(SECRET))));
    let by_header = headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == basic.as_bytes());
    let by_body = asked.get("client_id").is_some_and(|id| id == CLIENT)
        && asked.get("client_secret").is_some_and(|secret| secret == SECRET);
    if by_header == by_body || asked["grant_type"] != "authorization_code" {
        return refused("invalid_client");
    }
    let Some((begun, person)) = issuer.codes.lock().remove(&asked["code"]) else { return refused("invalid_grant") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&asked["code_verifier"]));
    if begun["redirect_uri"] != asked["redirect_uri"] || begun["code_challenge"] != challenge {
        return refused("invalid_grant");
    }
    let now = Utc::now().timestamp();
    let mut claims = json!({ "iss": issuer.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": begun["nonce"] });
    merge(&mut claims, &person);
    let Key(id, method, key, _) = issuer.key.lock().clone();
    let header = |method| Header { kid: Some(id.clone()), ..Header::new(method) };
    let sign = |claims: &Value, method, key: &EncodingKey| {
        jsonwebtoken::encode(&header(method), claims, key).expect("a token")
    };
    let signed = match issuer.is() {
        Manner::Claims(changes) => {
            merge(&mut claims, &changes);
            sign(&claims, method, &key)
        }
        Manner::UserInfo(_) => {
            merge(&mut claims, &json!({ "email": null, "email_verified": null }));
            sign(&claims, method, &key)
        }
        Manner::ForeignKey => sign(&claims, method, &Key::ed25519(99).2),
        Manner::Symmetric => sign(&claims, Algorithm::HS256, &EncodingKey::from_secret(SECRET.as_bytes())),
        Manner::Unsigned => {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.", part(&json!({ "alg": "none", "kid": id })), part(&claims))
        }
        _ => sign(&claims, method, &key),
    };
    let access = format!("of {}", claims["sub"].as_str().unwrap_or_default());
    json!({ "id_token": signed, "access_token": access, "token_type": "Bearer" }).to_string().into_response()
}

async fn keys(State(issuer): State<Issuer>) -> String {
    let shown = issuer.key.lock().3.clone();
    // Keys of kinds that nobody knows are no reason to fail.
    let unknown =
        [json!({ "kty": "LATTICE", "kid": "future" }), json!({ "kty": "EC", "crv": "P-999", "x": "", "y": "" })];
    json!({ "keys": [unknown[0], unknown[1], shown] }).to_string()
}

async fn userinfo(State(issuer): State<Issuer>, headers: HeaderMap) -> Response {
    let token = headers[header::AUTHORIZATION].to_str().expect("a text");
    let Some(subject) = token.strip_prefix("Bearer of ") else { return StatusCode::UNAUTHORIZED.into_response() };
    match issuer.is() {
        Manner::UserInfo(told) => told.to_string().into_response(),
        _ => json!({ "sub": subject }).to_string().into_response(),
    }
}
