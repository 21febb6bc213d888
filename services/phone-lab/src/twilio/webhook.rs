//! Twilio's webhook client: asks for documents, signed, and takes them only as Twilio does.
//!
//! The lab also plays the load balancer that ends TLS: it signs and names the public URL, and dials the edge in plain
//! HTTP with the headers a balancer adds. Limits and codes: Twilio docs, "TwiML for Programmable Voice", "Connection
//! Overrides", and the error dictionary.

mod audio;
mod body;
mod login;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use offhook_hosting::entropy::Entropy;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::audio::AudioCache;
use self::login::Login;
use super::{
    Account, codes,
    overrides::{Overrides, Stage},
    report::Finding,
    signature,
    twiml::Method,
    url::Url,
};
use crate::network::{Conditions, Line, Network};

/// The most that any request for a document may take, redirects and all.
pub const TOTAL_LIMIT: Duration = Duration::from_secs(15);
const REDIRECTS: usize = 10;
/// Where the load balancer says that Twilio called from: a documentation address.
pub(super) const TWILIO_ADDRESS: &str = "203.0.113.7";

/// How a request is to be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// As Twilio signs.
    #[default]
    Right,
    /// With the account's secondary token: as Twilio signs once that has been promoted.
    SecondaryToken,
    /// With another account's token.
    WrongToken,
    /// Not at all.
    Missing,
}

impl Signing {
    /// The signature header's value, if it is sent.
    pub(super) fn header(self, account: &Account, sign: impl FnOnce(&str) -> String) -> Option<HeaderValue> {
        let value = match self {
            Self::Right => sign(&account.auth_token),
            Self::SecondaryToken => sign(&account.secondary_token),
            Self::WrongToken => sign(&format!("not-{}", account.auth_token)),
            Self::Missing => return None,
        };
        Some(HeaderValue::try_from(value).expect("base64 is a header value"))
    }
}

/// A document that was answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where it came from, redirects followed.
    pub url: Url,
    /// The body; nothing, if it is sound.
    pub text: String,
    /// Whether it must be TwiML; plain text may also be something to read aloud.
    pub markup: bool,
    /// A sound file that came instead: it is played, and that is all.
    pub sound: Option<Arc<[i16]>>,
}

/// Asks for the documents of one call and keeps its cookies.
pub struct Client {
    edge: SocketAddr,
    public_host: String,
    account: Account,
    signing: Signing,
    cookies: Vec<(String, String)>,
    /// Goes along with every request once a server has asked for it.
    login: Option<Login>,
    /// Under which a file that is known already need not be sent again.
    conditions: Vec<(HeaderName, HeaderValue)>,
    replays: bool,
    /// The request that is to be replayed.
    last: Option<Request<Full<Bytes>>>,
    network: Option<Conditions>,
    entropy: Entropy,
}

/// A request that came to nothing, and how far it got.
struct Failure {
    stage: Stage,
    finding: Finding,
}

impl Client {
    /// A client that reaches `public_host` at `edge`.
    pub fn new(edge: SocketAddr, public_host: String, account: Account, signing: Signing, entropy: Entropy) -> Self {
        Self {
            edge,
            public_host,
            account,
            signing,
            cookies: Vec::new(),
            login: None,
            conditions: Vec::new(),
            replays: false,
            last: None,
            network: None,
            entropy,
        }
    }

    /// Asks over such a network, if any.
    pub fn over(self, network: Option<Conditions>) -> Self {
        Self { network, ..self }
    }

    /// Sends every request for a document that was answered once more, byte for byte, as somebody would who listened.
    pub fn replaying(self, replays: bool) -> Self {
        Self { replays, ..self }
    }

    async fn replay(&mut self, url: &Url, limits: Overrides) -> Option<()> {
        let request = self.last.take()?;
        let stream = self.connect(url, limits.connect).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        timeout(limits.read, sender.send_request(request)).await.ok()?.ok().map(|_| ())
    }

    /// Asks for a document. What Twilio would refuse comes back as the code it would log.
    pub async fn request(
        &mut self,
        url: &Url,
        method: Method,
        parameters: &[(String, String)],
    ) -> Result<Answer, Finding> {
        let limits = Overrides::parse(url.fragment())?;
        let total = limits.total.min(TOTAL_LIMIT);
        let answer = timeout(total, self.follow(url.clone(), method, parameters, limits))
            .await
            .unwrap_or_else(|_| Err(Finding::new(codes::RETRIEVAL, format!("no complete answer within {total:?}"))));
        // What a replay is answered is for the server's own records.
        let _ = self.replay(url, limits).await;
        answer
    }

    /// Tells something that wants no document in return: any answer without an error will do. Whatever its body is, it
    /// is not looked at.
    pub async fn notify(&mut self, url: &Url, method: Method, parameters: &[(String, String)]) -> Result<(), Finding> {
        let limits = Overrides::parse(url.fragment())?;
        let total = limits.total.min(TOTAL_LIMIT);
        let answered = async {
            let (_, _connection, response) = self.reach(url.clone(), method, parameters, limits).await?;
            let status = response.status();
            if status.as_u16() >= 400 {
                return Err(Finding::new(codes::CALLBACK_REFUSED, format!("the callback was answered {status}")));
            }
            Ok(())
        };
        let late = || Finding::new(codes::RETRIEVAL, format!("no answer to the callback within {total:?}"));
        timeout(total, answered).await.unwrap_or_else(|_| Err(late()))
    }

    async fn follow(
        &mut self,
        url: Url,
        method: Method,
        parameters: &[(String, String)],
        limits: Overrides,
    ) -> Result<Answer, Finding> {
        let (url, _connection, response) = self.reach(url, method, parameters, limits).await?;
        body::document(url, response, limits.read).await
    }

    /// Follows redirects to an answer that is none. The connection lives as long as the handle that comes with it.
    async fn reach(
        &mut self,
        mut url: Url,
        mut method: Method,
        parameters: &[(String, String)],
        limits: Overrides,
    ) -> Result<(Url, AbortOnDropHandle<()>, Response<Incoming>), Finding> {
        for _ in 0..=REDIRECTS {
            let (connection, response) = self.exchange(&url, method, parameters, limits).await?;
            self.keep_cookies(response.headers());
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok((url, connection, response));
            }
            // The method after a 301 or 302 is not documented; the lab does as browsers do.
            if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                method = Method::Get;
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| Finding::new(codes::RETRIEVAL, "a redirect without Location"))?;
            url = url.join(location).map_err(|error| Finding::new(codes::MALFORMED_URL, error.to_string()))?;
        }
        Err(Finding::new(codes::TOO_MANY_REDIRECTS, "more than 10 redirects"))
    }

    /// One request, made again as the limits say, and with the URL's name and password once a server asks for them.
    async fn exchange(
        &mut self,
        url: &Url,
        method: Method,
        parameters: &[(String, String)],
        limits: Overrides,
    ) -> Result<(AbortOnDropHandle<()>, Response<Incoming>), Finding> {
        let mut retries = limits.retries;
        loop {
            let again = match self.attempt(url, method, parameters, limits).await {
                Ok((_, response)) if self.logs_in(url, &response)? => continue,
                Ok((_, response)) if retries > 0 && limits.retries_answer(response.status()) => None,
                Ok(answered) => return Ok(answered),
                Err(Failure { stage, finding }) => {
                    Some(finding).filter(|_| !limits.retries_failure(stage) || retries == 0)
                }
            };
            if let Some(finding) = again {
                return Err(finding);
            }
            retries -= 1;
        }
    }

    /// Whether a request is to be repeated with the URL's credentials, which go along from then on (Twilio docs,
    /// "Security"). Without a challenge that names a realm there is no logging in.
    fn logs_in(&mut self, url: &Url, response: &Response<Incoming>) -> Result<bool, Finding> {
        let Some(userinfo) = url.userinfo() else { return Ok(false) };
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(false);
        }
        let challenges = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let met = challenges.filter_map(|value| value.to_str().ok());
        let met = met.filter_map(|challenge| Some((Login::meet(challenge, userinfo)?, challenge))).next();
        match (&self.login, met) {
            (Some(login), Some((next, challenge))) if !login.is_stale(&next, challenge) => Ok(false),
            (Some(_), None) => Ok(false),
            (None, None) => {
                Err(Finding::new(codes::RETRIEVAL, "401 without a Basic or Digest challenge that names a realm"))
            }
            (_, Some((next, _))) => {
                self.login = Some(next);
                Ok(true)
            }
        }
    }

    /// A request, once, and its answer's head. The connection lives as long as the handle that comes with it.
    async fn attempt(
        &mut self,
        url: &Url,
        method: Method,
        parameters: &[(String, String)],
        limits: Overrides,
    ) -> Result<(AbortOnDropHandle<()>, Response<Incoming>), Failure> {
        let at = |stage| move |finding| Failure { stage, finding };
        let request = self.build(url, method, parameters).map_err(at(Stage::Answer))?;
        self.last = self.replays.then(|| request.clone());
        let stream = self.connect(url, limits.connect).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| at(Stage::Answer)(broken("no connection", &error)))?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // How the connection ended shows in the answer.
            let _ = connection.await;
        }));
        match timeout(limits.read, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok((connection, response)),
            Ok(Err(error)) => Err(at(Stage::Answer)(broken("no answer", &error))),
            Err(_) => {
                let detail = format!("no answer within {:?}", limits.read);
                Err(at(Stage::Read)(Finding::new(codes::RETRIEVAL, detail)))
            }
        }
    }

    fn build(
        &mut self,
        url: &Url,
        method: Method,
        parameters: &[(String, String)],
    ) -> Result<Request<Full<Bytes>>, Finding> {
        let (url, form) = match method {
            Method::Get => (url.with_query(parameters), &[][..]),
            Method::Post => (url.clone(), parameters),
        };
        let sign = |token: &str| signature::of_form(token, &url.signed(), form);
        let mut request = Request::builder()
            .method(method.as_str())
            .uri(url.target())
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, "TwilioProxy/1.1")
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, "gzip")
            .header("i-twilio-idempotency-token", self.entropy.uuid().to_string())
            .header("x-forwarded-for", TWILIO_ADDRESS)
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-port", "443");
        if let Some(value) = self.signing.header(&self.account, sign) {
            request = request.header("x-twilio-signature", value);
        }
        if let Some(login) = &mut self.login {
            let client_nonce = self.entropy.uuid().simple().to_string();
            request = request.header(header::AUTHORIZATION, login.header(method.as_str(), url.target(), &client_nonce));
        }
        for (name, value) in &self.conditions {
            request = request.header(name, value);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        let body = match method {
            Method::Get => Full::default(),
            Method::Post => {
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
                Full::from(form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish())
            }
        };
        request.body(body).map_err(|error| Finding::new(codes::MALFORMED_URL, error.to_string()))
    }

    async fn connect(&mut self, url: &Url, limit: Duration) -> Result<Line, Failure> {
        if !url.is_on(&self.public_host) {
            let finding = Finding::new(codes::NO_SUCH_HOST, format!("the lab knows no host {:?}", url.host()));
            return Err(Failure { stage: Stage::Answer, finding });
        }
        let network = Network::of(self.network.as_ref(), &mut self.entropy);
        let failure = match timeout(limit, Line::dial(self.edge, network)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {limit:?}"),
        };
        Err(Failure { stage: Stage::Connect, finding: Finding::new(codes::CONNECTION, failure) })
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        let set = headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        for (name, value) in set.filter_map(|cookie| cookie.split(';').next()?.trim().split_once('=')) {
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn broken(what: &str, error: &hyper::Error) -> Finding {
    let code = if error.is_parse() { codes::HTTP_VIOLATION } else { codes::CONNECTION };
    Finding::new(code, format!("{what}: {error}"))
}
