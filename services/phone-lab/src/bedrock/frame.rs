//! Event-stream frames: what comes in is two frames nested (signed outside, the event inside), what goes out is one.
//!
//! Framing is `aws-smithy-eventstream`'s; this file bounds it and knows the headers ("Amazon Event Stream
//! Specification", smithy.io; limits of 1,000,000 bytes per event from the Bedrock service model).

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes, BytesMut};
use jiff::Timestamp;
use serde::Deserialize;

/// Length, headers length and their checksum.
const PRELUDE: usize = 12;
/// What a frame adds to its headers and payload.
const OVERHEAD: usize = 16;
const MAX_HEADERS: usize = 128 * 1024;
const MAX_PAYLOAD: usize = 24 * 1024 * 1024;
const MAX_EVENT: usize = 1_000_000;
/// Longer than any text that a header is given here, and short enough for one.
const MAX_VALUE: usize = 16 * 1024;

/// The bytes are no event stream; nothing after them can be understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("frame lengths are inconsistent")]
    Lengths,
    #[error("frame does not decode")]
    Frame(#[source] aws_smithy_eventstream::error::Error),
    #[error("stream ends inside a frame")]
    Incomplete,
}

/// Cuts a byte stream into frames.
#[derive(Debug, Default)]
pub(super) struct Frames(BytesMut);

impl Frames {
    /// Takes the next bytes of the stream.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived.
    pub(super) fn poll_frame(&mut self) -> Result<Option<Message>, Malformed> {
        if self.0.len() < PRELUDE {
            return Ok(None);
        }
        let mut prelude = &self.0[..];
        let (total, headers) = (prelude.get_u32() as usize, prelude.get_u32() as usize);
        if headers == 1
            || headers > MAX_HEADERS
            || total < headers + OVERHEAD
            || total - headers - OVERHEAD > MAX_PAYLOAD
        {
            return Err(Malformed::Lengths);
        }
        if self.0.len() < total {
            return Ok(None);
        }
        read_message_from(self.0.split_to(total).freeze()).map(Some).map_err(Malformed::Frame)
    }

    /// Says whether the stream may end here.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Incomplete) }
    }
}

/// An outer frame: the signature, its date and the inner frame that it signs.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) date: Timestamp,
    pub(super) signature: Bytes,
    pub(super) payload: Bytes,
}

/// Why a well-formed frame is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoEvent {
    /// The frame is not signed.
    Unsigned,
    /// The inner frame is not the chunk of an event, or the event is too large.
    Invalid,
    /// There is no readable event in the chunk.
    Unparsable,
}

/// Reads an outer frame's headers.
pub(super) fn signed(frame: &Message) -> Result<Signed, NoEvent> {
    let date = header(frame, ":date").and_then(|value| value.as_timestamp().ok());
    let date = date.and_then(|date| date.to_millis().ok()).and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let signature = header(frame, ":chunk-signature").and_then(|value| value.as_byte_array().ok()).cloned();
    let (Some(date), Some(signature)) = (date, signature) else { return Err(NoEvent::Unsigned) };
    Ok(Signed { date, signature, payload: frame.payload().clone() })
}

/// Unwraps an inner frame to the JSON of its event; `named` if its headers have to say that it is one.
pub(super) fn event(inner: &Bytes, named: bool) -> Result<Vec<u8>, NoEvent> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: std::borrow::Cow<'a, str>,
    }
    let mut frames = Frames::default();
    frames.handle_bytes(inner);
    let frame = frames.poll_frame().ok().flatten().ok_or(NoEvent::Invalid)?;
    let says =
        |name, expected| header(&frame, name).and_then(|v| v.as_string().ok()).is_some_and(|v| v.as_str() == expected);
    let is_event = says(":message-type", "event") && says(":event-type", "chunk");
    if frames.finish().is_err() || named && !is_event {
        return Err(NoEvent::Invalid);
    }
    let chunk: Chunk<'_> = serde_json::from_slice(frame.payload()).map_err(|_| NoEvent::Unparsable)?;
    let json = STANDARD.decode(chunk.bytes.as_bytes()).map_err(|_| NoEvent::Unparsable)?;
    if json.len() > MAX_EVENT { Err(NoEvent::Invalid) } else { Ok(json) }
}

fn header<'a>(frame: &'a Message, name: &str) -> Option<&'a HeaderValue> {
    frame.headers().iter().find(|header| header.name().as_str() == name).map(Header::value)
}

/// The frame of an output event.
pub(super) fn encode_event(json: &str) -> Bytes {
    encode_chunk(format!(r#"{{"bytes":"{}"}}"#, STANDARD.encode(json)))
}

/// The same with the field `p`, by which other Bedrock streams hide the length of an event.
pub(super) fn encode_padded_event(json: &str, padding: usize) -> Bytes {
    const FILL: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let fill = &FILL[..padding.min(FILL.len())];
    encode_chunk(format!(r#"{{"bytes":"{}","p":"{fill}"}}"#, STANDARD.encode(json)))
}

fn encode_chunk(payload: String) -> Bytes {
    encode([(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// The frame of an exception; `kind` as on the wire, e.g. `validationException`.
pub(super) fn encode_exception(kind: &str, message: &str) -> Bytes {
    let mut payload = serde_json::json!({ "message": message });
    if kind == "modelStreamErrorException" {
        // The one exception with more to say (Bedrock API reference).
        payload["originalStatusCode"] = 500.into();
        payload["originalMessage"] = message.into();
    }
    let (payload, kind) = (payload.to_string(), kind.to_owned());
    encode([(":exception-type", &kind), (":content-type", "application/json"), (":message-type", "exception")], payload)
}

/// The frame of an error that the service model does not have; it has no payload ("Amazon Event Stream Specification").
pub(super) fn encode_error(code: &str, message: &str) -> Bytes {
    let message = &message[..message.floor_char_boundary(MAX_VALUE)];
    let code = &code[..code.floor_char_boundary(MAX_VALUE)];
    encode([(":message-type", "error"), (":error-code", code), (":error-message", message)], String::new())
}

fn encode(headers: [(&'static str, &str); 3], payload: String) -> Bytes {
    let header = |(name, value): (&'static str, &str)| Header::new(name, HeaderValue::String(value.to_owned().into()));
    let message = Message::new_from_parts(headers.map(header).into(), payload);
    let mut bytes = Vec::with_capacity(message.payload().len() + 128);
    write_message_to(&message, &mut bytes).expect("three short headers fit a frame");
    bytes.into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Captured from the official Rust SDK: sessionStart, sessionEnd, the empty end frame.
    pub(in super::super) const FRAMES: [&str; 3] = [
        "000000e200000043d8e35bfc103a6368756e6b2d7369676e6174757265060020ec0c3a74125d116fe3c8a2af1dd454e60b58447fd8e03d22e033646145bd4354053a6461746508000001a202fef4e80000008f0000004bb79a60320d3a6d6573736167652d747970650700056576656e740b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b226279746573223a2265794a6c646d56756443493665794a7a5a584e7a6157397555335268636e51694f6e74396658303d227d14bee13842130788",
        "000000de00000043bc320e7b103a6368756e6b2d7369676e6174757265060020acd6a250f99662a40ea12b21bff62fa3b11c2da42cd7494a1d3367f126d17586053a6461746508000001a202fef4e80000008b0000004b421ac6f20d3a6d6573736167652d747970650700056576656e740b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b226279746573223a2265794a6c646d56756443493665794a7a5a584e7a615739755257356b496a703766583139227d8f5d6513ea789fa0",
        "0000005300000043f5447a58103a6368756e6b2d7369676e6174757265060020c887dfabc993a769f42d3f9cb6c963d278ec59fe7f89975d59059ac7b5a3c43f053a6461746508000001a202fef4e8f5a23b85",
    ];

    pub(in super::super) fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// An inner frame with this event type around this event.
    pub(in super::super) fn inner(kind: &str, json: &str) -> Vec<u8> {
        around(kind, &format!(r#"{{"bytes":"{}"}}"#, STANDARD.encode(json)))
    }

    /// An inner frame with this event type and payload.
    pub(in super::super) fn around(kind: &str, payload: &str) -> Vec<u8> {
        let headers = [(":message-type", "event"), (":event-type", kind), (":content-type", "application/json")];
        encode(headers, payload.to_owned()).into()
    }

    /// An outer frame around an inner one.
    pub(in super::super) fn outer(date: Timestamp, signature: &[u8], payload: &[u8]) -> Vec<u8> {
        let date = aws_smithy_types::DateTime::from_millis(date.as_millisecond());
        let headers = vec![
            Header::new(":date", HeaderValue::Timestamp(date)),
            Header::new(":chunk-signature", HeaderValue::ByteArray(Bytes::copy_from_slice(signature))),
        ];
        written(&Message::new_from_parts(headers, payload.to_vec()))
    }

    /// An outer frame without any header.
    pub(in super::super) fn unsigned(payload: &[u8]) -> Vec<u8> {
        written(&Message::new(payload.to_vec()))
    }

    fn written(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_message_to(message, &mut bytes).unwrap();
        bytes
    }

    fn frames(bytes: &[u8]) -> Vec<Message> {
        let mut frames = Frames::default();
        frames.handle_bytes(bytes);
        let all = std::iter::from_fn(|| frames.poll_frame().unwrap()).collect();
        frames.finish().unwrap();
        all
    }

    #[test]
    fn captured_input_frames_unwrap_to_their_events() {
        let bytes: Vec<u8> = FRAMES.iter().flat_map(|frame| unhex(frame)).collect();
        let frames: Vec<_> = frames(&bytes).iter().map(|frame| signed(frame).unwrap()).collect();
        assert_eq!(event(&frames[0].payload, true).unwrap(), br#"{"event":{"sessionStart":{}}}"#);
        assert_eq!(event(&frames[1].payload, true).unwrap(), br#"{"event":{"sessionEnd":{}}}"#);
        assert!(frames[2].payload.is_empty());
        assert!(frames.iter().all(|frame| frame.date.as_millisecond() == 1_795_346_593_000));
        assert!(frames[2].signature.starts_with(&unhex("c887dfab")));
    }

    #[test]
    fn output_frames_are_as_documented_byte_for_byte() {
        let event = "000000930000004b128a1ab10b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226279746573223a2265794a6c646d56756443493665794a6a62323177624756306157397555335268636e51694f6e74396658303d227d9eabeefa";
        assert_eq!(encode_event(r#"{"event":{"completionStart":{}}}"#), unhex(event));
        let exception = "0000008000000061ee713e350f3a657863657074696f6e2d7479706507001376616c69646174696f6e457863657074696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f6e7b226d657373616765223a2278227d437e09b6";
        assert_eq!(encode_exception("validationException", "x"), unhex(exception));
    }

    #[test]
    fn an_error_of_the_model_stream_says_what_it_was_originally() {
        let frame = frames(&encode_exception("modelStreamErrorException", "x")).remove(0);
        let payload: serde_json::Value = serde_json::from_slice(frame.payload()).unwrap();
        let expected = serde_json::json!({"message": "x", "originalStatusCode": 500, "originalMessage": "x"});
        assert_eq!(payload, expected);
    }

    #[test]
    fn an_error_is_all_headers() {
        let frame = frames(&encode_error("Oops", "all is lost")).remove(0);
        let value = |name| header(&frame, name).unwrap().as_string().unwrap().as_str();
        assert_eq!(value(":message-type"), "error");
        assert_eq!((value(":error-code"), value(":error-message")), ("Oops", "all is lost"));
        assert!(frame.payload().is_empty() && frame.headers().len() == 3);
        assert_eq!(frames(&encode_error(&"\u{e9}".repeat(99_999), "")).len(), 1);
    }

    #[test]
    fn padding_stands_beside_the_bytes_and_changes_nothing_else() {
        let payload = |bytes: Bytes| {
            let frame = frames(&bytes).remove(0);
            serde_json::from_slice::<serde_json::Value>(frame.payload()).unwrap()
        };
        let (plain, padded) = (payload(encode_event("{}")), payload(encode_padded_event("{}", 5)));
        assert_eq!((&padded["bytes"], &padded["p"]), (&plain["bytes"], &"abcde".into()));
        assert!(plain.get("p").is_none());
    }

    #[test]
    fn frames_may_arrive_in_pieces_of_any_size() {
        let bytes = unhex(FRAMES[0]);
        let mut frames = Frames::default();
        for byte in &bytes[..bytes.len() - 1] {
            frames.handle_bytes(&[*byte]);
            assert!(frames.poll_frame().unwrap().is_none());
        }
        assert!(matches!(frames.finish(), Err(Malformed::Incomplete)));
        frames.handle_bytes(&bytes[bytes.len() - 1..]);
        assert!(frames.poll_frame().unwrap().is_some());
        frames.finish().unwrap();
    }

    #[test]
    fn broken_lengths_and_checksums_are_malformed() {
        let broken = |at: usize, value: u8| {
            let mut bytes = unhex(FRAMES[0]);
            bytes[at] = value;
            let mut frames = Frames::default();
            frames.handle_bytes(&bytes);
            frames.poll_frame().unwrap_err()
        };
        assert!(matches!(broken(0, 0x7f), Malformed::Lengths));
        assert!(matches!(broken(7, 1), Malformed::Lengths));
        assert!(matches!(broken(5, 0xff), Malformed::Lengths));
        assert!(matches!(broken(9, 0), Malformed::Frame(_)));
        assert!(matches!(broken(100, 0), Malformed::Frame(_)));
    }

    #[test]
    fn what_is_no_signed_chunk_of_an_event_is_told_apart() {
        let unsigned = Message::new("x");
        assert_eq!(signed(&unsigned).unwrap_err(), NoEvent::Unsigned);
        let chunk = |kind: &'static str, payload: &'static str| {
            encode(
                [(":message-type", "event"), (":event-type", kind), (":content-type", "application/json")],
                payload.into(),
            )
        };
        assert_eq!(event(&chunk("other", r#"{"bytes":""}"#), true), Err(NoEvent::Invalid));
        assert_eq!(event(&Bytes::from_static(b"no frame"), true), Err(NoEvent::Invalid));
        assert_eq!(event(&chunk("chunk", "{}"), true), Err(NoEvent::Unparsable));
        assert_eq!(event(&chunk("chunk", r#"{"bytes":"?"}"#), true), Err(NoEvent::Unparsable));
    }

    proptest::proptest! {
        #[test]
        fn mangled_frames_are_told_apart_without_panic(at in 0usize..531, value: u8, cut in 0usize..531) {
            let mut bytes: Vec<u8> = FRAMES.iter().flat_map(|frame| unhex(frame)).collect();
            bytes[at] = value;
            bytes.truncate(cut);
            let mut frames = Frames::default();
            frames.handle_bytes(&bytes);
            let mut whole = 0;
            while let Ok(Some(frame)) = frames.poll_frame() {
                whole += 1;
                let _ = signed(&frame).map(|signed| event(&signed.payload, true));
            }
            proptest::prop_assert!(whole <= 3);
        }
    }
}
