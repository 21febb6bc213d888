//! What Twilio asks of a `<Stream>` before it connects.

use super::{Action, Interpreter};
use crate::twilio::{codes, report::Finding, twiml::Stream, url::Url};

impl Interpreter {
    /// Twilio's rules for `<Stream>` under `<Connect>` (Twilio docs, `<Stream>`).
    pub(super) fn check(&mut self, stream: Stream) -> Result<Action, Finding> {
        if stream.track.as_deref().is_some_and(|track| track != "inbound_track") {
            return Err(Finding::new(codes::STREAM_TRACK, "a two-way stream takes inbound_track only"));
        }
        if stream.url.is_empty() {
            return Err(Finding::new(codes::STREAM_URL, "<Stream> without a url"));
        }
        let resolved = match &self.base {
            Some(base) => base.with_scheme(if base.scheme() == "http" { "ws" } else { "wss" }).join(&stream.url),
            None => Url::parse(&stream.url),
        };
        let url = resolved.map_err(|error| Finding::new(codes::STREAM_URL, format!("{:?}: {error}", stream.url)))?;
        if url.scheme() != "wss" {
            return Err(Finding::new(codes::STREAM_SCHEME, format!("the scheme is {:?}, not wss", url.scheme())));
        }
        if url.query().is_some() {
            let detail = "a stream's url has no query: Twilio connects without it";
            self.findings.push(Finding::new(codes::STREAM_HANDSHAKE, detail));
        }
        let status_callback = stream.status_callback.and_then(|callback| match Url::parse(&callback.url) {
            Ok(url) => Some((url, callback.method)),
            Err(_) => {
                self.findings.push(Finding::new(codes::MALFORMED_URL, "a stream's statusCallback must be absolute"));
                None
            }
        });
        if let Some(name) = &stream.name {
            if self.stream_names.contains(name) {
                return Err(Finding::new(codes::SCHEMA, "the name of a stream must be unique within the call"));
            }
            self.stream_names.push(name.clone());
        }
        let (parameters, name) = (stream.parameters, stream.name);
        Ok(Action::OpenStream { url: url.without_query(), parameters, name, status_callback })
    }
}
