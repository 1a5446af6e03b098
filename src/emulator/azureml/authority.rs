//! The local certificate authority, and the certificate that the emulator shows.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Error;
use super::service::BLOB_HOSTS;
use crate::support::fs;

/// The authority of one emulator. Its key never leaves the emulator's folder.
pub(super) struct Authority {
    key: KeyPair,
}

/// Returns where the authority's certificate is.
pub(super) fn certificate(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

impl Authority {
    /// Reads the authority of a folder, or makes one.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let key_file = folder.join("ca.key");
        if key_file.exists() && certificate(folder).exists() {
            let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?).map_err(Error::Certificate)?;
            return Ok(Self { key });
        }
        let key = KeyPair::generate().map_err(Error::Certificate)?;
        let own = parameters()?.self_signed(&key).map_err(Error::Certificate)?;
        fs::write_private(&key_file, key.serialize_pem().as_bytes())?;
        fs::write_atomic(certificate(folder), own.pem().as_bytes())?;
        Ok(Self { key })
    }

    /// Makes a certificate for this machine's own name, for these addresses and for the names that the service's storage has, which some clients
    /// insist on; and what a server needs to show it.
    pub(super) fn server(self, addresses: &[IpAddr]) -> Result<Arc<rustls::ServerConfig>, Error> {
        let key = KeyPair::generate().map_err(Error::Certificate)?;
        let mut own = CertificateParams::new(vec!["localhost".to_owned(), format!("*{BLOB_HOSTS}")]).map_err(Error::Certificate)?;
        own.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        own.distinguished_name.push(DnType::CommonName, "sendoff Azure ML emulator");
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Without it, newer Pythons refuse the certificate.
        own.use_authority_key_identifier_extension = true;
        valid(&mut own);
        let issuer = Issuer::new(parameters()?, self.key);
        let certificate = own.signed_by(&key, &issuer).map_err(Error::Certificate)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        crate::support::http::install_tls();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .map_err(Error::Tls)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn parameters() -> Result<CertificateParams, Error> {
    let mut own = CertificateParams::new(Vec::new()).map_err(Error::Certificate)?;
    own.distinguished_name.push(DnType::CommonName, "sendoff local emulators");
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    own.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut own);
    Ok(own)
}

fn valid(own: &mut CertificateParams) {
    own.not_before = rcgen::date_time_ymd(2024, 1, 1);
    own.not_after = rcgen::date_time_ymd(2049, 12, 31);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_outlives_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Authority::open(folder.path()).expect("it can be made");
        let first = std::fs::read(certificate(folder.path())).expect("it is there");
        let again = Authority::open(folder.path()).expect("it is read");
        assert_eq!(std::fs::read(certificate(folder.path())).expect("it is there"), first);
        again.server(&[IpAddr::from([127, 0, 0, 1])]).expect("it signs");
    }
}
