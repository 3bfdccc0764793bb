//! The GraphiQL page for a browser that opens `/graphql`, and its assets under `/graphql/assets/`; both embedded from
//! `web/dist`, which `npm run build` in `web/` writes. Invariant: the page loads nothing from, and talks to nothing
//! but, its own origin, and its policy has the browser enforce that.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
            REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use bytes::Bytes;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The built page; empty in a binary that was built without Node. A debug build reads the folder itself, so that a
/// rebuilt page is there on reload.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Styles inline, because Monaco and React set them; `data:` for Monaco's little images; everything else from here.
/// `connect-src 'self'` covers the WebSocket of the same origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; \
    img-src 'self' data:; worker-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// What the page has where the server says whether it runs with the demo data.
const DEMO_MARK: &str = "__STOA_DEMO__";

/// Instead of the page, in a binary without it.
const PLAIN: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Stoa</title>
<style>body{max-width:38rem;margin:15vh auto;padding:0 1.5rem;font:1rem/1.6 system-ui,sans-serif}
pre{padding:1rem;overflow-x:auto;border:1px solid #8886;border-radius:8px}</style>
<h1>Stoa is running</h1>
<p>This address answers GraphQL: by POST, GET, WebSocket (<code>graphql-transport-ws</code>) and server-sent events.</p>
<pre>curl -H 'content-type: application/json' \
  -d '{"query":"{ __typename }"}' <i>this address</i></pre>
<p>GraphiQL, the explorer that belongs here, is not in this binary, because it was built without Node. Install
<a href="https://nodejs.org" rel="noreferrer">Node.js</a> 20.19 or newer and build again with <code>make build</code>.</p>
</html>
"#;

/// The page, or a plain one that says how to get it. `demo` shows the sign-ins of the demo organizations. Caches may
/// keep it but ask each time: see [`revalidated`].
pub fn html(demo: bool) -> Response {
    let page = match Dist::get("index.html") {
        Some(file) => String::from_utf8_lossy(&file.data).replacen(DEMO_MARK, if demo { "true" } else { "false" }, 1),
        None => PLAIN.to_owned(),
    };
    let hash = Sha256::digest(page.as_bytes());
    let tag = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut response = with_headers(
        page.into(),
        &[
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            // The same address answers others with JSON.
            (VARY, "Accept, Origin"),
        ],
    );
    if let Ok(tag) = HeaderValue::try_from(format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// 304 without a body when the browser that sent `request` has this very page already (RFC 9110, 13.1.2).
pub fn revalidated(request: &HeaderMap, mut page: Response) -> Response {
    let known = request.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let tag = page.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
    if let (Some(known), Some(tag)) = (known, tag)
        && known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
    {
        *page.status_mut() = StatusCode::NOT_MODIFIED;
        page.headers_mut().remove(CONTENT_TYPE);
        *page.body_mut() = Body::empty();
    }
    page
}

/// The asset at `path` below `/graphql/assets/`, none when there is no such one. Its name holds a hash of its content:
/// it may be kept for ever. It is stored, and sent, as gzip only: no browser that can show the page is without gzip,
/// and nobody else asks.
pub fn asset(path: &str) -> Option<Response> {
    let file = Dist::get(&format!("assets/{path}.gz"))?;
    let kind = match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("ttf") => "font/ttf",
        _ => "application/octet-stream",
    };
    Some(with_headers(
        match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data).into(),
            Cow::Owned(data) => data.into(),
        },
        &[(CONTENT_TYPE, kind), (CONTENT_ENCODING, "gzip"), (CACHE_CONTROL, "public, max-age=31536000, immutable")],
    ))
}

fn with_headers(body: Body, headers: &[(HeaderName, &'static str)]) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Vec<u8> {
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
    }

    /// Holds for the page and for the plain one.
    #[tokio::test]
    async fn the_page_allows_its_own_origin_only() {
        let page = html(true);
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("http") && !policy.contains('*') && !policy.contains("unsafe-eval"));

        let text = String::from_utf8(body(page).await).unwrap();
        assert!(!text.contains(DEMO_MARK));
        for attribute in ["src=\"", "<link rel=\"stylesheet\" href=\""] {
            for rest in text.split(attribute).skip(1) {
                assert!(rest.starts_with("/graphql/assets/"), "{attribute}{rest}");
            }
        }
    }

    #[tokio::test]
    async fn a_page_that_is_known_is_not_sent_again() {
        let request = |tag: &HeaderValue| HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())]);
        let tag = html(false).headers()[ETAG].clone();
        let known = revalidated(&request(&tag), html(false));
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(known.headers()[ETAG], tag);
        assert!(body(known).await.is_empty());

        let other = revalidated(&request(&HeaderValue::from_static("\"other\"")), html(false));
        assert_eq!(other.status(), StatusCode::OK);
        assert!(!body(other).await.is_empty());
    }

    #[tokio::test]
    async fn the_page_says_whether_there_is_a_demo_and_its_assets_are_there() {
        assert!(asset("nothing.js").is_none());
        assert!(asset("../index.html").is_none());
        if Dist::get("index.html").is_none() {
            let text = String::from_utf8(body(html(true)).await).unwrap();
            assert!(text.contains("built without Node"));
            return;
        }
        let text = String::from_utf8(body(html(true)).await).unwrap();
        assert!(text.contains(r#"name="stoa-demo" content="true""#));
        assert_ne!(html(true).headers()[ETAG], html(false).headers()[ETAG]);

        let names = text.split("/graphql/assets/").skip(1).filter_map(|rest| rest.split('"').next());
        let names = names.collect::<Vec<_>>();
        assert!(names.iter().any(|name| name.ends_with(".js")) && names.iter().any(|name| name.ends_with(".css")));
        for name in names {
            let asset = asset(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(asset.headers()[CONTENT_ENCODING], "gzip");
            assert_ne!(asset.headers()[CONTENT_TYPE], "application/octet-stream", "{name}");
            assert!(body(asset).await.starts_with(&[0x1f, 0x8b]), "{name}");
        }
    }
}
