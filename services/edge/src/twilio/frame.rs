//! The messages of a media socket (Twilio docs, "Media Streams - WebSocket Messages").
//!
//! [`parse`] takes what Twilio sends; counters that arrive as strings are not needed and not read, unknown events and
//! fields are no errors. [`media`], [`mark`] and [`clear`] write the only three messages that Twilio takes, with exactly
//! the fields it documents: it drops a message with one more or one less.

use std::{borrow::Cow, collections::HashMap, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;

use super::sid::{AccountSid, CallSid, StreamSid};

/// What Twilio says on a media socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// The protocol's greeting.
    Connected,
    /// The stream begins.
    Start(StreamStart),
    /// 8 kHz mu-law of the caller.
    Media(Bytes),
    /// The caller pressed a key.
    Dtmf(Key),
    /// All that was sent before the mark of this name was played, or flushed by a `clear`.
    Mark(String),
    /// The stream is over.
    Stop,
    /// An event that this version does not know.
    Unknown,
}

/// A key of a telephone: one of 0-9, A-D, `*` and `#`. May be part of a PIN, so it shows itself in no log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(char);

/// Who is on the stream. Its parameters name the caller, so they show themselves in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamStart {
    /// The call.
    pub call: CallSid,
    /// The account it belongs to.
    pub account: AccountSid,
    /// This stream.
    pub stream: StreamSid,
    /// The `<Parameter>`s of the document that connected the stream.
    pub parameters: HashMap<String, String>,
}

/// Why a message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// Not JSON, or a known event with fields missing or of the wrong type.
    #[error("the message does not have its documented form")]
    Form(#[from] serde_json::Error),
    /// The audio is not base64.
    #[error("the audio is not base64")]
    Audio(#[from] base64::DecodeError),
    /// The audio is of a track or in a format that was not asked for.
    #[error("the stream carries something else than the caller's 8 kHz mu-law")]
    Format,
    /// The key is none that a telephone has.
    #[error("the key is none that a telephone has")]
    Key(#[from] NotAKey),
    /// An identifier does not have its form.
    #[error("an identifier does not have its form")]
    Sid(#[from] super::sid::NotASid),
    /// The event's own object is missing.
    #[error("the event comes without its object")]
    Missing,
}

/// The text is not exactly one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key of a telephone")]
pub struct NotAKey;

impl From<Key> for char {
    fn from(Key(key): Key) -> Self {
        key
    }
}

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        match text.as_bytes() {
            &[key @ (b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#')] => Ok(Self(key.into())),
            _ => Err(NotAKey),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Debug for StreamStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, account, stream, parameters: _ } = self;
        let mut shown = f.debug_struct("StreamStart");
        shown.field("call", call).field("account", account).field("stream", stream).finish_non_exhaustive()
    }
}

/// One flat structure for all events: half the time that an enum tagged by `event` takes.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    start: Option<WireStart>,
    #[serde(borrow)]
    media: Option<WireMedia<'a>>,
    mark: Option<WireMark>,
    dtmf: Option<WireDtmf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStart {
    account_sid: String,
    call_sid: String,
    stream_sid: String,
    media_format: Option<WireFormat>,
    #[serde(default)]
    custom_parameters: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFormat {
    encoding: String,
    sample_rate: u32,
}

#[derive(Deserialize)]
struct WireMedia<'a> {
    #[serde(borrow, default)]
    track: Cow<'a, str>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WireMark {
    name: String,
}

#[derive(Deserialize)]
struct WireDtmf {
    digit: String,
}

/// Reads one text message.
///
/// # Errors
/// If a known event does not have its documented form.
pub fn parse(text: &str) -> Result<Inbound, BadFrame> {
    let wire: Wire<'_> = serde_json::from_str(text)?;
    match wire.event.as_ref() {
        "media" => caller_audio(&wire.media.ok_or(BadFrame::Missing)?),
        "mark" => Ok(Inbound::Mark(wire.mark.ok_or(BadFrame::Missing)?.name)),
        "dtmf" => Ok(Inbound::Dtmf(wire.dtmf.ok_or(BadFrame::Missing)?.digit.parse()?)),
        "start" => stream_start(wire.start.ok_or(BadFrame::Missing)?),
        "connected" => Ok(Inbound::Connected),
        "stop" => Ok(Inbound::Stop),
        _ => Ok(Inbound::Unknown),
    }
}

fn caller_audio(media: &WireMedia<'_>) -> Result<Inbound, BadFrame> {
    if !matches!(media.track.as_ref(), "" | "inbound") {
        return Err(BadFrame::Format);
    }
    Ok(Inbound::Media(STANDARD.decode(media.payload.as_bytes())?.into()))
}

fn stream_start(start: WireStart) -> Result<Inbound, BadFrame> {
    if start.media_format.is_some_and(|format| format.encoding != "audio/x-mulaw" || format.sample_rate != 8000) {
        return Err(BadFrame::Format);
    }
    Ok(Inbound::Start(StreamStart {
        call: start.call_sid.parse()?,
        account: start.account_sid.parse()?,
        stream: start.stream_sid.parse()?,
        parameters: start.custom_parameters,
    }))
}

/// Audio for the caller: 8 kHz mu-law without any header.
pub fn media(stream: &StreamSid, mulaw: &[u8]) -> String {
    const HEAD: &str = "{\"event\":\"media\",\"streamSid\":\"";
    const MIDDLE: &str = "\",\"media\":{\"payload\":\"";
    const TAIL: &str = "\"}}";
    let length = HEAD.len() + 34 + MIDDLE.len() + mulaw.len().div_ceil(3) * 4 + TAIL.len();
    let mut text = String::with_capacity(length);
    text.push_str(HEAD);
    text.push_str(stream.as_str());
    text.push_str(MIDDLE);
    STANDARD.encode_string(mulaw, &mut text);
    text.push_str(TAIL);
    text
}

/// A mark behind the audio sent so far. `name` has to be free of characters that JSON escapes.
pub fn mark(stream: &StreamSid, name: impl fmt::Display) -> String {
    format!("{{\"event\":\"mark\",\"streamSid\":\"{stream}\",\"mark\":{{\"name\":\"{name}\"}}}}")
}

/// Empties Twilio's playback buffer.
pub fn clear(stream: &StreamSid) -> String {
    format!("{{\"event\":\"clear\",\"streamSid\":\"{stream}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC00000000000000000000000000000001",
        "streamSid":"MZ00000000000000000000000000000003","callSid":"CA00000000000000000000000000000002",
        "tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
        "customParameters":{"tenant":"t-42"}},"streamSid":"MZ00000000000000000000000000000003"}"#;

    fn stream() -> StreamSid {
        "MZ00000000000000000000000000000003".parse().unwrap()
    }

    #[test]
    fn the_documented_messages_are_understood() {
        let Inbound::Start(start) = parse(START).unwrap() else { panic!("not a start") };
        assert_eq!(start.stream, stream());
        assert_eq!(start.parameters["tenant"], "t-42");
        let connected = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
        assert_eq!(parse(connected).unwrap(), Inbound::Connected);
        let media = r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"155",
            "payload":"/38A"},"streamSid":"MZ00000000000000000000000000000003"}"#;
        assert_eq!(parse(media).unwrap(), Inbound::Media(Bytes::from_static(&[0xff, 0x7f, 0])));
        let key =
            r#"{"event":"dtmf","streamSid":"MZ","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#;
        assert_eq!(parse(key).unwrap(), Inbound::Dtmf(Key('1')));
        let echo = r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ","mark":{"name":"0:800"}}"#;
        assert_eq!(parse(echo).unwrap(), Inbound::Mark("0:800".to_owned()));
        let stop =
            r#"{"event":"stop","sequenceNumber":"378","streamSid":"MZ","stop":{"accountSid":"AC","callSid":"CA"}}"#;
        assert_eq!(parse(stop).unwrap(), Inbound::Stop);
    }

    #[test]
    fn what_is_new_to_us_is_no_error() {
        assert_eq!(parse(r#"{"event":"weather","sun":1}"#).unwrap(), Inbound::Unknown);
        assert_eq!(parse(r#"{"event":"stop","because":{"of":[1]}}"#).unwrap(), Inbound::Stop);
    }

    #[test]
    fn a_known_event_without_its_documented_form_is_an_error() {
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"media"}"#,
            r#"{"event":"media","media":{}}"#,
            r#"{"event":"media","media":{"payload":"%%"}}"#,
            r#"{"event":"media","media":{"track":"outbound","payload":""}}"#,
            r#"{"event":"start"}"#,
            &START.replace("8000", "16000"),
            &START.replace("CA0000", "XX0000"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_one_that_a_telephone_has() {
        let key = |digit: &str| parse(&format!(r#"{{"event":"dtmf","dtmf":{{"digit":"{digit}"}}}}"#));
        for digit in "0123456789ABCD*#".chars() {
            assert_eq!(key(&digit.to_string()).unwrap(), Inbound::Dtmf(Key(digit)));
        }
        for wrong in ["", "12", "a", "E", " ", "+", "\u{663}", "w"] {
            assert!(matches!(key(wrong), Err(BadFrame::Key(NotAKey))), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_neither_who_calls_nor_what_they_press() {
        let start = parse(&START.replace("t-42", "+15005550006")).unwrap();
        assert!(!format!("{start:?}").contains("15005550006"), "{start:?}");
        assert_eq!(format!("{:?}", Key('7')), "Key(..)");
    }

    #[test]
    fn what_we_send_has_exactly_the_documented_fields() {
        let sid = "MZ00000000000000000000000000000003";
        let audio = format!(r#"{{"event":"media","streamSid":"{sid}","media":{{"payload":"/38A"}}}}"#);
        assert_eq!(media(&stream(), &[0xff, 0x7f, 0]), audio);
        assert_eq!(
            mark(&stream(), "7:12"),
            format!(r#"{{"event":"mark","streamSid":"{sid}","mark":{{"name":"7:12"}}}}"#)
        );
        assert_eq!(clear(&stream()), format!(r#"{{"event":"clear","streamSid":"{sid}"}}"#));
    }
}
