//! Answers made smaller when the client can read them so (RFC 9110, 12.5.3).
//! Invariant: streams are never held back; what is small, or compressed already, stays as it is.

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::io::{self, Write};

/// Below this many bytes compression gains nothing that a packet would notice.
const WORTH_IT: u64 = 1024;
/// From this many bytes on it would keep other requests of the same thread waiting.
const TOO_LONG: usize = 128 * 1024;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Brotli,
    Gzip,
}

/// The best of what the client accepts; Brotli when both are as welcome.
pub fn choose(headers: &HeaderMap) -> Option<Encoding> {
    let (mut brotli, mut gzip, mut any) = (None, None, None);
    for entry in headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
    {
        let (name, weight) = entry.split_once(';').unwrap_or((entry, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(0.0);
        match name.trim() {
            "br" => brotli = Some(weight),
            "gzip" | "x-gzip" => gzip = Some(weight),
            "*" => any = Some(weight),
            _ => {}
        }
    }
    let weight = |own: Option<f32>| own.or(any).unwrap_or(0.0);
    let (brotli, gzip) = (weight(brotli), weight(gzip));
    if brotli > 0.0 && brotli >= gzip {
        Some(Encoding::Brotli)
    } else if gzip > 0.0 {
        Some(Encoding::Gzip)
    } else {
        None
    }
}

/// The same answer, compressed where that is worth it.
pub async fn compress(response: Response, encoding: Encoding) -> Response {
    if !worth_it(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = body.collect().await.map(|body| body.to_bytes()) else {
        // A body of known size is in memory: reading it cannot fail.
        return Response::from_parts(parts, Body::empty());
    };
    let compressed = if whole.len() < TOO_LONG {
        encode(&whole, encoding)
    } else {
        let whole = whole.clone();
        tokio::task::spawn_blocking(move || encode(&whole, encoding))
            .await
            .unwrap_or_else(|fault| Err(io::Error::other(fault)))
    };
    let Ok(compressed) = compressed else { return Response::from_parts(parts, Body::from(whole)) };

    parts.headers.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(match encoding {
            Encoding::Brotli => "br",
            Encoding::Gzip => "gzip",
        }),
    );
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::VARY, HeaderValue::from_static("Accept, Origin, Accept-Encoding"));
    weaken(&mut parts.headers);
    Response::from_parts(parts, Body::from(compressed))
}

fn worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let text = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.ends_with("json")
            || kind.ends_with("javascript")
            || kind.ends_with("+xml")
            || (kind.starts_with("text/") && kind != "text/event-stream")
    });
    text && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && response.body().size_hint().exact().is_some_and(|size| size >= WORTH_IT)
}

/// Other bytes under a strong validator would be a lie (RFC 9110, 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok())
        && !tag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(header::ETAG, weak);
    }
}

/// Levels where a further one costs more time than it saves bytes.
fn encode(whole: &[u8], encoding: Encoding) -> io::Result<Bytes> {
    let room = Vec::with_capacity(whole.len() / 4);
    let compressed = match encoding {
        Encoding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(room, flate2::Compression::new(4));
            writer.write_all(whole)?;
            writer.finish()?
        }
        Encoding::Brotli => {
            let mut writer = brotli::CompressorWriter::new(room, 4096, 3, 18);
            writer.write_all(whole)?;
            writer.into_inner()
        }
    };
    Ok(compressed.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_client_chooses_by_weight() {
        for (accepted, expected) in [
            ("", None),
            ("identity", None),
            ("deflate, zstd", None),
            ("gzip", Some(Encoding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Encoding::Brotli)),
            ("br;q=0.5, gzip;q=0.8", Some(Encoding::Gzip)),
            ("br;q=0, gzip", Some(Encoding::Gzip)),
            ("gzip;q=0", None),
            ("*", Some(Encoding::Brotli)),
            ("*;q=0.1, br;q=0", Some(Encoding::Gzip)),
            ("gzip;q=nonsense", None),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(choose(&headers), expected, "{accepted}");
        }
        assert_eq!(choose(&HeaderMap::new()), None);
    }

    fn answer(kind: &'static str, size: usize) -> Response {
        let mut response = Response::new(Body::from("a".repeat(size)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    #[tokio::test]
    async fn only_large_text_is_compressed() {
        for (kind, size, expected) in [
            ("application/json; charset=utf-8", 1024, true),
            ("application/graphql-response+json; charset=utf-8", 5000, true),
            ("text/html; charset=utf-8", 5000, true),
            ("application/json; charset=utf-8", 1023, false),
            ("text/event-stream", 5000, false),
            ("font/woff2", 5000, false),
        ] {
            let response = compress(answer(kind, size), Encoding::Gzip).await;
            assert_eq!(response.headers().contains_key(header::CONTENT_ENCODING), expected, "{kind} {size}");
        }
        let mut done = answer("text/html", 5000);
        done.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(compress(done, Encoding::Gzip).await.headers()[header::CONTENT_ENCODING], "br");
        let streamed = Body::from_stream(futures_util::stream::iter([Ok::<_, io::Error>("a".repeat(5000))]));
        let mut stream = Response::new(streamed);
        stream.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(!compress(stream, Encoding::Gzip).await.headers().contains_key(header::CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn what_comes_out_is_what_went_in() {
        for (encoding, size) in
            [(Encoding::Gzip, 5000), (Encoding::Brotli, 5000), (Encoding::Gzip, TOO_LONG), (Encoding::Brotli, TOO_LONG)]
        {
            let mut response = answer("text/html", size);
            response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"1\""));
            let response = compress(response, encoding).await;
            assert_eq!(response.headers()[header::ETAG], "W/\"1\"");
            assert_eq!(response.headers()[header::VARY], "Accept, Origin, Accept-Encoding");
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            assert!(body.len() < size / 10);
            let mut plain = String::new();
            match encoding {
                Encoding::Gzip => flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut plain),
                Encoding::Brotli => brotli::Decompressor::new(&body[..], 4096).read_to_string(&mut plain),
            }
            .expect("readable");
            assert_eq!(plain, "a".repeat(size));
        }
    }
}
