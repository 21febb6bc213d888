//! From the bytes of a request to inputs that can be trusted: frames, signatures, the order of events.
//!
//! Pure: hand it bytes and the time of day, drain [`Intake::poll_input`]. After the first [`Problem`] it is of no use.

use jiff::Timestamp;

use super::{
    auth::ChunkVerifier,
    events::Generation,
    fault::ExceptionKind,
    frame::{self, Frames, Malformed, NoEvent},
    rules::{Input, Rules, Violation},
};

#[derive(Debug)]
pub(super) struct Intake {
    frames: Frames,
    chunks: ChunkVerifier,
    rules: Rules,
    /// The empty frame that ends the events was there.
    ended: bool,
    remarks: Vec<String>,
}

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
    pub(super) fn new(chunks: ChunkVerifier, model: Generation) -> Self {
        Self { frames: Frames::default(), chunks, rules: Rules::new(model), ended: false, remarks: Vec::new() }
    }

    /// Takes the next bytes of the request.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) {
        self.frames.handle_bytes(bytes);
    }

    /// The next input, if one is complete.
    pub(super) fn poll_input(&mut self, now: Timestamp) -> Result<Option<Input>, Problem> {
        while let Some(frame) = self.frames.poll_frame().map_err(Problem::Malformed)? {
            let signed = frame::signed(&frame)?;
            self.chunks
                .verify(signed.date, &signed.signature, &signed.payload, now)
                .map_err(|error| Problem::Refused(ExceptionKind::InvalidSignature, error.to_string()))?;
            if self.ended {
                self.remarks.push("a frame follows the empty frame that ends the events".into());
            } else if signed.payload.is_empty() {
                self.ended = true;
            } else if let Some(input) = self.rules.handle_event(&frame::event(&signed.payload)?)? {
                return Ok(Some(input));
            }
        }
        Ok(None)
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
            (true, false) => Err("the stream ended without the empty frame".into()),
            (false, _) => Err("the stream ended without promptEnd and sessionEnd".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            auth::tests::{now, verifier},
            events::Sensitivity,
            frame::tests::{FRAMES, unhex},
        },
        *,
    };

    fn intake(frames: &[&str]) -> Intake {
        let mut intake = Intake::new(verifier(), Generation::V2);
        frames.iter().for_each(|frame| intake.handle_bytes(&unhex(frame)));
        intake
    }

    fn refusal(intake: &mut Intake) -> (ExceptionKind, String) {
        match intake.poll_input(now()) {
            Err(Problem::Refused(kind, message)) => (kind, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn golden_messages_pass_signatures_and_reach_the_rules() {
        let mut intake = intake(&FRAMES);
        let started = Input::SessionStarted { sensitivity: Sensitivity::Medium };
        assert_eq!(intake.poll_input(now()).unwrap(), Some(started));
        // The second is a sessionEnd, which has no place here.
        let generic = "Invalid input request, please fix your input and try again.";
        assert_eq!(refusal(&mut intake), (ExceptionKind::Validation, generic.into()));
    }

    #[test]
    fn messages_out_of_their_chain_are_refused() {
        let message = "the chunk signature does not match";
        assert_eq!(refusal(&mut intake(&FRAMES[1..])), (ExceptionKind::InvalidSignature, message.into()));
        let mut twice = intake(&[FRAMES[0], FRAMES[0]]);
        assert!(twice.poll_input(now()).is_ok());
        assert_eq!(refusal(&mut twice), (ExceptionKind::InvalidSignature, message.into()));
    }

    #[test]
    fn bytes_that_are_no_frames_are_malformed() {
        let mut intake = intake(&["00000000000000000000000000000000"]);
        assert!(matches!(intake.poll_input(now()), Err(Problem::Malformed(Malformed::Lengths))));
    }

    #[test]
    fn a_stream_that_ends_early_says_what_was_missing() {
        let mut intake = intake(&[FRAMES[0]]);
        assert!(intake.poll_input(now()).is_ok());
        assert_eq!(intake.finish().unwrap_err(), "the stream ended without promptEnd and sessionEnd");
        intake.handle_bytes(&[0]);
        assert_eq!(intake.finish().unwrap_err(), "stream ends inside a frame");
    }
}
