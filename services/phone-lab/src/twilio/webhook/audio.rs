//! The sound files of `<Play>`: asked for by GET, kept as their server allows, and understood (Twilio docs, `<Play>`).
//!
//! Twilio takes the types below; the lab can play WAV (8000 Hz, one channel, 16 bit) and bare mu-law of them, and is
//! silent for the others.

use std::{
    collections::VecDeque,
    io::Cursor,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::time::timeout;

use super::{Client, TOTAL_LIMIT, body};
use crate::{
    mulaw, speech,
    twilio::{codes, overrides::Overrides, report::Finding, twiml::Method, url::Url},
};

/// The largest file that Twilio plays.
pub(super) const FILE_LIMIT: usize = 40 * 1024 * 1024;
/// Files that are kept.
const FILES: usize = 64;
const WAV: &[&str] = &["audio/wav", "audio/wave", "audio/x-wav"];
const MULAW: &[&str] = &["audio/ulaw", "audio/basic"];
/// What Twilio plays and the lab does not.
const OTHERS: &[&str] = &["audio/mpeg", "audio/aiff", "audio/x-aifc", "audio/x-aiff", "audio/x-gsm", "audio/gsm"];

/// A file that can be played again.
#[derive(Clone)]
struct Kept {
    url: String,
    pcm: Arc<[i16]>,
    /// Until when nobody need ask whether it has changed.
    fresh_until: Option<Instant>,
    /// By what the server tells whether it has.
    known_by: Vec<(HeaderName, HeaderValue)>,
}

/// The files that an account's calls have played.
#[derive(Default)]
pub(in crate::twilio) struct AudioCache(Mutex<VecDeque<Kept>>);

impl AudioCache {
    fn find(&self, url: &str) -> Option<Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|kept| kept.url == url).cloned()
    }

    fn keep(&self, file: Kept) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|kept| kept.url != file.url);
        if files.len() == FILES {
            files.pop_front();
        }
        files.push_back(file);
    }
}

/// A file, or why there is nothing to hear.
pub(in crate::twilio) struct Audio {
    pub(in crate::twilio) pcm: Arc<[i16]>,
    /// What the lab cannot do that Twilio can.
    pub(in crate::twilio) beyond: Option<Finding>,
}

impl Client {
    /// Fetches a file to play, unless it is kept and still good.
    pub(in crate::twilio) async fn audio(
        &mut self,
        url: &Url,
        cache: &AudioCache,
        now: Instant,
    ) -> Result<Audio, Finding> {
        let kept = cache.find(&url.to_string());
        if let Some(kept) = kept.as_ref().filter(|kept| kept.fresh_until.is_some_and(|until| now < until)) {
            return Ok(Audio { pcm: kept.pcm.clone(), beyond: None });
        }
        let limits = Overrides::parse(url.fragment())?;
        let total = limits.total.min(TOTAL_LIMIT);
        self.conditions = kept.as_ref().map(|kept| kept.known_by.clone()).unwrap_or_default();
        let fetched = timeout(total, self.fetch_audio(url, kept, limits, cache, now)).await;
        self.conditions.clear();
        let late = || Finding::new(codes::RETRIEVAL, format!("no complete file within {total:?}"));
        fetched.unwrap_or_else(|_| Err(late()))
    }

    async fn fetch_audio(
        &mut self,
        url: &Url,
        kept: Option<Kept>,
        limits: Overrides,
        cache: &AudioCache,
        now: Instant,
    ) -> Result<Audio, Finding> {
        let (_, _connection, response) = self.reach(url.clone(), Method::Get, &[], limits).await?;
        let headers = response.headers().clone();
        if let (StatusCode::NOT_MODIFIED, Some(kept)) = (response.status(), kept) {
            let pcm = kept.pcm.clone();
            cache.keep(Kept { fresh_until: max_age(&headers).map(|age| now + age), ..kept });
            return Ok(Audio { pcm, beyond: None });
        }
        if !response.status().is_success() {
            return Err(Finding::new(codes::RETRIEVAL, format!("the file was answered {}", response.status())));
        }
        let kind = body::media_type(&headers).unwrap_or_default();
        if !is_played(&kind) {
            return Err(Finding::new(codes::PLAY_CONTENT_TYPE, format!("<Play> of Content-Type {kind:?}")));
        }
        let too_large = || Finding::new(codes::RETRIEVAL, "the file is larger than 40 MB");
        let bytes = body::body(response, limits.read, FILE_LIMIT, too_large).await?;
        let audio = understand(&kind, bytes)?;
        if may_be_kept(&headers) && audio.beyond.is_none() {
            let fresh_until = max_age(&headers).map(|age| now + age);
            let (pcm, known_by) = (audio.pcm.clone(), known_by(&headers));
            cache.keep(Kept { url: url.to_string(), pcm, fresh_until, known_by });
        }
        Ok(audio)
    }
}

/// Whether Twilio plays files of this type.
pub(super) fn is_played(kind: &str) -> bool {
    [WAV, MULAW, OTHERS].iter().any(|known| known.contains(&kind))
}

pub(super) fn understand(kind: &str, bytes: Vec<u8>) -> Result<Audio, Finding> {
    let beyond = |detail: String| Audio { pcm: Arc::default(), beyond: Some(Finding::new(codes::LAB, detail)) };
    if MULAW.contains(&kind) {
        return Ok(Audio { pcm: mulaw::decode_all(&bytes).collect(), beyond: None });
    }
    if !WAV.contains(&kind) {
        return Ok(beyond(format!("the lab plays WAV and mu-law, and is silent for {kind}")));
    }
    match speech::from_bytes(Cursor::new(bytes)) {
        Ok(pcm) => Ok(Audio { pcm: pcm.into(), beyond: None }),
        Err(speech::SpeechError::Wav(error)) => {
            Err(Finding::new(codes::PLAY_CONTENT_TYPE, format!("the file is no WAV file: {error}")))
        }
        Err(other @ speech::SpeechError::Format { .. }) => Ok(beyond(format!("the lab is silent: {other}"))),
    }
}

fn directives(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|directive| directive.trim().to_ascii_lowercase()).collect()
}

/// Without a word about its age a file is asked after each time.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = directives(headers);
    if directives.iter().any(|directive| directive == "no-cache") {
        return None;
    }
    let age = directives.iter().find_map(|directive| directive.strip_prefix("max-age="))?;
    // A year is the longest that HTTP caches are told.
    age.parse::<u64>().ok().map(|seconds| Duration::from_secs(seconds.min(365 * 24 * 3600)))
}

fn may_be_kept(headers: &HeaderMap) -> bool {
    let forbidden = directives(headers).iter().any(|directive| directive == "no-store");
    !forbidden && (max_age(headers).is_some() || !known_by(headers).is_empty())
}

fn known_by(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let asked_with = [(header::ETAG, header::IF_NONE_MATCH), (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE)];
    asked_with.into_iter().filter_map(|(told, asked)| Some((asked, headers.get(told)?.clone()))).collect()
}
