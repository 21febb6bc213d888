//! What is taken of an answer: its body, unpacked, and only as large and of a kind as Twilio would have it.

use std::{io::Read, time::Duration};

use flate2::read::GzDecoder;
use http::{HeaderMap, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    Answer,
    audio::{self, Audio},
    broken,
};
use crate::twilio::{codes, report::Finding, url::Url};

/// The most that a document may be, packed or not.
const DOCUMENT_LIMIT: usize = 64 * 1024;

/// Takes a document, if Twilio would.
pub(super) async fn document(url: Url, response: Response<Incoming>, gap: Duration) -> Result<Answer, Finding> {
    let status = response.status();
    if status.as_u16() >= 400 {
        return Err(Finding::new(codes::RETRIEVAL, format!("the answer was {status}")));
    }
    if let Some(kind) = media_type(response.headers()).filter(|kind| audio::is_played(kind)) {
        let too_large = || Finding::new(codes::RETRIEVAL, "the file is larger than 40 MB");
        let bytes = body(response, gap, audio::FILE_LIMIT, too_large).await?;
        let Audio { pcm, beyond } = audio::understand(&kind, bytes)?;
        // What the lab cannot play would be silence for a whole call.
        return beyond.map_or(Ok(Answer { url, text: String::new(), markup: false, sound: Some(pcm) }), Err);
    }
    let markup = is_markup(response.headers())?;
    let chunked = response.headers().contains_key(header::TRANSFER_ENCODING);
    let too_large = || Finding::new(codes::TOO_LARGE, "the document is larger than 64 kB");
    let body = body(response, gap, DOCUMENT_LIMIT, too_large).await?;
    if chunked && body.is_empty() {
        return Err(Finding::new(codes::EMPTY_CHUNKED, "a chunked answer without a body"));
    }
    let text = String::from_utf8(body).map_err(|_| Finding::new(codes::PARSE_FAILURE, "the document is not UTF-8"))?;
    Ok(Answer { url, text, markup, sound: None })
}

/// The body of an answer, unpacked if it is packed as Twilio offers.
pub(super) async fn body(
    response: Response<Incoming>,
    gap: Duration,
    limit: usize,
    too_large: impl Fn() -> Finding,
) -> Result<Vec<u8>, Finding> {
    let encoding = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    let packed = match encoding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("identity") => false,
        Some("gzip" | "x-gzip") => true,
        Some(other) => {
            return Err(Finding::new(codes::HTTP_VIOLATION, format!("Content-Encoding {other:?} was not offered")));
        }
    };
    let body = read(response.into_body(), gap, limit, &too_large).await?;
    if packed && !body.is_empty() { unpack(&body, limit, too_large) } else { Ok(body) }
}

fn unpack(packed: &[u8], limit: usize, too_large: impl Fn() -> Finding) -> Result<Vec<u8>, Finding> {
    let mut body = Vec::new();
    // One byte more than the limit tells what is too large, however much more it would become.
    GzDecoder::new(packed)
        .take(limit as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| Finding::new(codes::HTTP_VIOLATION, format!("the body is no gzip: {error}")))?;
    if body.len() > limit { Err(too_large()) } else { Ok(body) }
}

async fn read(
    mut body: Incoming,
    gap: Duration,
    limit: usize,
    too_large: impl Fn() -> Finding,
) -> Result<Vec<u8>, Finding> {
    let mut bytes = Vec::new();
    let stalled = |_| Finding::new(codes::RETRIEVAL, format!("the answer stalled for {gap:?}"));
    while let Some(frame) = timeout(gap, body.frame()).await.map_err(stalled)? {
        let frame = frame.map_err(|error| broken("the answer broke off", &error))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if bytes.len() > limit {
            return Err(too_large());
        }
    }
    Ok(bytes)
}

/// The media type of an answer, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_markup(headers: &HeaderMap) -> Result<bool, Finding> {
    match media_type(headers).as_deref() {
        Some("text/xml" | "application/xml" | "text/html") => Ok(true),
        Some("text/plain") => Ok(false),
        Some(other) => Err(Finding::new(codes::CONTENT_TYPE, format!("Content-Type {other:?}"))),
        None => Err(Finding::new(codes::CONTENT_TYPE, "no Content-Type")),
    }
}
