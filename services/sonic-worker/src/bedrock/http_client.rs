use std::{io, path::Path, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A frozen peer is noticed after an interval and a timeout; the SDK's own client never notices.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// One call that is slow to read must not close the window for the others on its connection.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// One HTTP/2 connection (remade when it breaks), for a bounded group of streams.
///
/// The SDK's connector settings are ignored: the time an operation may take is bounded where it is called.
#[derive(Clone, Debug)]
pub(super) struct H2Client(Client<HttpsConnector<Tcp>, SdkBody>);

impl H2Client {
    pub(super) fn new(tls: ClientConfig) -> Self {
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http2().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(https);
        Self(client)
    }
}

impl HttpClient for H2Client {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for H2Client {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(connector_error)?;
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn connector_error(error: hyper_util::client::legacy::Error) -> ConnectorError {
    let mut chain = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    let timed_out = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    if chain.any(|cause| cause.downcast_ref().is_some_and(timed_out)) {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

/// TLS that trusts the system's certificate authorities and these.
pub(super) fn tls(ca_bundle: Vec<CertificateDer<'static>>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(ca_bundle);
    anyhow::ensure!(
        !roots.is_empty(),
        "no certificate authority is trusted: install ca-certificates or set AWS_CA_BUNDLE"
    );
    let provider = rustls::crypto::ring::default_provider();
    let versions = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates in a PEM file.
///
/// # Errors
/// In words that complete "AWS_CA_BUNDLE: …", if there are none.
pub fn read_ca_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = || format!("{} holds no readable certificates", path.display());
    let certificates = CertificateDer::pem_file_iter(path).map_err(|_| unreadable())?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|_| unreadable())?;
    if certificates.is_empty() { Err(unreadable()) } else { Ok(certificates) }
}
