//! From the bytes of a request to inputs that can be trusted: frames, signatures, the order of events.
//!
//! Pure: hand it bytes and the time of day, drain [`Intake::poll_event`]. After the first [`Problem`] it is of no use.

use jiff::Timestamp;

use super::{
    auth::ChunkVerifier,
    fault::ExceptionKind,
    frame::{self, Frames, Malformed, NoEvent, Signed},
    rules::{Input, Policy, Rules, Violation},
    waived::Waived,
};

#[derive(Debug)]
pub(super) struct Intake {
    frames: Frames,
    chunks: ChunkVerifier,
    rules: Rules,
    /// The empty frame that ends the events was there.
    ended: bool,
    remarks: Vec<String>,
    waived: Waived,
}

/// An event was read: what it makes complete, if anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read(pub(super) Option<Input>);

/// Why a session cannot go on.
#[derive(Debug)]
pub(super) enum Problem {
    /// The stream is to be reset: nothing in it can be understood any more.
    Malformed(Malformed),
    /// The client is to be told.
    Refused(ExceptionKind, String),
}

impl From<Violation> for Problem {
    fn from(violation: Violation) -> Self {
        Self::Refused(ExceptionKind::Validation, violation.message().into())
    }
}

impl From<NoEvent> for Problem {
    fn from(problem: NoEvent) -> Self {
        match problem {
            NoEvent::Unsigned => Self::Refused(ExceptionKind::InvalidSignature, "the message is not signed".into()),
            NoEvent::Invalid => Violation::generic().into(),
            NoEvent::Unparsable => Violation::unparsable().into(),
        }
    }
}

impl Intake {
    pub(super) fn new(chunks: ChunkVerifier, policy: Policy) -> Self {
        let waived = policy.waived;
        let rules = Rules::new(policy);
        Self { frames: Frames::default(), chunks, rules, ended: false, remarks: Vec::new(), waived }
    }

    /// Takes the next bytes of the request.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) {
        self.frames.handle_bytes(bytes);
    }

    /// The next event, if one is complete.
    pub(super) fn poll_event(&mut self, now: Timestamp) -> Result<Option<Read>, Problem> {
        while let Some(frame) = self.frames.poll_frame().map_err(Problem::Malformed)? {
            let payload = match frame::signed(&frame) {
                Ok(Signed { date, signature, payload }) => {
                    let verified = self.chunks.verify(date, &signature, &payload, now);
                    verified.map_err(|error| Problem::Refused(ExceptionKind::InvalidSignature, error.to_string()))?;
                    payload
                }
                Err(_) if self.chunks.takes_unsigned() => frame.payload().clone(),
                Err(unsigned) => return Err(unsigned.into()),
            };
            if self.ended {
                self.remark(20, "a frame follows the empty frame that ends the events");
            } else if payload.is_empty() {
                self.ended = true;
            } else {
                let json = frame::event(&payload, !self.waived.contains(17))?;
                return Ok(Some(Read(self.rules.handle_event(&json)?)));
            }
        }
        Ok(None)
    }

    fn remark(&mut self, rule: u8, remark: &str) {
        if !self.waived.contains(rule) {
            self.remarks.push(remark.into());
        }
    }

    /// The model asked for a tool: its result may come.
    pub(super) fn tool_asked(&mut self, tool_use_id: String) {
        self.rules.tool_asked(tool_use_id);
    }

    /// Tolerated misbehaviour since the last call.
    pub(super) fn take_remarks(&mut self) -> Vec<String> {
        let mut remarks = std::mem::take(&mut self.remarks);
        remarks.append(&mut self.rules.take_remarks());
        remarks
    }

    /// The request's body has ended: says what was missing, if anything was.
    pub(super) fn finish(&self) -> Result<(), String> {
        self.frames.finish().map_err(|error| error.to_string())?;
        match (self.rules.is_over(), self.ended) {
            (true, true) => Ok(()),
            (true, false) if self.waived.contains(20) => Ok(()),
            (true, false) => Err("the stream ended without the empty frame".into()),
            (false, _) if self.waived.contains(54) => Ok(()),
            (false, _) => Err("the stream ended without promptEnd and sessionEnd".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            auth::tests::{Signer, now, verifier, verifier_without},
            events::{Generation, Sensitivity},
            frame::tests::{FRAMES, around, inner, outer, unhex, unsigned},
        },
        *,
    };

    fn intake(frames: &[&str]) -> Intake {
        let mut intake = Intake::new(verifier(), Policy::of(Generation::V2));
        frames.iter().for_each(|frame| intake.handle_bytes(&unhex(frame)));
        intake
    }

    fn refusal(intake: &mut Intake) -> (ExceptionKind, String) {
        match intake.poll_event(now()) {
            Err(Problem::Refused(kind, message)) => (kind, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn golden_messages_pass_signatures_and_reach_the_rules() {
        let mut intake = intake(&FRAMES);
        let started = Input::SessionStarted { sensitivity: Sensitivity::Medium };
        assert_eq!(intake.poll_event(now()).unwrap(), Some(Read(Some(started))));
        // The second is a sessionEnd, which has no place here.
        let generic = "Invalid input request, please fix your input and try again.";
        assert_eq!(refusal(&mut intake), (ExceptionKind::Validation, generic.into()));
    }

    #[test]
    fn messages_out_of_their_chain_are_refused() {
        let message = "the chunk signature does not match";
        assert_eq!(refusal(&mut intake(&FRAMES[1..])), (ExceptionKind::InvalidSignature, message.into()));
        let mut twice = intake(&[FRAMES[0], FRAMES[0]]);
        assert!(twice.poll_event(now()).is_ok());
        assert_eq!(refusal(&mut twice), (ExceptionKind::InvalidSignature, message.into()));
    }

    #[test]
    fn bytes_that_are_no_frames_are_malformed() {
        let mut intake = intake(&["00000000000000000000000000000000"]);
        assert!(matches!(intake.poll_event(now()), Err(Problem::Malformed(Malformed::Lengths))));
    }

    #[test]
    fn a_stream_that_ends_early_says_what_was_missing() {
        let mut intake = intake(&[FRAMES[0]]);
        assert!(intake.poll_event(now()).is_ok());
        assert_eq!(intake.finish().unwrap_err(), "the stream ended without promptEnd and sessionEnd");
        intake.handle_bytes(&[0]);
        assert_eq!(intake.finish().unwrap_err(), "stream ends inside a frame");
    }

    const GENERIC: &str = "Invalid input request, please fix your input and try again.";

    /// An intake that waives a rule, if any, and what a well-behaved client would have signed.
    fn signed(waived: Option<u8>, payloads: &[Vec<u8>]) -> Intake {
        let mut policy = Policy::of(Generation::V2);
        policy.waived = waived.map_or(Waived::NONE, |rule| Waived::NONE.and(rule).unwrap());
        let mut intake = Intake::new(verifier(), policy);
        let mut signer = Signer::new();
        for payload in payloads {
            let signature = signer.sign(payload);
            intake.handle_bytes(&outer(now(), &signature, payload));
        }
        intake
    }

    fn start() -> Vec<u8> {
        inner("chunk", r#"{"event":{"sessionStart":{}}}"#)
    }

    #[test]
    fn a_frame_without_a_signature_is_refused_unless_that_is_waived() {
        let refused = (ExceptionKind::InvalidSignature, "the message is not signed".into());
        let mut strict = Intake::new(verifier(), Policy::of(Generation::V2));
        strict.handle_bytes(&unsigned(&start()));
        assert_eq!(refusal(&mut strict), refused);
        let mut lenient = Intake::new(verifier_without(14), Policy::of(Generation::V2));
        lenient.handle_bytes(&unsigned(&start()));
        assert!(lenient.poll_event(now()).unwrap().is_some());
    }

    #[test]
    fn inner_headers_that_name_no_event_chunk_are_refused_unless_that_is_waived() {
        let other = || inner("other", r#"{"event":{"sessionStart":{}}}"#);
        assert_eq!(refusal(&mut signed(None, &[other()])), (ExceptionKind::Validation, GENERIC.into()));
        assert!(signed(Some(17), &[other()]).poll_event(now()).unwrap().is_some());
    }

    #[test]
    fn chunks_that_hold_no_json_cannot_be_parsed() {
        let unparsable = (ExceptionKind::Validation, "Unable to parse input chunk".to_owned());
        let chunks = [
            around("chunk", "no json"),
            around("chunk", "{}"),
            around("chunk", r#"{"bytes":"?"}"#),
            inner("chunk", "no json"),
        ];
        for chunk in chunks {
            assert_eq!(refusal(&mut signed(None, &[chunk])), unparsable);
        }
    }

    #[test]
    fn an_event_of_more_than_a_million_bytes_is_refused() {
        let event = |more: usize| {
            let json = r#"{"event":{"sessionStart":{}}}"#;
            inner("chunk", &format!("{json}{}", " ".repeat(1_000_000 - json.len() + more)))
        };
        assert!(signed(None, &[event(0)]).poll_event(now()).unwrap().is_some());
        assert_eq!(refusal(&mut signed(None, &[event(1)])), (ExceptionKind::Validation, GENERIC.into()));
    }

    #[test]
    fn a_frame_after_the_empty_one_is_put_on_record() {
        let mut strict = signed(None, &[Vec::new(), start()]);
        assert!(strict.poll_event(now()).unwrap().is_none());
        assert_eq!(strict.take_remarks(), ["a frame follows the empty frame that ends the events"]);
        let mut lenient = signed(Some(20), &[Vec::new(), start()]);
        assert!(lenient.poll_event(now()).unwrap().is_none());
        assert_eq!(lenient.take_remarks(), [""; 0]);
    }

    #[test]
    fn a_stream_may_end_early_where_that_is_waived() {
        assert!(signed(Some(54), &[]).finish().is_ok());
        assert!(signed(Some(20), &[]).finish().is_err());
    }

    #[test]
    fn a_message_whose_date_is_far_off_is_refused_like_one_that_is_not_signed() {
        let later = now() + jiff::SignedDuration::from_mins(6);
        match intake(&FRAMES).poll_event(later) {
            Err(Problem::Refused(ExceptionKind::InvalidSignature, message)) => {
                assert_eq!(message, "the message date is more than 5 minutes off");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stream_that_ends_without_the_empty_frame_is_put_on_record() {
        let format = r#""mediaType":"audio/lpcm","sampleRateHertz":8000,"sampleSizeBits":16,"channelCount":1"#;
        let audio = format!(r#"{{{format},"encoding":"base64","audioType":"SPEECH","voiceId":"amy"}}"#);
        let text = r#""promptName":"P","textOutputConfiguration":{"mediaType":"text/plain"}"#;
        let prompt = format!(r#"{{"event":{{"promptStart":{{{text},"audioOutputConfiguration":{audio}}}}}}}"#);
        let events = [start(), inner("chunk", &prompt), inner("chunk", r#"{"event":{"sessionEnd":{}}}"#)];
        // A short session, because nobody insists on the end of its prompt.
        let mut intake = signed(Some(51), &events);
        while intake.poll_event(now()).unwrap().is_some() {}
        assert_eq!(intake.finish().unwrap_err(), "the stream ended without the empty frame");
    }
}
