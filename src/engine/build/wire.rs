//! Connections to the engine for what the client crate has no call for: sessions and builds by BuildKit.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::engine::{Address, Engine, Error, Said, Tls, classify};

/// Opens a connection of its own, which may be upgraded and closes with what is returned and its answers.
pub(super) async fn handshake<B>(engine: &Engine) -> Result<SendRequest<B>, Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let endpoint = engine.endpoint();
    let refused = |error: std::io::Error| classify::connection(endpoint, &error);
    match &engine.nearby() {
        Address::Local(path) => over(local(path).await.map_err(refused)?).await,
        Address::Tcp { authority, tls: None } => over(TcpStream::connect(authority).await.map_err(refused)?).await,
        Address::Tcp { authority, tls: Some(tls) } => {
            let connector = connector(tls).map_err(refused)?;
            let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host).trim_matches(['[', ']']);
            let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(invalid(error)))?;
            let stream = TcpStream::connect(authority).await.map_err(refused)?;
            over(connector.connect(name, stream).await.map_err(refused)?).await
        }
        // An engine behind ssh is reached by the socket that leads to it.
        Address::Ssh(_) => Err(refused(io::ErrorKind::NotConnected.into())),
    }
}

#[cfg(unix)]
async fn local(path: &Path) -> io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(path).await
}

#[cfg(windows)]
async fn local(path: &Path) -> io::Result<tokio::net::windows::named_pipe::NamedPipeClient> {
    tokio::net::windows::named_pipe::ClientOptions::new().open(path)
}

/// Trusts the engine's authority alone, and shows our certificate.
fn connector(tls: &Tls) -> io::Result<TlsConnector> {
    let certificates = |path: &Path| -> io::Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_file_iter(path).map_err(invalid)?.collect::<Result<_, _>>().map_err(invalid)
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(&tls.authority)? {
        roots.add(certificate).map_err(invalid)?;
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(invalid)?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = config.with_client_auth_cert(certificates(&tls.certificate)?, key).map_err(invalid)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn over<B, S>(stream: S) -> Result<SendRequest<B>, Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

/// Says that the connection did not carry what it should.
pub(super) fn lost(error: &hyper::Error) -> Error {
    Error::Lost { act: "build an image".to_owned(), source: Said(error.to_string()) }
}
