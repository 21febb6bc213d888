//! What every request has in common: who asks, what a form holds, and how an answer looks.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::twilio::{codes, ledger::Source, report::Finding, twiml::Method, url::Url};

/// More than any request for a call has to say.
const FORM_LIMIT: usize = 64 * 1024;

pub(super) type Answer = Response<Full<Bytes>>;

/// A request that is not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: u32,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::new(404, codes::NOT_FOUND, format!("The requested resource {path} was not found"))
    }

    pub(super) fn method_not_allowed(path: &str) -> Self {
        Self::new(405, codes::METHOD_NOT_ALLOWED, format!("The resource {path} does not take this method"))
    }

    pub(super) fn into_answer(self) -> Answer {
        let Self { status, code, message } = self;
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        let body = json!({ "code": code, "message": message, "more_info": more_info, "status": status });
        let mut answer = answer(status, &body);
        if status == 401 {
            let challenge = header::HeaderValue::from_static("Basic realm=\"Twilio API\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

pub(super) fn answer(status: u16, body: &Value) -> Answer {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    response.body(Full::from(body.to_string())).expect("the status is one of a few")
}

/// Something was done, and there is nothing left to show.
pub(super) fn no_content() -> Answer {
    Response::builder().status(204).body(Full::default()).expect("the status is one of a few")
}

/// Name and password as they were given.
pub(super) fn credentials(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    String::from_utf8(STANDARD.decode(given).ok()?).ok()
}

/// A form's parameters.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form. A body of another type holds no parameters.
    pub(super) async fn read(headers: &HeaderMap, body: Incoming) -> Result<Self, Refusal> {
        let body = Limited::new(body, FORM_LIMIT).collect().await;
        let body = body.map_err(|_| Refusal::new(413, codes::LAB, "the lab reads 64 kB at most"))?.to_bytes();
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(Self::default());
        }
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The parameter, unless it is blank.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// Each value of a parameter that may be repeated.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A method, POST unless told.
    pub(super) fn method(&self, name: &str) -> Result<Method, Refusal> {
        match self.text(name) {
            None | Some("POST") => Ok(Method::Post),
            Some("GET") => Ok(Method::Get),
            Some(_) => Err(Refusal::new(400, codes::BAD_METHOD, format!("{name} is neither GET nor POST"))),
        }
    }

    /// A URL with the method that goes with it.
    pub(super) fn request(&self, url: &str, method: &str) -> Result<Option<(Url, Method)>, Refusal> {
        let method = self.method(method)?;
        let Some(text) = self.text(url) else { return Ok(None) };
        let parsed = web_url(text).ok_or_else(|| Refusal::new(400, codes::BAD_URL, format!("{url} is no URL")))?;
        Ok(Some((parsed, method)))
    }

    /// Notes about parameters that Twilio acts on and the lab does not.
    pub(super) fn without_effect(&self, ignored: &[&str]) -> Vec<Finding> {
        let given = ignored.iter().filter(|name| self.text(name).is_some());
        given.map(|name| Finding::new(codes::LAB, format!("{name} has no effect in the lab"))).collect()
    }

    /// Warnings about parameters that are not among these.
    pub(super) fn unknown(&self, known: &[&str]) -> Vec<Finding> {
        let unknown = self.0.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        unknown.map(|(name, _)| Finding::new(codes::UNKNOWN_PARAMETER, format!("{name} was ignored"))).collect()
    }
}

/// A URL that can be requested.
pub(super) fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// TwiML by REST is short.
const TWIML_LIMIT: usize = 4000;

/// Where a call's instructions come from, if the form says so. A URL wins over TwiML beside it.
pub(super) fn source(form: &Form) -> Result<Option<(Source, Option<Finding>)>, Refusal> {
    let twiml = form.text("Twiml");
    if twiml.is_some_and(|twiml| twiml.chars().count() > TWIML_LIMIT) {
        return Err(Refusal::new(400, codes::TWIML_TOO_LONG, "Twiml has more than 4000 characters"));
    }
    let url = form.request("Url", "Method")?;
    Ok(match (url, twiml) {
        (Some((url, method)), twiml) => {
            let both = twiml.map(|_| Finding::new(codes::TWIML_AND_URL, "Twiml beside Url was ignored"));
            Some((Source::Url { url, method }, both))
        }
        (None, Some(twiml)) => Some((Source::Twiml(twiml.to_owned()), None)),
        (None, None) => None,
    })
}
