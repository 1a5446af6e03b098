//! The one way to an HTTP client: one TLS provider, our user agent, sane time-outs.

use std::time::Duration;

/// Installs the process's TLS provider; calling it again does nothing.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Returns a client whose requests give up connecting after `connect`.
///
/// A builder failure means that the TLS roots of this machine cannot be read.
pub fn client(connect: Duration, total: Duration) -> Result<reqwest::Client, reqwest::Error> {
    builder(connect, total).build()
}

/// Returns a client that trusts certificate authorities beside those of this machine.
pub fn client_trusting(
    connect: Duration,
    total: Duration,
    authorities: impl IntoIterator<Item = reqwest::Certificate>,
) -> Result<reqwest::Client, reqwest::Error> {
    builder(connect, total).tls_certs_merge(authorities).build()
}

/// Reads the certificate authorities of a file in PEM.
pub fn authorities(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, reqwest::Error> {
    reqwest::Certificate::from_pem_bundle(pem)
}

fn builder(connect: Duration, total: Duration) -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder().user_agent(concat!("sendoff/", env!("CARGO_PKG_VERSION"))).connect_timeout(connect).timeout(total)
}
