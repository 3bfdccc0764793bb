//! Asking other servers over HTTP. Invariant: a redirection is not followed, so that no key and no code goes to another
//! host, and no more of an answer is read than was asked for.

use crate::error::{Error, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Legacy, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Keeps connections for the next request. Cheap to clone.
pub type Client = Legacy<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Trusts whom this machine trusts.
pub fn client() -> Result<Client> {
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(Error::ours)?;
    Ok(Legacy::builder(TokioExecutor::new()).build(tls.https_or_http().enable_http1().build()))
}

/// The status and the first `most` bytes of the body. How long to wait is for the caller to say.
pub async fn ask(
    client: &Client,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<(StatusCode, Vec<u8>), Box<dyn std::error::Error + Send + Sync>> {
    let response = client.request(request).await?;
    let (status, mut incoming, mut body) = (response.status(), response.into_body(), Vec::new());
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        body.extend(data.iter().take(most.saturating_sub(body.len())));
        if body.len() >= most {
            break;
        }
    }
    Ok((status, body))
}
