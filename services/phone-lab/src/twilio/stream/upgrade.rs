//! How a media socket is opened.
//!
//! The headers are those of captured requests, plus what a load balancer adds.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Request, header};
use offhook_hosting::entropy::Entropy;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error as SocketError, protocol::WebSocketConfig},
};

use super::wire::Wire;
use crate::network::{Conditions, Line, Network};
use crate::twilio::{
    Account, Settings, codes,
    report::Finding,
    signature,
    url::Url,
    webhook::{Signing, TWILIO_ADDRESS},
};

/// How long a server has to answer the upgrade. Twilio's own limit is not documented.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// The library's own buffers are sized for bulk transfers; a frame has 350 bytes.
const READ_BUFFER: usize = 8 * 1024;

pub(crate) type Socket = WebSocketStream<Wire>;

/// How the URL of an upgrade is spelled when it is signed. Twilio's documentation says only that a trailing slash may
/// be needed; what becomes of a port it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignedUrl {
    /// As in `<Stream>`.
    #[default]
    AsWritten,
    /// With a slash after the path.
    TrailingSlash,
    /// With `:443` after the host.
    Port443,
}

impl SignedUrl {
    fn of(self, url: &Url) -> String {
        match self {
            Self::AsWritten => url.signed(),
            Self::TrailingSlash => format!("{}/", url.signed()),
            Self::Port443 => format!("{}://{}:443{}", url.scheme(), url.host(), url.target()),
        }
    }
}

/// What is unusual about a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) signing: Signing,
    pub(crate) signed_url: SignedUrl,
    /// Whether dropping the socket resets the connection.
    pub(crate) resets: bool,
    pub(crate) deaf_to_pings: bool,
}

/// Where streams connect to, and under whose signature.
#[derive(Clone, Copy)]
pub(crate) struct Upgrade<'a> {
    pub(crate) edge: SocketAddr,
    pub(crate) public_host: &'a str,
    pub(crate) account: &'a Account,
    pub(crate) manner: Manner,
    pub(crate) network: Option<&'a Conditions>,
}

impl<'a> Upgrade<'a> {
    /// As Twilio makes it.
    pub(crate) fn of(settings: &'a Settings) -> Self {
        Self {
            edge: settings.edge,
            public_host: settings.voice_url.host(),
            account: &settings.account,
            manner: Manner::default(),
            network: settings.network.as_ref(),
        }
    }

    /// Opens the socket.
    pub(crate) async fn connect(&self, url: &Url, entropy: &mut Entropy) -> Result<Socket, Finding> {
        if !url.is_on(self.public_host) {
            return Err(Finding::new(codes::NO_SUCH_HOST, format!("the lab knows no host {:?}", url.host())));
        }
        let key = STANDARD.encode(entropy.bytes::<16>());
        let handshake = self.handshake(url, key, Network::of(self.network, entropy));
        timeout(HANDSHAKE_LIMIT, handshake)
            .await
            .unwrap_or_else(|_| Err(Finding::new(codes::STREAM_TIMEOUT, "no answer to the upgrade within 10 s")))
    }

    async fn handshake(&self, url: &Url, key: String, network: Option<Network<'_>>) -> Result<Socket, Finding> {
        let refused = |error: std::io::Error| Finding::new(codes::STREAM_REFUSED, error.to_string());
        let stream = Line::dial(self.edge, network).await.map_err(refused)?;
        if self.manner.resets {
            stream.reset_when_dropped().map_err(refused)?;
        }
        let wire = Wire::new(stream, self.manner.deaf_to_pings);
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let failed = |detail: String| Finding::new(codes::STREAM_HANDSHAKE, detail);
        let (socket, response) = client_async_with_config(self.request(url, key)?, wire, Some(config))
            .await
            .map_err(|error| failed(why_not_101(&error)))?;
        for (unasked, what) in
            [(header::SEC_WEBSOCKET_EXTENSIONS, "an extension"), (header::SEC_WEBSOCKET_PROTOCOL, "a subprotocol")]
        {
            if response.headers().contains_key(unasked) {
                return Err(failed(format!("the answer names {what} that was not offered")));
            }
        }
        Ok(socket)
    }

    fn request(&self, url: &Url, key: String) -> Result<Request<()>, Finding> {
        let Manner { signing, signed_url, .. } = self.manner;
        let mut request = Request::builder()
            .uri(format!("ws://{}{}", url.authority(), url.target()))
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, "Twilio.TmeWs/1.0")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key)
            .header("x-forwarded-for", TWILIO_ADDRESS)
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-port", "443");
        let sign = |token: &str| signature::of_url(token, &signed_url.of(url));
        if let Some(value) = signing.header(self.account, sign) {
            request = request.header("x-twilio-signature", value);
        }
        request.body(()).map_err(|error| Finding::new(codes::STREAM_URL, error.to_string()))
    }
}

fn why_not_101(error: &SocketError) -> String {
    if let SocketError::Http(response) = error {
        return format!("the upgrade was answered {}", response.status());
    }
    error.to_string()
}
