//! Where the daemon is, and what is shown to it.

use std::time::Duration;

use rrm_spec::Violations;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Channel, Endpoint as Address},
};

use crate::{ApiError, ClientTls, Token, VERSION, VERSION_KEY, server::chain, status::HEADER_BYTES};

/// A connection that cannot be made within this time counts as no answer.
const CONNECT: Duration = Duration::from_secs(5);

/// Pings find out that the daemon's machine is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// A daemon, and the right to call it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://HOST:PORT`, or `https://HOST:PORT` with [`tls`](Self::tls).
    pub url: String,
    /// The caller's token.
    pub token: Token,
    /// How to tell the right daemon; absent = the connection is not encrypted.
    pub tls: Option<ClientTls>,
}

impl Endpoint {
    /// An address as a URL: `HOST:PORT` gets the scheme that goes with `tls`, a URL stays what it is.
    pub fn url_of(address: &str, tls: Option<&ClientTls>) -> String {
        match (address.contains("://"), tls) {
            (true, _) => address.to_owned(),
            (false, None) => format!("http://{address}"),
            (false, Some(_)) => format!("https://{address}"),
        }
    }

    pub(super) fn channel(&self) -> Result<Channel, ApiError> {
        let refuse = |allowed: String| ApiError::from(Violations::one("server", &self.url, allowed));
        match (&self.tls, self.url.split_once("://")) {
            (None, Some(("http", _))) | (Some(_), Some(("https", _))) => {}
            (None, Some(("https", _))) => return Err(refuse("needs the authority's certificate (tls)".to_owned())),
            (Some(_), Some(("http", _))) => return Err(refuse("must be https://HOST:PORT with tls".to_owned())),
            _ => return Err(refuse("must be http://HOST:PORT or https://HOST:PORT".to_owned())),
        }
        let address = Address::from_shared(self.url.clone()).map_err(|e| refuse(format!("is no address: {e}")))?;
        let mut address = address
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .http2_max_header_list_size(HEADER_BYTES);
        if let Some(tls) = &self.tls {
            let unusable = |e| refuse(format!("the TLS files cannot be used: {}", chain(&e)));
            address = address.tls_config(tls.load()?).map_err(unusable)?;
        }
        Ok(address.connect_lazy())
    }
}

/// Shows token and version with every request.
#[derive(Clone)]
pub(super) struct Credentials {
    authorization: MetadataValue<Ascii>,
    version: MetadataValue<Ascii>,
}

impl Credentials {
    pub(super) fn new(token: &Token) -> Self {
        let mut authorization: MetadataValue<Ascii> =
            format!("Bearer {}", token.expose()).parse().expect("tokens are made of letters, digits and -_.");
        authorization.set_sensitive(true);
        Self { authorization, version: MetadataValue::from_static(VERSION) }
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request.metadata_mut().insert(VERSION_KEY, self.version.clone());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_scheme_gets_the_one_that_fits() {
        let tls = ClientTls { authority: "ca.pem".into(), domain: None, identity: None };
        assert_eq!(Endpoint::url_of("127.0.0.1:7600", None), "http://127.0.0.1:7600");
        assert_eq!(Endpoint::url_of("lab.example:7600", Some(&tls)), "https://lab.example:7600");
        assert_eq!(Endpoint::url_of("https://lab.example", None), "https://lab.example");
    }
}
