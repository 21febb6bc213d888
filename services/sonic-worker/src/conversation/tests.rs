use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{
    calls::{Latency, Speaker, Turn},
    nova::{GenerationStage, Role, ServerEvent, StopReason, ToolUseId, Usage},
    tools::Tools,
};

mod drive;
mod handover;
mod hearing;
mod keys;
mod latency;
mod leaving;
mod notes;
mod patience;
mod phone;
mod pitfalls;
mod recovering;
mod resume;

/// An arbitrary point from which a test's time starts.
#[expect(clippy::disallowed_methods, reason = "an instant can only be had from the clock")]
pub(super) fn start() -> Instant {
    Instant::now()
}

/// A conversation with invented time; outputs are drained after every step.
struct Rig {
    conversation: Conversation,
    now: Instant,
    notes: Vec<Entry>,
    /// The session that was asked for last.
    session: Option<SessionNo>,
}

impl Rig {
    fn opening() -> Self {
        let tools = Tools::built_in(offhook_hosting::clock::Clock).specs(true);
        Self::with(tools, start())
    }

    fn with(tools: Vec<ToolSpec>, now: Instant) -> Self {
        // A test that lets time pass is not about callers who say nothing.
        let limits = Limits { silence_ask_after: Duration::MAX, call_limit: Duration::MAX, ..Limits::default() };
        Self::with_limits(tools, limits, now)
    }

    fn with_limits(tools: Vec<ToolSpec>, limits: Limits, now: Instant) -> Self {
        Self::with_past(tools, limits, Past::default(), now)
    }

    fn with_past(tools: Vec<ToolSpec>, limits: Limits, past: Past, now: Instant) -> Self {
        let time = CallTime { started: now, started_at: Timestamp::UNIX_EPOCH };
        let context = CallContext::default();
        let terms = Terms { agent: Agent::demo().into(), tools, prices: Prices::default(), limits, context, past };
        let conversation = Conversation::new(terms, time, Entropy::from_seed(7));
        Self { conversation, now, notes: Vec::new(), session: None }
    }

    fn live() -> Self {
        let mut rig = Self::opening();
        rig.outputs();
        rig.opened();
        rig
    }

    fn opened(&mut self) -> Vec<Output> {
        let session = self.session.expect("one was asked for");
        self.handle(Input::StreamOpened { session, credentials_expire: None })
    }

    fn refused(&mut self, failure: Failure) -> Vec<Output> {
        let session = self.session.expect("one was asked for");
        self.handle(Input::StreamRefused { session, failure })
    }

    fn ended(&mut self, failure: Option<Failure>) -> Vec<Output> {
        let session = self.session.expect("one was asked for");
        self.handle(Input::StreamEnded { session, failure })
    }

    /// What comes out, without the record's notes, which are kept aside.
    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.conversation.poll_output() {
            match output {
                Output::Note(entry) => self.notes.push(entry),
                output => {
                    if let Output::OpenStream { session, .. } = output {
                        self.session = Some(session);
                    }
                    outputs.push(output);
                }
            }
        }
        outputs
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.conversation.handle(input, self.now);
        self.outputs()
    }

    fn model(&mut self, events: impl IntoIterator<Item = ServerEvent>) -> Vec<Output> {
        let session = self.session.expect("one was asked for");
        self.model_of(session, events)
    }

    fn model_of(&mut self, session: SessionNo, events: impl IntoIterator<Item = ServerEvent>) -> Vec<Output> {
        events.into_iter().flat_map(|event| self.handle(Input::Model { session, event })).collect()
    }

    /// Moves on to the next deadline at which something is done, other than sending silence; it must not be later than
    /// `within`.
    fn reach_deadline(&mut self, within: Duration) -> Vec<Output> {
        let limit = self.now + within;
        loop {
            let deadline = self.conversation.poll_deadline().expect("something is due");
            assert!(deadline <= limit, "due only {:?} too late", deadline - limit);
            let outputs = self.pass_until(deadline);
            if !outputs.is_empty() {
                return outputs;
            }
        }
    }

    fn later(&mut self, millis: u64) -> Vec<Output> {
        let until = self.now + Duration::from_millis(millis);
        let mut outputs = Vec::new();
        while let Some(deadline) = self.conversation.poll_deadline().filter(|deadline| *deadline < until) {
            outputs.extend(self.pass_until(deadline));
        }
        outputs.extend(self.pass_until(until));
        outputs
    }

    /// What is done at that time, but for silence that is sent.
    fn pass_until(&mut self, at: Instant) -> Vec<Output> {
        self.now = at;
        let mut outputs = self.handle(Input::Deadline);
        outputs.retain(|output| !matches!(output, Output::SendAudio(..)));
        outputs
    }

    /// The caller is heard for so long at this loudness, 20 ms at a time. What is done meanwhile but for the audio itself.
    fn caller(&mut self, sound: u8, millis: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        for _ in 0..millis / 20 {
            outputs.extend(self.later(20));
            let heard = self.handle(Input::CallerAudio(Bytes::from(vec![sound; 160])));
            outputs.extend(heard.into_iter().filter(|output| !matches!(output, Output::SendAudio(..))));
        }
        outputs
    }

    fn turns(&self) -> Vec<&Turn> {
        self.notes.iter().filter_map(|entry| if let Entry::Turn(turn) = entry { Some(turn) } else { None }).collect()
    }

    fn outcome(&self) -> Option<(Outcome, &NextStep)> {
        self.notes.iter().find_map(|entry| match entry {
            Entry::Ended { outcome, next_step, .. } => Some((*outcome, next_step)),
            Entry::Turn(_) | Entry::Tool(_) | Entry::Usage { .. } | Entry::Asked | Entry::Reported { .. } => None,
        })
    }
}

fn says(text: &str) -> [ServerEvent; 4] {
    let start = ServerEvent::TextStart { role: Role::Assistant, stage: GenerationStage::Speculative };
    [start, ServerEvent::Text(text.into()), ServerEvent::TextEnd(StopReason::PartialTurn), audio(160)]
}

/// As `says`, with this much audio, in a block that ends the turn.
fn says_for(text: &str, samples: usize) -> [ServerEvent; 5] {
    let [start, words, end, _] = says(text);
    [start, words, end, audio(samples), turn_ends()]
}

fn caller_said(text: &str) -> [ServerEvent; 3] {
    let start = ServerEvent::TextStart { role: Role::User, stage: GenerationStage::Final };
    [start, ServerEvent::Text(text.into()), ServerEvent::TextEnd(StopReason::PartialTurn)]
}

fn audio(samples: usize) -> ServerEvent {
    ServerEvent::Audio(Bytes::from(vec![0; samples * 2]))
}

fn turn_ends() -> ServerEvent {
    ServerEvent::AudioEnd(StopReason::EndTurn)
}

fn interrupted() -> [ServerEvent; 2] {
    let start = ServerEvent::TextStart { role: Role::Assistant, stage: GenerationStage::Final };
    [start, ServerEvent::TextEnd(StopReason::Interrupted)]
}

fn wants(tool: &str, input: Value) -> ServerEvent {
    ServerEvent::ToolUse { id: ToolUseId::from("T1"), name: tool.into(), input }
}

fn sent(outputs: &[Output]) -> Vec<String> {
    let name = |event: &crate::nova::ClientEvent| {
        let event: Value = serde_json::from_slice(&event.clone().into_bytes()).unwrap();
        event["event"].as_object().unwrap().keys().next().unwrap().clone()
    };
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send(_, event) | Output::SendAudio(_, event) => Some(name(event)),
        _ => None,
    });
    sent.collect()
}

fn press(key: &str) -> Input {
    Input::Pressed(Key::try_from(key).unwrap())
}

/// The text that goes to the model, if it goes in a block of its own.
fn text_sent(outputs: &[Output]) -> Option<String> {
    let block = ["contentStart", "textInput", "contentEnd"];
    assert!(sent(outputs).is_empty() || sent(outputs).ends_with(&block.map(str::to_owned)), "{outputs:?}");
    outputs.iter().find_map(text_of)
}

fn text_of(output: &Output) -> Option<String> {
    let Output::Send(_, event) = output else { return None };
    let event: Value = serde_json::from_slice(&event.clone().into_bytes()).unwrap();
    Some(event["event"]["textInput"]["content"].as_str()?.to_owned())
}

/// Mu-law of a voice, and of silence.
const VOICE: u8 = 0x10;
const SILENCE: u8 = 0xff;

/// The texts in what is sent, with the role of their block, lower-case where the model is to answer.
fn texts(outputs: &[Output]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut role = String::new();
    for output in outputs {
        let Output::Send(_, event) = output else { continue };
        let event: Value = serde_json::from_slice(&event.clone().into_bytes()).unwrap();
        let start = &event["event"]["contentStart"];
        if let Some(name) = start["role"].as_str() {
            role = if start["interactive"] == true { name.to_lowercase() } else { name.to_owned() };
        }
        let said = event["event"]["textInput"]["content"].as_str();
        texts.extend(said.map(|text| format!("{role}: {text}")));
    }
    texts
}

const BY_THE_BOOK: [&str; 3] = ["contentEnd", "promptEnd", "sessionEnd"];

#[test]
fn the_agent_speaks_first() {
    let mut rig = Rig::opening();
    assert!(matches!(&rig.outputs()[..], [Output::OpenStream { .. }]));
    let outputs = rig.opened();
    assert_eq!(outputs[0], Output::Accepted);
    assert_eq!(sent(&outputs), ["contentStart", "audioInput", "contentStart", "textInput", "contentEnd"]);
}

#[test]
fn the_trigger_is_not_what_the_caller_said_but_the_same_word_later_is() {
    let mut rig = Rig::live();
    rig.model(caller_said("Hi."));
    assert_eq!(rig.turns(), Vec::<&Turn>::new());
    rig.model(says("Hello."));
    rig.model([turn_ends()]);
    rig.model(caller_said("hi"));
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    assert_eq!(rig.turns().len(), 2);
}

#[test]
fn audio_is_numbered_across_turns_and_a_barge_in_begins_a_new_epoch() {
    let mut rig = Rig::live();
    let first = rig.model(says("Hello."));
    assert!(matches!(first[..], [Output::Speak { first_sample: 0, epoch: 0, .. }]));
    // The model ends the turn before it says that the caller interrupted.
    rig.model([turn_ends()]);
    assert_eq!(rig.model(interrupted()), [Output::Hush { epoch: 1 }]);
    let next = rig.model(says("Yes?"));
    assert!(matches!(next[..], [Output::Speak { first_sample: 160, epoch: 1, .. }]));
}

#[test]
fn the_record_says_who_said_what_when_and_what_was_cut_short() {
    let mut rig = Rig::live();
    rig.model(says("Hello."));
    rig.model(says("How can I help?"));
    rig.model([turn_ends()]);
    rig.model(interrupted());
    rig.model(caller_said("cancel it"));
    rig.now += Duration::from_millis(450);
    rig.model(says("Which one?"));
    rig.now += Duration::from_millis(30);
    rig.handle(Input::Heard { sample: 320 + 160, epoch: 1 });
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    let [greeting, caller, question] = rig.turns()[..] else { panic!("{:?}", rig.turns()) };
    assert_eq!(
        (greeting.text.as_str(), greeting.interrupted, greeting.latency),
        ("Hello. How can I help?", true, None)
    );
    assert_eq!((caller.speaker, caller.text.as_str()), (Speaker::Caller, "cancel it"));
    let latency = Latency { total_ms: 460, endpointing_ms: None, model_ms: 450, tool_ms: 0, own_ms: 10 };
    assert_eq!((question.text.as_str(), question.latency), ("Which one?", Some(latency)));
}

#[test]
fn a_caller_who_hangs_up_leaves_a_session_closed_by_the_book_in_every_phase() {
    type Until = fn(&mut Rig);
    let phases: [(&str, Until); 3] = [
        ("listening", |_| {}),
        ("while the agent speaks", |rig| drop(rig.model(says("Hello.")))),
        ("while a tool runs", |rig| drop(rig.model([wants("get_date_and_time", json!({}))]))),
    ];
    for (phase, until) in phases {
        let mut rig = Rig::live();
        until(&mut rig);
        let outputs = rig.handle(Input::LegEnded(LegEnd::Stopped));
        let stopped = outputs.iter().any(|output| matches!(output, Output::StopTool(_)));
        assert_eq!(stopped, phase == "while a tool runs");
        assert_eq!(sent(&outputs), BY_THE_BOOK, "{phase}");
        assert_eq!(outputs.last(), Some(&Output::EndInput(rig.session.unwrap())), "{phase}");
        assert_eq!(rig.ended(None), [Output::Finished], "{phase}");
        assert_eq!(rig.outcome().unwrap().0, Outcome::CallerHungUp, "{phase}");
    }
}

#[test]
fn a_caller_who_hangs_up_before_the_model_answered_leaves_a_session_closed_by_the_book() {
    let mut rig = Rig::opening();
    rig.outputs();
    let outputs = rig.handle(Input::LegEnded(LegEnd::Stopped));
    let mut expected = vec!["contentStart", "audioInput"];
    expected.extend(BY_THE_BOOK);
    assert_eq!(sent(&outputs), expected);
    assert_eq!(rig.opened(), [], "the answer comes too late to matter");
    assert_eq!(rig.ended(None), [Output::Finished]);
}

#[test]
fn a_model_that_does_not_end_its_stream_is_abandoned() {
    let mut rig = Rig::live();
    rig.handle(Input::LegEnded(LegEnd::ConnectionLost));
    assert_eq!(rig.reach_deadline(CLOSE_DEADLINE), [Output::AbandonStream(rig.session.unwrap()), Output::Finished]);
    assert_eq!(rig.conversation.poll_deadline(), None);
}

#[test]
fn a_throttled_start_is_tried_again_and_then_the_caller_is_told() {
    let mut rig = Rig::opening();
    rig.outputs();
    for _ in 1..3 {
        assert_eq!(rig.refused(Failure::Throttled), []);
        assert!(matches!(&rig.reach_deadline(Duration::from_secs(1))[..], [Output::OpenStream { .. }]));
    }
    assert_eq!(rig.refused(Failure::Throttled), [Output::Refused, Output::Finished]);
    let (outcome, next) = rig.outcome().unwrap();
    assert_eq!(outcome, Outcome::ModelRefused);
    assert_eq!(next, &Agent::demo().hand_over());
}

#[test]
fn a_start_that_takes_long_is_not_tried_for_ever() {
    let mut rig = Rig::opening();
    rig.outputs();
    rig.now += Duration::from_secs(3);
    assert!(matches!(&rig.refused(Failure::TimedOut)[..], [Output::OpenStream { elsewhere: true, .. }]));
    rig.now += Duration::from_secs(3);
    assert_eq!(rig.refused(Failure::TimedOut), [Output::Refused, Output::Finished]);
}

#[test]
fn a_refusal_that_cannot_change_is_not_tried_again() {
    for failure in [Failure::AccessDenied, Failure::NotFound] {
        let mut rig = Rig::opening();
        rig.outputs();
        assert_eq!(rig.refused(failure), [Output::Refused, Output::Finished], "{failure}");
    }
}

#[test]
fn a_caller_who_hangs_up_between_two_tries_ends_it() {
    let mut rig = Rig::opening();
    rig.outputs();
    rig.refused(Failure::Throttled);
    assert_eq!(rig.handle(Input::LegEnded(LegEnd::Stopped)), [Output::Finished]);
}

#[test]
fn a_tool_runs_beside_the_audio_and_its_result_goes_to_the_model() {
    let mut rig = Rig::live();
    let input = json!({ "reservation_id": "R-1" });
    let [Output::RunTool(call)] = &rig.model([wants("cancel_reservation", input.clone())])[..] else { panic!() };
    assert_eq!((call.name.as_str(), &call.input), ("cancel_reservation", &input));
    assert_eq!(sent(&rig.handle(Input::CallerAudio(Bytes::from_static(&[0xff; 160])))), ["audioInput"]);
    let done = Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({ "status": "cancelled" }) };
    assert_eq!(sent(&rig.handle(done)), ["contentStart", "toolResult", "contentEnd"]);
}

#[test]
fn a_silent_tool_is_answered_for_at_its_deadline_and_only_once() {
    let mut rig = Rig::live();
    rig.model([wants("get_date_and_time", json!({}))]);
    let outputs = rig.reach_deadline(Duration::from_secs(15));
    assert_eq!(sent(&outputs), ["contentStart", "toolResult", "contentEnd"]);
    assert_eq!(outputs.last(), Some(&Output::StopTool(ToolUseId::from("T1"))));
    assert_eq!(rig.handle(Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({}) }), []);
}

#[test]
fn a_request_that_the_model_repeats_is_carried_out_once() {
    let mut rig = Rig::live();
    assert_eq!(rig.model([wants("cancel_reservation", json!({}))]).len(), 1);
    assert_eq!(rig.model([wants("cancel_reservation", json!({}))]), []);
    rig.handle(Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({}) });
    assert_eq!(rig.model([wants("cancel_reservation", json!({}))]), []);
}

#[test]
fn a_caller_who_asked_for_a_human_is_not_hung_up_on() {
    let mut rig = Rig::live();
    rig.model([wants("support", json!({}))]);
    rig.model([ServerEvent::ToolUse { id: ToolUseId::from("T2"), name: "hang_up".into(), input: json!({}) }]);
    let outputs = rig.reach_deadline(Duration::from_secs(3));
    assert!(matches!(&outputs[0], Output::Next(NextStep::Transfer { .. })), "{outputs:?}");
}

#[test]
fn what_breaks_while_a_transfer_is_on_its_way_does_not_undo_it() {
    let ends: [fn(&mut Rig) -> Vec<Output>; 3] = [
        |rig| rig.ended(None),
        |rig| rig.handle(Input::Stop),
        |rig| rig.handle(Input::LegEnded(LegEnd::ConnectionLost)),
    ];
    for end in ends {
        let mut rig = Rig::live();
        rig.model([wants("support", json!({}))]);
        end(&mut rig);
        let (outcome, next) = rig.outcome().unwrap();
        assert!(outcome == Outcome::Transferred && matches!(next, NextStep::Transfer { .. }), "{next:?}");
    }
}

#[test]
fn a_caller_who_asks_something_after_the_goodbye_is_answered_and_keeps_the_line() {
    let mut rig = Rig::live();
    rig.model([wants("hang_up", json!({}))]);
    rig.model(says("Goodbye."));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.model(caller_said("when is breakfast?"));
    assert_eq!(rig.later(3_000), [], "the agent has the time to answer");
    rig.model(says("From seven."));
    assert!(rig.conversation.leaving.is_none());
}

#[test]
fn a_caller_who_only_says_goodbye_too_is_hung_up_on_after_it() {
    let mut rig = Rig::live();
    rig.model([wants("hang_up", json!({}))]);
    rig.model(says("Goodbye."));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.model(caller_said("bye"));
    let outputs = rig.reach_deadline(Duration::from_secs(5));
    assert_eq!(outputs[0], Output::Next(NextStep::HangUp { say: None }));
}

#[test]
fn a_transfer_does_not_wait_for_the_end_of_a_turn_that_is_never_told() {
    let mut rig = Rig::live();
    rig.model(says("One moment."));
    rig.model([wants("support", json!({}))]);
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    let outputs = rig.reach_deadline(Duration::from_secs(1));
    assert!(matches!(&outputs[0], Output::Next(NextStep::Transfer { .. })), "{outputs:?}");
}

#[test]
fn a_tool_that_does_not_exist_is_answered_at_once() {
    let outputs = Rig::live().model([wants("order_pizza", json!({}))]);
    assert_eq!(sent(&outputs), ["contentStart", "toolResult", "contentEnd"]);
}

#[test]
fn the_agent_hangs_up_only_after_its_goodbye_was_heard() {
    let mut rig = Rig::live();
    rig.model([wants("hang_up", json!({}))]);
    rig.model(says("Goodbye."));
    rig.model([turn_ends()]);
    assert_eq!(rig.later(5_000), [], "the goodbye is still playing");
    let outputs = rig.handle(Input::Heard { sample: 160, epoch: 0 });
    assert_eq!(outputs[0], Output::Next(NextStep::HangUp { say: None }));
    assert_eq!(sent(&outputs), BY_THE_BOOK);
    assert_eq!(rig.outcome().unwrap().0, Outcome::AgentHungUp);
}

#[test]
fn a_caller_who_speaks_over_the_goodbye_keeps_the_line() {
    let mut rig = Rig::live();
    rig.model([wants("hang_up", json!({}))]);
    rig.model(says("Goodbye."));
    rig.model(interrupted());
    assert!(rig.conversation.leaving.is_none());
}

#[test]
fn a_goodbye_that_nobody_confirms_is_waited_for_only_so_long() {
    let mut rig = Rig::live();
    rig.model([wants("hang_up", json!({}))]);
    rig.model(says("Goodbye."));
    let outputs = rig.reach_deadline(Duration::from_secs(20));
    assert_eq!(outputs[0], Output::Next(NextStep::HangUp { say: None }));
}

#[test]
fn asking_for_a_human_leads_to_a_transfer_with_its_reason() {
    let mut rig = Rig::live();
    rig.model([wants("support", json!({ "reason": "lost key" }))]);
    let outputs = rig.reach_deadline(Duration::from_secs(3));
    let Output::Next(NextStep::Transfer { reason, .. }) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(reason.as_deref(), Some("lost key"));
    assert_eq!(rig.outcome().unwrap().0, Outcome::Transferred);
}

#[test]
fn the_record_says_what_the_call_cost_also_for_what_was_used_while_it_closed() {
    let mut rig = Rig::live();
    rig.model([ServerEvent::Usage(Usage { output_speech_tokens: 7, ..Usage::default() })]);
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    rig.model([ServerEvent::Usage(Usage { output_speech_tokens: 1_000, ..Usage::default() })]);
    rig.ended(None);
    let Some(Entry::Usage { usage, cost }) = rig.notes.last() else { panic!("{:?}", rig.notes) };
    assert_eq!((usage.output_speech_tokens, cost.to_string().as_str()), (1_000, "0.012000"));
}

#[test]
fn echoes_of_an_older_epoch_do_not_move_what_was_heard() {
    let mut rig = Rig::live();
    rig.model(says("Hello."));
    rig.model(interrupted());
    rig.model(says("Yes?"));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    assert!(!rig.conversation.playback.is_heard_out());
    rig.model([turn_ends()]);
    rig.handle(Input::Heard { sample: 320, epoch: 1 });
    assert!(rig.conversation.playback.is_heard_out());
}

#[test]
fn a_worker_that_must_stop_says_so_and_closes_the_session() {
    let mut rig = Rig::live();
    let outputs = rig.handle(Input::Stop);
    assert_eq!(outputs[0], Output::Next(Agent::demo().hand_over()));
    assert_eq!(sent(&outputs), BY_THE_BOOK);
}
