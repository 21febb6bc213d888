//! A private certificate authority, so that clients speak TLS to the lab as they do to AWS.

use std::{io, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Issues server certificates that whoever trusts [`CertificateAuthority::pem`] accepts.
///
/// Each process makes its own; its key never leaves memory.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A name is neither a DNS name nor an IP address, or key generation failed.
    #[error("cannot issue a certificate")]
    Issue(#[from] rcgen::Error),
    /// The issued key and certificate do not fit TLS.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl CertificateAuthority {
    /// A new authority with a new key.
    pub fn new() -> Result<Self, CertificateError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "Offhook phone-lab authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// The authority's certificate: what clients have to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the authority's certificate where a client's `AWS_CA_BUNDLE` can point to it.
    pub fn write_pem(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, &self.pem)
    }

    /// A TLS server configuration for these DNS names and IP addresses that offers these protocols and no other.
    pub fn server_config(&self, names: &[String], alpn: &[&[u8]]) -> Result<rustls::ServerConfig, CertificateError> {
        let (certificate, key) = self.issue(names)?;
        let provider = rustls::crypto::ring::default_provider();
        let mut config = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    fn issue(&self, names: &[String]) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "Offhook phone-lab");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.into(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_become_a_server_configuration() {
        let ca = CertificateAuthority::new().unwrap();
        let names = ["bedrock".to_owned(), "127.0.0.1".to_owned()];
        let config = ca.server_config(&names, &[b"h2"]).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec()]);
        assert!(ca.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let ca = CertificateAuthority::new().unwrap();
        assert!(matches!(ca.server_config(&["b\u{e9}d".to_owned()], &[]), Err(CertificateError::Issue(_))));
    }
}
