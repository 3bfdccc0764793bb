//! TLS to the database as libpq means it: `require` encrypts, `verify-ca` knows who signed, `verify-full` also
//! knows the host. Invariant: a mode never checks less than its name says.

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use std::{path::Path, sync::Arc};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Whose certificate is believed.
pub(super) enum Trust {
    /// Anybody's: the line is encrypted, the other end unknown.
    Anybody,
    /// Signed by one of the roots, whatever host it names.
    Signed(Roots),
    /// Signed by one of the roots and made for this host.
    Host(Roots),
}

/// Where the roots come from.
pub(super) enum Roots {
    /// The machine's own store.
    System,
    /// A file of PEM certificates.
    File(String),
}

/// A connector; the error says what is wrong with which file.
pub(super) fn connector(trust: Trust, client: Option<(&str, &str)>) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (check, host) = match trust {
        Trust::Anybody => (None, false),
        Trust::Signed(roots) => (Some(Signers::new(roots, &provider)?), false),
        Trust::Host(roots) => (Some(Signers::new(roots, &provider)?), true),
    };
    let verifier = Verifier { check, host, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|fault| fault.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match client {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|fault| format!("sslkey {key}: {fault}"))?;
            let chain = read(certificate).map_err(|fault| format!("sslcert {certificate}: {fault}"))?;
            config.with_client_auth_cert(chain, key).map_err(|fault| format!("sslcert {certificate}: {fault}"))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn read(path: impl AsRef<Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|fault| fault.to_string())?.collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("holds no certificate".into()),
        Ok(certificates) => Ok(certificates),
        Err(fault) => Err(fault.to_string()),
    }
}

#[derive(Debug)]
struct Signers {
    chains: Arc<WebPkiServerVerifier>,
    /// The certificates of `sslrootcert` themselves: PostgreSQL's manual makes one that has signed itself and
    /// serves as both, which webpki refuses as a server's.
    themselves: Vec<CertificateDer<'static>>,
}

impl Signers {
    fn new(roots: Roots, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        let themselves = match roots {
            Roots::System => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Vec::new()
            }
            Roots::File(path) => {
                let certificates = read(&path).map_err(|fault| format!("sslrootcert {path}: {fault}"))?;
                store.add_parsable_certificates(certificates.iter().cloned());
                certificates
            }
        };
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
            .build()
            .map_err(|fault| format!("sslrootcert: {fault}"))?;
        Ok(Signers { chains, themselves })
    }
}

#[derive(Debug)]
struct Verifier {
    check: Option<Signers>,
    host: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(signers) = &self.check else { return Ok(ServerCertVerified::assertion()) };
        if signers.themselves.iter().any(|certificate| certificate == end_entity) {
            if self.host {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match signers.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: all else was right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.host => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
