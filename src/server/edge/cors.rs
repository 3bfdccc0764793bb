//! Which pages of other origins may read answers (the CORS protocol of the Fetch standard).
//! Invariant: cookies are shared only with origins that the settings name; `*` opens what strangers may see anyway.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT");
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, retry-after");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// Browsers keep a preflight's answer for two hours at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The origins of `http.cors_origins`.
#[derive(Debug, Default)]
pub struct Cors {
    any: bool,
    exact: Vec<HeaderValue>,
}

impl Cors {
    /// The error names each setting that is no origin: `scheme://host[:port]` and nothing behind it.
    pub fn parse(origins: &[String]) -> Result<Self, Vec<String>> {
        let mut cors = Cors::default();
        let mut wrong = Vec::new();
        for origin in origins {
            if origin == "*" {
                cors.any = true;
                continue;
            }
            let known = url::Url::parse(origin).ok().map(|url| url.origin());
            match known.filter(|known| known.ascii_serialization() == *origin && !origin.contains('*')) {
                Some(known) if known.is_tuple() => cors.exact.extend(HeaderValue::from_str(origin)),
                _ => wrong.push(format!(
                    "http.cors_origins: \"{origin}\" is no origin; write it as a browser sends it, such as https://app.example.com"
                )),
            }
        }
        if wrong.is_empty() { Ok(cors) } else { Err(wrong) }
    }

    /// Whether the settings name this origin: it may send cookies.
    pub fn names(&self, origin: &HeaderValue) -> bool {
        self.exact.contains(origin)
    }

    /// Tells the browser that the page may read the answer, if it may.
    pub fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match origin {
            Some(origin) if self.names(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
            }
            Some(_) if self.any => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            }
            _ => {
                // What a preflight would be granted is of no use without the origin.
                headers.remove(header::ACCESS_CONTROL_ALLOW_METHODS);
                headers.remove(header::ACCESS_CONTROL_ALLOW_HEADERS);
                headers.remove(header::ACCESS_CONTROL_MAX_AGE);
                return;
            }
        }
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The answer to a browser that asks before it sends; `Cors::allow` adds or takes back the grant. Any header is
/// granted: what matters is who asks.
pub fn preflight(request: &Request<Body>) -> Option<Response> {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !asks {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Result<Cors, Vec<String>> {
        Cors::parse(&origins.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn allowed(cors: &Cors, origin: &'static str) -> (Option<String>, bool) {
        let mut headers = HeaderMap::new();
        cors.allow(Some(&HeaderValue::from_static(origin)), &mut headers);
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        (
            headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(text),
            headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS),
        )
    }

    #[test]
    fn named_origins_may_send_cookies_and_others_may_not_read() {
        let cors = cors(&["https://app.example.com", "http://localhost:5173"]).expect("origins");
        assert_eq!(allowed(&cors, "https://app.example.com"), (Some("https://app.example.com".into()), true));
        assert_eq!(allowed(&cors, "http://localhost:5173"), (Some("http://localhost:5173".into()), true));
        for other in ["http://app.example.com", "https://app.example.com:444", "https://app.example.com.evil", "null"] {
            assert_eq!(allowed(&cors, other), (None, false), "{other}");
        }
    }

    #[test]
    fn the_star_opens_without_cookies() {
        let cors = cors(&["*", "https://app.example.com"]).expect("origins");
        assert_eq!(allowed(&cors, "https://other.example"), (Some("*".into()), false));
        assert_eq!(allowed(&cors, "https://app.example.com"), (Some("https://app.example.com".into()), true));
        assert!(!cors.names(&HeaderValue::from_static("https://other.example")));
    }

    #[test]
    fn settings_that_are_no_origin_are_named_all_at_once() {
        let wrong = [
            "app.example.com",
            "https://a.example/",
            "https://a.example:443",
            "https://*.example",
            "null",
            "file:///x",
        ];
        let told = cors(&wrong).expect_err("all are wrong");
        for origin in wrong {
            assert!(told.iter().any(|line| line.contains(&format!("\"{origin}\""))), "{origin}: {told:?}");
        }
    }

    #[test]
    fn a_preflight_is_granted_to_named_origins_only() {
        let cors = cors(&["https://app.example.com"]).expect("origins");
        let ask = |origin: &str| {
            let request = Request::builder()
                .method(Method::OPTIONS)
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,content-type")
                .body(Body::empty())
                .expect("a request");
            let mut response = preflight(&request).expect("a preflight");
            cors.allow(request.headers().get("origin"), response.headers_mut());
            response
        };
        let granted = ask("https://app.example.com");
        assert_eq!(granted.status(), StatusCode::NO_CONTENT);
        assert_eq!(granted.headers()["access-control-allow-headers"], "authorization,content-type");
        assert_eq!(granted.headers()["access-control-allow-methods"], "GET, POST, PUT");
        let refused = ask("https://evil.example");
        assert!(refused.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{refused:?}");
    }

    #[test]
    fn plain_options_is_no_preflight() {
        let request = Request::builder().method(Method::OPTIONS).body(Body::empty()).expect("a request");
        assert!(preflight(&request).is_none());
    }
}
