use bytes::Bytes;
use offhook_proto::voice::v1::{self as wire, from_edge, next_step, to_edge};
use tonic::{Code, Status};

use super::reports;
use crate::{
    calls::{CallRecord, CallSid, Direction, NextStep, Party, Speaker, ToolRun, Turn, TurnKind},
    context::CallContext,
    conversation::{Input, Key, LegEnd},
};

/// The most that a model is told at once: longer texts are split by those who measured what it takes in.
const MOST_TOLD_CHARACTERS: usize = 1_000;

/// Longer than any number or SIP address.
const LONGEST_PARTY: usize = 300;

/// A valid `Start`, as far as this worker needs it.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) call: CallSid,
    pub(crate) stream_sid: String,
    /// The agent that is to speak; empty: the default one.
    pub(crate) agent: String,
    pub(crate) context: CallContext,
    pub(crate) transfer_available: bool,
    pub(crate) ticket_id: String,
}

impl TryFrom<wire::Start> for Start {
    type Error = Status;

    fn try_from(start: wire::Start) -> Result<Self, Status> {
        let direction = match start.direction() {
            wire::Direction::Outbound => Direction::Outbound,
            wire::Direction::Inbound | wire::Direction::Unspecified => Direction::Inbound,
        };
        let party = |party: String| (1..=LONGEST_PARTY).contains(&party.len()).then(|| Party::from(party));
        let (from, to) = (party(start.from), party(start.to));
        for (name, value) in [("stream_sid", &start.stream_sid), ("account_sid", &start.account_sid)] {
            if value.is_empty() {
                return Err(Status::invalid_argument(format!("start.{name} is required")));
            }
        }
        Ok(Self {
            call: call_sid(start.call_sid)?,
            stream_sid: start.stream_sid,
            agent: start.agent,
            context: CallContext { direction, from, to, parameters: start.parameters.into_iter().collect() },
            transfer_available: start.transfer_available,
            ticket_id: start.ticket_id,
        })
    }
}

/// A CallSid, or the status that says what is wrong with it.
pub(crate) fn call_sid(sid: String) -> Result<CallSid, Status> {
    CallSid::try_from(sid).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A text for a model, or the status that says what is wrong with it.
pub(crate) fn text_to_tell(text: &str) -> Result<String, Status> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Status::invalid_argument("text must not be blank")),
        1..=MOST_TOLD_CHARACTERS => Ok(text.to_owned()),
        _ => Err(Status::invalid_argument(format!("text must have at most {MOST_TOLD_CHARACTERS} characters"))),
    }
}

/// What a message of the edge means to a conversation; `None`: nothing.
pub(crate) fn input(message: wire::FromEdge) -> Option<Input> {
    match message.message? {
        from_edge::Message::Audio(audio) if !audio.mulaw.is_empty() => Some(Input::CallerAudio(audio.mulaw)),
        from_edge::Message::Heard(heard) => Some(Input::Heard { sample: heard.sample, epoch: heard.epoch }),
        from_edge::Message::Ended(ended) => Some(Input::LegEnded(match ended.reason() {
            wire::EndedReason::Stopped => LegEnd::Stopped,
            wire::EndedReason::ProtocolError => LegEnd::ProtocolError,
            wire::EndedReason::EdgeStopping => LegEnd::EdgeStopping,
            wire::EndedReason::ConnectionLost | wire::EndedReason::Unspecified => LegEnd::ConnectionLost,
        })),
        from_edge::Message::Digit(digit) => Key::try_from(digit.digit.as_str()).ok().map(Input::Pressed),
        // A second `Start` changes nothing.
        from_edge::Message::Audio(_) | from_edge::Message::Start(_) => None,
    }
}

/// The edge's stream broke: a message could not be read, or the connection is gone.
pub(crate) fn broken(status: &Status) -> Input {
    let unreadable = matches!(status.code(), Code::Internal | Code::InvalidArgument | Code::OutOfRange);
    Input::LegEnded(if unreadable { LegEnd::ProtocolError } else { LegEnd::ConnectionLost })
}

pub(crate) fn accepted() -> wire::ToEdge {
    to_edge(to_edge::Message::Accepted(wire::Accepted {}))
}

pub(crate) fn speak(first_sample: u64, epoch: u32, mulaw: Bytes) -> wire::ToEdge {
    to_edge(to_edge::Message::Speak(wire::Speak { first_sample, mulaw, epoch }))
}

pub(crate) fn hush(epoch: u32) -> wire::ToEdge {
    to_edge(to_edge::Message::Hush(wire::Hush { epoch }))
}

/// The leg is over before it began; what comes next is in the record.
pub(crate) fn refused() -> Status {
    Status::failed_precondition("the model took no session: ask Calls.NextStep")
}

pub(crate) fn next(step: NextStep) -> wire::ToEdge {
    to_edge(to_edge::Message::Next(wire::Next { step: Some(next_step(step)) }))
}

fn to_edge(message: to_edge::Message) -> wire::ToEdge {
    wire::ToEdge { message: Some(message) }
}

pub(crate) fn next_step(step: NextStep) -> wire::NextStep {
    let step = match step {
        NextStep::HangUp { say } => next_step::Step::HangUp(wire::HangUp { say: say.unwrap_or_default() }),
        NextStep::Transfer { reason, say } => next_step::Step::Transfer(wire::Transfer {
            reason: reason.unwrap_or_default(),
            say: say.unwrap_or_default(),
        }),
        NextStep::SendDigits { digits } => {
            next_step::Step::SendDigits(wire::SendDigits { digits: digits.as_str().to_owned() })
        }
        NextStep::Reattach => next_step::Step::Reattach(wire::Reattach {}),
    };
    wire::NextStep { step: Some(step) }
}

pub(crate) fn record(record: CallRecord) -> wire::CallRecord {
    let direction = match record.direction {
        Direction::Inbound => wire::Direction::Inbound,
        Direction::Outbound => wire::Direction::Outbound,
    };
    wire::CallRecord {
        call_sid: record.call_sid.to_string(),
        agent: record.agent,
        direction: direction.into(),
        started_at: format!("{:.3}", record.started_at),
        ended_at: record.ended_at.map(|at| format!("{at:.3}")).unwrap_or_default(),
        outcome: record.outcome.map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(),
        turns: record.turns.into_iter().map(turn).collect(),
        tools: record.tools.into_iter().map(tool_run).collect(),
        usage: Some(wire::Usage {
            input_speech_tokens: record.usage.input_speech_tokens,
            input_text_tokens: record.usage.input_text_tokens,
            output_speech_tokens: record.usage.output_speech_tokens,
            output_text_tokens: record.usage.output_text_tokens,
        }),
        cost_usd: record.cost_usd.to_string(),
        call_status: record.call_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        call_duration_s: record.call_duration_s,
        call_sip_response_code: record.call_sip_response_code,
        answered_by: record.answered_by.map(|answered_by| answered_by.as_str().to_owned()).unwrap_or_default(),
        transfers: record.transfers.into_iter().map(reports::transfer_ended).collect(),
        recordings: record.recordings.into_iter().map(reports::recording).collect(),
        stream_errors: record.stream_errors.into_iter().map(reports::stream_error).collect(),
    }
}

fn turn(turn: Turn) -> wire::Turn {
    let speaker = match turn.speaker {
        Speaker::Caller => wire::Speaker::Caller,
        Speaker::Agent => wire::Speaker::Agent,
        Speaker::System => wire::Speaker::System,
    };
    let kind = match turn.kind {
        TurnKind::Speech => wire::TurnKind::Speech,
        TurnKind::Digits => wire::TurnKind::Digits,
        TurnKind::Note => wire::TurnKind::Note,
    };
    wire::Turn {
        speaker: speaker.into(),
        kind: kind.into(),
        text: turn.text,
        heard: turn.heard,
        at: format!("{:.3}", turn.at),
        interrupted: turn.interrupted,
        cut_at: turn.cut_at.map(|at| format!("{at:.3}")).unwrap_or_default(),
        latency: turn.latency.map(|latency| wire::Latency {
            total_ms: latency.total_ms,
            endpointing_ms: latency.endpointing_ms,
            model_ms: latency.model_ms,
            tool_ms: latency.tool_ms,
            own_ms: latency.own_ms,
        }),
    }
}

fn tool_run(run: ToolRun) -> wire::ToolRun {
    wire::ToolRun {
        name: run.name,
        input: run.input.to_string(),
        result: run.result.map(|result| result.to_string()).unwrap_or_default(),
        started_at: format!("{:.3}", run.started_at),
        duration_ms: run.duration_ms,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use offhook_hosting::{clock::Clock, entropy::Entropy};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::{
        agent::Agent,
        conversation::{CallTime, Conversation, Limits, Output, Past, Terms},
        prices::Prices,
        tools::Tools,
    };

    /// Valid messages of every kind, and valid ones with bytes changed, cut off or added.
    fn mangled() -> impl Strategy<Value = Vec<u8>> {
        let message = prop_oneof![
            (any::<u64>(), prop::collection::vec(any::<u8>(), 0..400)).prop_map(|(first_sample, mulaw)| {
                from_edge::Message::Audio(wire::CallerAudio { first_sample, mulaw: mulaw.into() })
            }),
            prop_oneof!["[0-9A-D*#]", any::<String>()]
                .prop_map(|digit| from_edge::Message::Digit(wire::Digit { digit })),
            (any::<u64>(), any::<u32>())
                .prop_map(|(sample, epoch)| from_edge::Message::Heard(wire::Heard { sample, epoch })),
            (5..i32::MAX).prop_map(|reason| from_edge::Message::Ended(wire::Ended { reason })),
            any::<String>()
                .prop_map(|call_sid| from_edge::Message::Start(wire::Start { call_sid, ..wire::Start::default() })),
        ];
        (message, prop::collection::vec((any::<usize>(), any::<u8>()), 0..4), any::<Option<u8>>()).prop_map(
            |(message, changes, cut)| {
                let mut bytes = wire::FromEdge { message: Some(message) }.encode_to_vec();
                for (at, byte) in changes {
                    let at = at % (bytes.len() + 1);
                    if at == bytes.len() { bytes.push(byte) } else { bytes[at] = byte }
                }
                bytes.truncate(bytes.len() - usize::from(cut.unwrap_or(0)).min(bytes.len()));
                bytes
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn mangled_messages_leave_a_leg_that_lives_or_ends_by_the_book(messages in prop::collection::vec(mangled(), 1..8)) {
            let now = Clock.now();
            let time = CallTime { started: now, started_at: Timestamp::UNIX_EPOCH };
            let tools = Tools::built_in(Clock).specs(true);
            let terms = Terms { agent: Agent::demo().into(), tools, prices: Prices::default(), limits: Limits::default(), context: CallContext::default(), past: Past::default() };
            let mut conversation = Conversation::new(terms, time, Entropy::from_seed(1));
            let Some(Output::OpenStream { session, .. }) = conversation.poll_output() else { panic!("no stream") };
            conversation.handle(Input::StreamOpened { session, credentials_expire: None }, now);
            let mut next_steps = 0;
            for bytes in messages {
                if let Some(input) = wire::FromEdge::decode(&*bytes).ok().and_then(input) {
                    conversation.handle(input, now);
                }
                next_steps += std::iter::from_fn(|| conversation.poll_output()).filter(|output| matches!(output, Output::Next(_))).count();
            }
            prop_assert!(next_steps <= 1);
        }
    }
}
