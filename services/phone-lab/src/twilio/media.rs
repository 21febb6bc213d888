//! The messages of a media stream: what Twilio sends, built exactly, and what a server may send, taken strictly
//! (Twilio docs, "Media Streams - WebSocket Messages").

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::sid::{CallSid, StreamSid};

/// The first message, before the stream has a number or a name.
pub const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

/// Builds Twilio's messages of one stream and counts them: `sequenceNumber` over every message after `connected`,
/// `chunk` over media alone.
#[derive(Debug)]
pub struct Outgoing {
    account_sid: String,
    call_sid: CallSid,
    stream_sid: StreamSid,
    sequence: u64,
    chunk: u64,
    first_timestamp_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MediaMessage<'a> {
    event: &'static str,
    sequence_number: String,
    media: MediaFields,
    stream_sid: &'a str,
}

#[derive(Serialize)]
struct MediaFields {
    track: &'static str,
    chunk: String,
    timestamp: String,
    payload: String,
}

impl Outgoing {
    /// A stream whose first audio carries the given timestamp.
    pub fn new(account_sid: &str, call_sid: CallSid, stream_sid: StreamSid, first_timestamp_ms: u64) -> Self {
        Self { account_sid: account_sid.to_owned(), call_sid, stream_sid, sequence: 0, chunk: 0, first_timestamp_ms }
    }

    /// The stream's name.
    pub fn stream_sid(&self) -> &StreamSid {
        &self.stream_sid
    }

    /// `start`, once, right after [`CONNECTED`].
    pub fn start(&mut self, parameters: &[(String, String)]) -> String {
        let parameters: BTreeMap<_, _> = parameters.iter().map(|(name, value)| (name, value)).collect();
        let sequence = self.next_sequence();
        json!({
            "event": "start",
            "sequenceNumber": sequence,
            "start": {
                "accountSid": self.account_sid,
                "streamSid": self.stream_sid.as_str(),
                "callSid": self.call_sid.as_str(),
                "tracks": ["inbound"],
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                "customParameters": parameters,
            },
            "streamSid": self.stream_sid.as_str(),
        })
        .to_string()
    }

    /// 20 ms of the caller. Timestamps step by 20 ms, give or take one, as captured streams do.
    pub fn media(&mut self, mulaw: &[u8]) -> String {
        let wobble = [1, 0, 1, 2][(self.chunk % 4) as usize];
        let timestamp = self.first_timestamp_ms + 20 * self.chunk + wobble - 1;
        self.chunk += 1;
        let message = MediaMessage {
            event: "media",
            sequence_number: self.next_sequence(),
            media: MediaFields {
                track: "inbound",
                chunk: self.chunk.to_string(),
                timestamp: timestamp.to_string(),
                payload: STANDARD.encode(mulaw),
            },
            stream_sid: self.stream_sid.as_str(),
        };
        serde_json::to_string(&message).expect("strings serialise")
    }

    /// A key the caller pressed.
    pub fn dtmf(&mut self, digit: char) -> String {
        let sequence = self.next_sequence();
        let dtmf = json!({ "track": "inbound_track", "digit": digit });
        json!({ "event": "dtmf", "streamSid": self.stream_sid.as_str(), "sequenceNumber": sequence, "dtmf": dtmf })
            .to_string()
    }

    /// The echo of a mark.
    pub fn mark(&mut self, name: &str) -> String {
        let sequence = self.next_sequence();
        let mark = json!({ "name": name });
        json!({ "event": "mark", "sequenceNumber": sequence, "streamSid": self.stream_sid.as_str(), "mark": mark })
            .to_string()
    }

    /// `stop`, the last message; it never says why.
    pub fn stop(&mut self) -> String {
        let sequence = self.next_sequence();
        let stop = json!({ "accountSid": self.account_sid, "callSid": self.call_sid.as_str() });
        json!({ "event": "stop", "sequenceNumber": sequence, "streamSid": self.stream_sid.as_str(), "stop": stop })
            .to_string()
    }

    fn next_sequence(&mut self) -> String {
        self.sequence += 1;
        self.sequence.to_string()
    }
}

/// What a server may say.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Mu-law audio to queue.
    Media(Vec<u8>),
    /// A mark to echo when everything before it has been played.
    Mark(String),
    /// Forget what is queued.
    Clear,
}

/// A message that is not exactly one of the three a server may send (warning 31951).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// Not JSON, or fields missing, extra, doubled or of another type.
    #[error("not a message of the protocol: {0}")]
    Shape(String),
    /// An `event` a server does not send.
    #[error("unknown event {0:?}")]
    Event(String),
    /// A field of one event on another, or missing.
    #[error("the fields of {0:?} are not exactly event, streamSid and its own")]
    Fields(String),
    /// Another stream's message.
    #[error("wrong streamSid")]
    StreamSid,
    /// Audio that is no base64.
    #[error("the payload is not base64")]
    Payload,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawMessage<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    stream_sid: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    media: Option<RawMedia<'a>>,
    #[serde(default, deserialize_with = "present")]
    mark: Option<RawMark>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMedia<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMark {
    name: String,
}

/// `null` is a field too many, not an absent one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Incoming {
    /// Takes a text message on the given stream.
    pub fn parse(text: &str, stream_sid: &StreamSid) -> Result<Self, InvalidMessage> {
        let raw: RawMessage<'_> =
            serde_json::from_str(text).map_err(|error| InvalidMessage::Shape(error.to_string()))?;
        if raw.stream_sid != stream_sid.as_str() {
            return Err(InvalidMessage::StreamSid);
        }
        match (&*raw.event, raw.media, raw.mark) {
            ("media", Some(media), None) => {
                STANDARD.decode(media.payload.as_bytes()).map(Self::Media).map_err(|_| InvalidMessage::Payload)
            }
            ("mark", None, Some(mark)) => Ok(Self::Mark(mark.name)),
            ("clear", None, None) => Ok(Self::Clear),
            ("media" | "mark" | "clear", ..) => Err(InvalidMessage::Fields(raw.event.into_owned())),
            _ => Err(InvalidMessage::Event(raw.event.into_owned())),
        }
    }
}

/// The name of the file format whose header stands where audio should: played, it would be noise.
pub fn container(payload: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 4] = [(b"RIFF", "WAV"), (b"ID3", "MP3"), (b"OggS", "Ogg"), (b"fLaC", "FLAC")];
    known.into_iter().find(|(magic, _)| payload.starts_with(magic)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use offhook_hosting::entropy::Entropy;
    use proptest::proptest;
    use serde_json::Value;

    use super::*;

    fn outgoing() -> Outgoing {
        let mut entropy = Entropy::from_seed(1);
        Outgoing::new("AC1", CallSid::draw(&mut entropy), StreamSid::draw(&mut entropy), 155)
    }

    fn parse(message: Value) -> Result<Incoming, InvalidMessage> {
        Incoming::parse(&message.to_string(), outgoing().stream_sid())
    }

    fn sid() -> String {
        outgoing().stream_sid().to_string()
    }

    #[test]
    fn counters_are_strings_and_chunks_count_media_alone() {
        let mut outgoing = outgoing();
        let messages = [
            outgoing.start(&[]),
            outgoing.media(&[0xff; 160]),
            outgoing.dtmf('1'),
            outgoing.media(&[0xff; 160]),
            outgoing.mark("r7:12"),
            outgoing.stop(),
        ];
        let messages: Vec<Value> = messages.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let sequence: Vec<_> = messages.iter().map(|message| message["sequenceNumber"].as_str().unwrap()).collect();
        assert_eq!(sequence, ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(messages[1]["media"]["chunk"], "1");
        assert_eq!(messages[3]["media"]["chunk"], "2");
        assert_eq!(messages[1]["media"]["payload"].as_str().unwrap().len(), 216);
        assert_eq!(messages[2]["dtmf"], json!({ "track": "inbound_track", "digit": "1" }));
    }

    #[test]
    fn start_carries_parameters_and_numbers_as_twilio_types_them() {
        let mut outgoing = outgoing();
        let message: Value = serde_json::from_str(&outgoing.start(&[("tenant".into(), "t-42".into())])).unwrap();
        assert_eq!(message["start"]["customParameters"], json!({ "tenant": "t-42" }));
        let format = json!({ "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 });
        assert_eq!(message["start"]["mediaFormat"], format);
        assert_eq!(message["streamSid"], message["start"]["streamSid"]);
    }

    #[test]
    fn timestamps_step_by_twenty_milliseconds_give_or_take_one() {
        let mut outgoing = outgoing();
        let stamps: Vec<i64> = (0..50)
            .map(|_| {
                let message: Value = serde_json::from_str(&outgoing.media(&[0xff; 160])).unwrap();
                message["media"]["timestamp"].as_str().unwrap().parse().unwrap()
            })
            .collect();
        assert_eq!(stamps[0], 155);
        assert!(stamps.windows(2).all(|pair| (19..=21).contains(&(pair[1] - pair[0]))), "{stamps:?}");
        assert!((stamps[49] - 155 - 49 * 20).abs() <= 1, "the wobble does not add up");
    }

    #[test]
    fn the_three_messages_are_taken() {
        let media = json!({ "event": "media", "streamSid": sid(), "media": { "payload": "f/8=" } });
        assert_eq!(parse(media), Ok(Incoming::Media(vec![0x7f, 0xff])));
        let mark = json!({ "event": "mark", "streamSid": sid(), "mark": { "name": "r7:12" } });
        assert_eq!(parse(mark), Ok(Incoming::Mark("r7:12".into())));
        assert_eq!(parse(json!({ "event": "clear", "streamSid": sid() })), Ok(Incoming::Clear));
    }

    #[test]
    fn anything_else_is_refused() {
        let shapes = [
            json!({ "event": "media", "streamSid": sid(), "media": { "payload": "", "track": "outbound" } }),
            json!({ "event": "clear", "streamSid": sid(), "sequenceNumber": "3" }),
            json!({ "event": "clear", "streamSid": sid(), "mark": null }),
            json!({ "event": "media", "streamSid": sid(), "media": {} }),
            json!({ "event": "clear" }),
            json!(["clear"]),
        ];
        for message in shapes {
            assert!(matches!(parse(message.clone()), Err(InvalidMessage::Shape(_))), "{message}");
        }
        let stray = json!({ "event": "clear", "streamSid": sid(), "mark": { "name": "a" } });
        assert_eq!(parse(stray), Err(InvalidMessage::Fields("clear".into())));
        assert_eq!(parse(json!({ "event": "mark", "streamSid": sid() })), Err(InvalidMessage::Fields("mark".into())));
        assert_eq!(parse(json!({ "event": "stop", "streamSid": sid() })), Err(InvalidMessage::Event("stop".into())));
        assert_eq!(parse(json!({ "event": "clear", "streamSid": "MZ0" })), Err(InvalidMessage::StreamSid));
        let audio = json!({ "event": "media", "streamSid": sid(), "media": { "payload": "no base64" } });
        assert_eq!(parse(audio), Err(InvalidMessage::Payload));
        let twice = format!(r#"{{"event":"clear","event":"clear","streamSid":"{}"}}"#, sid());
        assert!(matches!(Incoming::parse(&twice, outgoing().stream_sid()), Err(InvalidMessage::Shape(_))));
    }

    proptest! {
        #[test]
        fn nothing_a_server_sends_can_panic(text in r#"(\{|\}|"event":|"media"|"mark"|"clear"|[\[\],:]|"streamSid"|.)*"#) {
            let _ = Incoming::parse(&text, outgoing().stream_sid());
        }
    }

    #[test]
    fn a_file_header_in_the_audio_is_recognised() {
        assert_eq!(container(b"RIFF\x24\x00\x00\x00WAVE"), Some("WAV"));
        assert_eq!(container(&[0xff; 160]), None);
    }
}
