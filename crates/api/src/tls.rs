//! Encryption by PEM files.

use std::{fs, path::Path, path::PathBuf};

use rrm_spec::Violations;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};

use crate::{ApiError, server::chain};

/// How a daemon proves its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM file with its certificate, followed by those in between it and the authority's.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
    /// PEM file with the certificates of the authorities that sign clients'; absent = a client needs no certificate. The token is
    /// asked for in any case.
    pub client_authority: Option<PathBuf>,
}

/// How a client tells the right daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file with the authority's certificate, or with the daemon's own where it is self-signed.
    pub authority: PathBuf,
    /// The name in the daemon's certificate; absent = the host in the address.
    pub domain: Option<String>,
    /// The client's own certificate, for daemons that ask for one.
    pub identity: Option<ClientIdentity>,
}

/// How a client proves its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file with its certificate, followed by those in between it and the authority's.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

impl ServerTls {
    /// Whether the files can be used, without listening anywhere yet.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn check(&self) -> Result<(), String> {
        let config = self.load().map_err(|error| match error {
            ApiError::Invalid(faults) => faults.to_string(),
            other => other.to_string(),
        })?;
        Server::builder().tls_config(config).map(drop).map_err(|error| chain(&error))
    }

    pub(crate) fn load(&self) -> Result<ServerTlsConfig, ApiError> {
        let identity = Identity::from_pem(read("tls.certificate", &self.certificate)?, read("tls.key", &self.key)?);
        let config = ServerTlsConfig::new().identity(identity);
        Ok(match &self.client_authority {
            Some(path) => config.client_ca_root(Certificate::from_pem(read("tls.client_authority", path)?)),
            None => config,
        })
    }
}

impl ClientTls {
    pub(crate) fn load(&self) -> Result<ClientTlsConfig, ApiError> {
        let authority = Certificate::from_pem(read("tls.authority", &self.authority)?);
        let mut config = ClientTlsConfig::new().ca_certificate(authority);
        if let Some(ClientIdentity { certificate, key }) = &self.identity {
            let (certificate, key) = (read("tls.client_certificate", certificate)?, read("tls.client_key", key)?);
            config = config.identity(Identity::from_pem(certificate, key));
        }
        Ok(match &self.domain {
            Some(domain) => config.domain_name(domain),
            None => config,
        })
    }
}

fn read(field: &str, path: &Path) -> Result<Vec<u8>, ApiError> {
    let refuse = |why: String| Violations::one(field, path.display().to_string(), why).into();
    let content = fs::read(path).map_err(|e| refuse(format!("must be a readable PEM file: {e}")))?;
    match content.windows(11).any(|window| window == b"-----BEGIN ") {
        true => Ok(content),
        false => Err(refuse("must be a PEM file".to_owned())),
    }
}
