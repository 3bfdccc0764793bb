//! Browsers that keep the refresh token in a cookie: no script reads it, no other page uses it.

use crate::kit::{Founder, PASSWORD, Server, data, server};
use reqwest::{Response, header::SET_COOKIE};
use serde_json::{Value, json};

/// What a browser sends, apart from the operation.
struct Browser<'a> {
    server: &'a Server,
    headers: Vec<(&'static str, String)>,
}

impl<'a> Browser<'a> {
    fn new(server: &'a Server) -> Self {
        Browser { server, headers: vec![("stoa-session", "cookie".into())] }
    }

    fn with(&self, name: &'static str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name, value.to_owned()));
        Browser { server: self.server, headers }
    }

    async fn send(&self, body: Value) -> Response {
        let request = reqwest::Client::new().post(format!("{}/graphql", self.server.url())).json(&body);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        request.send().await.expect("an answer")
    }

    /// The answer, and the cookies that it sets.
    async fn ask(&self, body: Value) -> (Value, Vec<String>) {
        let response = self.send(body).await;
        let cookies = response.headers().get_all(SET_COOKIE).iter();
        let cookies = cookies.map(|cookie| cookie.to_str().expect("text").to_owned()).collect();
        (response.json().await.expect("JSON"), cookies)
    }
}

fn login(who: &Founder) -> Value {
    let query = "mutation($input: LoginInput!) { login(input: $input) {
        session { accessToken refreshToken deviceToken } userErrors { field code } } }";
    json!({ "query": query, "variables": { "input": { "email": who.email, "password": PASSWORD } } })
}

fn refresh() -> Value {
    let query =
        "mutation { sessionRefresh(input: {}) { session { accessToken refreshToken } userErrors { field code } } }";
    json!({ "query": query })
}

/// `name=value` of the cookie with that name.
fn pair(cookies: &[String], name: &str) -> String {
    let cookie = cookies.iter().find(|cookie| cookie.starts_with(&format!("{name}="))).unwrap_or_else(|| {
        panic!("no {name} in {cookies:?}");
    });
    cookie.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn a_browser_stays_signed_in_by_a_cookie_that_no_script_reads() {
    let server = server().await;
    let (ada, browser) = (server.founder().await, Browser::new(server));
    let (answer, cookies) = browser.ask(login(&ada)).await;
    let session = data(&answer, "login.session");
    assert!(session["accessToken"].is_string());
    assert_eq!((&session["refreshToken"], &session["deviceToken"]), (&Value::Null, &Value::Null), "kept from scripts");
    assert_eq!(cookies.len(), 2);
    for cookie in &cookies {
        assert!(cookie.contains("; Path=/; Max-Age=") && cookie.ends_with("; HttpOnly; SameSite=Strict"), "{cookie}");
    }
    let device = pair(&cookies, "stoa_device");
    let first = pair(&cookies, "stoa_refresh");
    let (answer, cookies) = browser.with("cookie", &format!("{device}; {first}")).ask(refresh()).await;
    assert!(data(&answer, "sessionRefresh.session.accessToken").is_string());
    assert_eq!(data(&answer, "sessionRefresh.session.refreshToken"), &Value::Null);
    let second = pair(&cookies, "stoa_refresh");
    assert_ne!(first, second);

    let token = data(&answer, "sessionRefresh.session.accessToken").as_str().expect("a token").to_owned();
    let out = browser.with("authorization", &format!("Bearer {token}")).with("cookie", &second);
    let (_, cookies) = out.ask(json!({ "query": "mutation { logout { userErrors { code } } }" })).await;
    assert!(cookies[0].starts_with("stoa_refresh=; Path=/; Max-Age=0; "), "{cookies:?}");
    let (answer, cookies) = browser.with("cookie", &second).ask(refresh()).await;
    assert_eq!(data(&answer, "sessionRefresh.userErrors.0.code"), "INVALID");
    assert!(cookies[0].starts_with("stoa_refresh=; Path=/; Max-Age=0; "), "what is worthless is not kept");
    let (answer, _) = browser.ask(refresh()).await;
    assert_eq!(data(&answer, "sessionRefresh.userErrors.0"), &json!({ "field": ["refreshToken"], "code": "REQUIRED" }));
    // The device is known by its cookie.
    let (_, cookies) = browser.with("cookie", &device).ask(json!([login(&ada)])).await;
    assert_eq!(cookies.len(), 1, "in a batch as well: {cookies:?}");
}

#[tokio::test]
async fn another_page_gets_nothing_out_of_the_cookie() {
    let server = Server::with(|config| config.http.cors_origins = vec!["https://app.example.com".into()]).await;
    let (ada, browser) = (server.founder().await, Browser::new(&server));
    let (_, cookies) = browser.ask(login(&ada)).await;
    let browser = browser.with("cookie", &pair(&cookies, "stoa_refresh"));
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example")]
    {
        let response = browser.with(name, value).send(refresh()).await;
        assert_eq!(response.status(), 403, "{name}: {value}");
        assert!(response.headers().get(SET_COOKIE).is_none());
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "CSRF_PREVENTED");
    }
    // Without the header, which no form can send, the cookie says nothing.
    let bare = Browser { server: &server, headers: browser.headers[1..].to_vec() };
    let (answer, cookies) = bare.ask(refresh()).await;
    assert_eq!(data(&answer, "sessionRefresh.userErrors.0.code"), "REQUIRED");
    assert!(cookies.is_empty());
    let odd = Browser { server: &server, headers: vec![("stoa-session", "header".into())] };
    assert_eq!(odd.send(refresh()).await.status(), 400);
    let friend = browser.with("origin", "https://app.example.com").with("sec-fetch-site", "same-site");
    let (answer, _) = friend.ask(refresh()).await;
    assert!(data(&answer, "sessionRefresh.session.accessToken").is_string(), "none of that has used it up");
    server.stop().await;
}

#[tokio::test]
async fn behind_tls_the_cookie_is_bound_to_this_host() {
    let server = Server::with(|config| config.http.trusted_proxies = vec!["127.0.0.1".into()]).await;
    let ada = server.founder().await;
    let browser = Browser::new(&server).with("x-forwarded-proto", "https");
    let (_, cookies) = browser.ask(login(&ada)).await;
    let kept = pair(&cookies, "__Host-stoa_refresh");
    assert!(cookies.iter().all(|cookie| cookie.starts_with("__Host-") && cookie.ends_with("; Secure")), "{cookies:?}");
    // What a neighbouring host could have set is not looked at.
    let tossed = kept.replace("__Host-", "");
    let (answer, _) = browser.with("cookie", &tossed).ask(refresh()).await;
    assert_eq!(data(&answer, "sessionRefresh.userErrors.0.code"), "REQUIRED");
    let (answer, _) = browser.with("cookie", &kept).ask(refresh()).await;
    assert!(data(&answer, "sessionRefresh.session.accessToken").is_string());
    server.stop().await;
}
