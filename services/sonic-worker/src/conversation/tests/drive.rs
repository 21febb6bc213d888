//! The conversation under a driver that does whatever comes to its mind, in whatever order.

use std::collections::BTreeMap;

use super::*;

/// What a driver knows of a session: what may happen to it, and what was sent to it.
#[derive(Default)]
struct Stream {
    opened: bool,
    ended: bool,
    /// The events of its input, in a word each.
    sent: Vec<String>,
}

struct Driver {
    rig: Rig,
    dice: Entropy,
    streams: BTreeMap<SessionNo, Stream>,
    finished: bool,
    steps: u64,
    /// Of the agent's audio so far, and the epoch.
    spoken: (u64, u32),
}

impl Driver {
    fn new(seed: u64) -> Self {
        // Short, so that much happens in little time.
        let limits = Limits {
            renew_after: Duration::from_secs(15),
            session_limit: Duration::from_secs(30),
            stall_after: Duration::from_secs(3),
            silence_ask_after: Duration::from_secs(5),
            silence_end_after: Duration::from_secs(5),
            call_limit: Duration::from_secs(100),
            call_limit_warning: Duration::from_secs(10),
        };
        let tools = Tools::built_in(offhook_hosting::clock::Clock).specs(true);
        let mut driver = Self {
            rig: Rig::with_limits(tools, limits, Rig::opening().now),
            dice: Entropy::from_seed(seed),
            streams: BTreeMap::new(),
            finished: false,
            steps: 0,
            spoken: (0, 0),
        };
        let outputs = driver.rig.outputs();
        driver.take(outputs);
        driver
    }

    fn handle(&mut self, input: Input) {
        self.steps += 1;
        assert!(!self.finished || !matches!(input, Input::Deadline), "finished, and something is due");
        let outputs = self.rig.handle(input);
        self.take(outputs);
        let conversation = &self.rig.conversation;
        let is_waiting = conversation.sessions.current.is_none() && matches!(conversation.phase, Phase::Live);
        if is_waiting && let Some(sessions::Next::Pausing { at, .. }) = conversation.sessions.next {
            assert!(at > self.rig.now, "the next session is due and not asked for");
        }
        assert!(!is_waiting || conversation.sessions.next.is_some(), "no session, and none to come");
        self.assert_no_endless_silence();
    }

    /// Whoever waits for the model does not wait for ever: there is a time at which it has stalled.
    fn assert_no_endless_silence(&self) {
        let Conversation { phase: Phase::Live, leaving: None, sessions, debt, voice, limits, .. } =
            &self.rig.conversation
        else {
            return;
        };
        let waits = debt.is_open() || voice.is_unheard() && !voice.is_in_a_run();
        let is_bounded = sessions.current.is_none() || debt.stalled_at(limits.stall_after).is_some();
        assert!(!waits || is_bounded, "somebody waits, and nothing comes of it: {debt:?}");
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            assert!(!self.finished, "after the end: {output:?}");
            match output {
                Output::OpenStream { session, opening, .. } => {
                    let stream = self.streams.entry(session).or_default();
                    assert!(stream.sent.is_empty(), "opened twice");
                    stream.sent.extend(opening.iter().map(brief));
                }
                Output::Send(session, event) => self.sent(session, brief(&event)),
                // Only audio is sent so, and reading it takes long.
                Output::SendAudio(session, _) => self.sent(session, "audioInput".into()),
                Output::EndInput(session) => self.streams.get_mut(&session).unwrap().sent.push("end".into()),
                Output::AbandonStream(session) => self.streams.get_mut(&session).unwrap().ended = true,
                Output::Speak { first_sample, epoch, mulaw } => {
                    assert_eq!((first_sample, epoch), self.spoken, "audio is told in order");
                    self.spoken.0 += mulaw.len() as u64;
                }
                Output::Hush { epoch } => {
                    self.spoken.1 += 1;
                    assert_eq!(epoch, self.spoken.1, "epochs follow each other");
                }
                Output::Finished => self.finished = true,
                _ => {}
            }
        }
        let live = self.streams.values().filter(|stream| !stream.ended);
        let speaking = live.filter(|stream| stream.sent.last().is_none_or(|last| last != "end")).count();
        assert!(speaking <= 3, "{speaking} sessions at a time");
    }

    fn sent(&mut self, session: SessionNo, event: String) {
        let stream = self.streams.get_mut(&session).expect("it was opened");
        assert!(!stream.ended, "sent to a stream that is over");
        stream.sent.push(event);
    }

    /// Some session that has not ended.
    fn some_session(&mut self) -> Option<SessionNo> {
        let live: Vec<_> = self.streams.iter().filter(|(_, stream)| !stream.ended).map(|(no, _)| *no).collect();
        (!live.is_empty()).then(|| live[self.dice.between(0, live.len() as u64) as usize])
    }

    fn step(&mut self) {
        let pause = if self.dice.between(0, 2_000) == 0 { 20_000 } else { 60 };
        self.rig.now += Duration::from_millis(self.dice.between(0, pause));
        while let Some(due) = self.rig.conversation.poll_deadline().filter(|due| *due <= self.rig.now) {
            let now = std::mem::replace(&mut self.rig.now, due);
            self.handle(Input::Deadline);
            self.rig.now = now;
        }
        let input = match self.dice.between(0, 40) {
            0..16 => Input::CallerAudio(Bytes::from_static(&[0xff; 20])),
            16..22 => Input::CallerAudio(Bytes::from_static(&[0x10; 20])),
            22 => press("7"),
            23 => press("#"),
            24 => Input::Heard { sample: self.dice.between(0, 4_000), epoch: self.dice.between(0, 5) as u32 },
            25 => Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({}) },
            26 if self.dice.between(0, 200) == 0 => Input::LegEnded(LegEnd::ConnectionLost),
            28 if self.dice.between(0, 20) == 0 => Input::Told("The caller is a regular.".into()),
            27 if self.dice.between(0, 200) == 0 => Input::Stop,
            29 if self.dice.between(0, 400) == 0 => Input::CallOver,
            _ => {
                let Some(session) = self.some_session() else { return };
                self.of_the_model(session)
            }
        };
        self.handle(input);
    }

    fn of_the_model(&mut self, session: SessionNo) -> Input {
        const FAILURES: [Failure; 8] = [
            Failure::Throttled,
            Failure::PeerGone,
            Failure::SessionExpired,
            Failure::Filtered,
            Failure::HistoryTooLong,
            Failure::BadInput,
            Failure::Unavailable,
            Failure::AccessDenied,
        ];
        let failure = FAILURES[self.dice.between(0, 8) as usize];
        let rare = self.dice.between(0, 20) == 0;
        let credentials_expire =
            (self.dice.between(0, 4) == 0).then(|| self.rig.now + Duration::from_secs(self.dice.between(0, 600)));
        let stream = self.streams.get_mut(&session).expect("it is one of them");
        if !stream.opened {
            (stream.opened, stream.ended) = (!rare, rare);
            return match rare {
                true => Input::StreamRefused { session, failure },
                false => Input::StreamOpened { session, credentials_expire },
            };
        }
        let over = stream.sent.last().is_some_and(|last| last == "end");
        if over && self.dice.between(0, 2) == 0 || rare && self.dice.between(0, 4) == 0 {
            stream.ended = true;
            return Input::StreamEnded { session, failure: (!over).then_some(failure) };
        }
        let event = match self.dice.between(0, 14) {
            0 => interrupted()[1].clone(),
            1 => turn_ends(),
            2 => ServerEvent::AudioEnd(StopReason::PartialTurn),
            3 => wants("get_date_and_time", Value::Null),
            4 if rare => match self.dice.between(0, 3) {
                0 => wants("send_digits", json!({ "digits": "1w2" })),
                _ => wants("hang_up", json!({})),
            },
            5 => ServerEvent::Usage(Usage { input_text_tokens: self.dice.between(0, 9), ..Usage::default() }),
            6 => caller_said("well")[self.dice.between(0, 3) as usize].clone(),
            7 => caller_said(" ")[self.dice.between(0, 3) as usize].clone(),
            8 => ServerEvent::Unknown,
            9..12 => audio(self.dice.between(0, 50) as usize),
            _ => says("One.")[self.dice.between(0, 3) as usize].clone(),
        };
        Input::Model { session, event }
    }

    /// Lets everything end: nobody calls any more, and no model answers.
    fn finish(&mut self, seed: u64) {
        self.handle(Input::LegEnded(LegEnd::Stopped));
        for _ in 0..1_000 {
            let Some(due) = self.rig.conversation.poll_deadline() else { break };
            self.rig.now = due;
            self.handle(Input::Deadline);
        }
        assert!(self.finished, "seed {seed}: {:?}", self.rig.conversation.phase);
        let ends = self.rig.notes.iter().filter(|entry| matches!(entry, Entry::Ended { .. })).count();
        assert_eq!(ends, 1, "seed {seed}: the record has {ends} ends");
        for (no, stream) in &self.streams {
            assert_in_order(&stream.sent, seed, *no);
        }
    }
}

/// An input event in a word.
fn brief(event: &crate::nova::ClientEvent) -> String {
    let event: Value = serde_json::from_slice(&event.clone().into_bytes()).unwrap();
    let (name, body) = event["event"].as_object().unwrap().iter().next().unwrap();
    match (name.as_str(), body["type"].as_str(), body["role"].as_str(), body["interactive"].as_bool()) {
        ("contentStart", Some("TEXT"), Some(role), Some(false)) => format!("start {role}"),
        ("contentStart", Some("TEXT"), _, _) => "start text".into(),
        ("contentStart", Some(kind), _, _) => format!("start {kind}"),
        (name, ..) => name.into(),
    }
}

/// What AWS's "Event flow" and "Chat history" demand of the order of a session's input.
fn assert_in_order(sent: &[String], seed: u64, session: SessionNo) {
    let wrong = |what: &str| panic!("seed {seed}, session {session}: {what}: {sent:?}");
    let mut block = None::<&str>;
    let (mut audio, mut over) = (false, false);
    let mut last_role = "ASSISTANT";
    for (at, event) in sent.iter().enumerate() {
        match (at, event.as_str()) {
            (0, "sessionStart") | (1, "promptStart") | (2, "start SYSTEM") => {}
            (0..3, _) => wrong("begins wrongly"),
            _ if over && event != "sessionEnd" && event != "end" => wrong("goes on after its end"),
            (_, "start AUDIO") if audio || block.is_some() => wrong("two audio blocks, or one within another"),
            (_, "start AUDIO") => audio = true,
            (_, "audioInput") if !audio || block.is_some() => wrong("audio where none may be"),
            (_, "start USER" | "start ASSISTANT") if audio => wrong("history after audio"),
            (_, event @ ("start USER" | "start ASSISTANT")) => {
                let role = &event["start ".len()..];
                if role == last_role {
                    wrong("roles do not alternate");
                }
                (last_role, block) = (if role == "USER" { "USER" } else { "ASSISTANT" }, Some(event));
            }
            (_, "start text" | "start TOOL") if !audio || block.is_some() => wrong("a block where none may be"),
            (_, event @ ("start text" | "start TOOL")) => block = Some(event),
            (_, "contentEnd") => block = None,
            (_, "promptEnd") if !audio || block.is_some() => wrong("ends in the middle"),
            (_, "promptEnd") => over = true,
            _ => {}
        }
    }
}

#[test]
fn whatever_happens_in_whatever_order_no_rule_is_broken_and_the_conversation_ends() {
    let (mut steps, mut switched, mut seed) = (0, 0, 0);
    while steps < 1_000_000 {
        let mut driver = Driver::new(seed);
        for _ in 0..2_000 {
            if driver.finished {
                break;
            }
            driver.step();
        }
        if !driver.finished {
            driver.finish(seed);
        }
        steps += driver.steps;
        switched += driver.streams.len() - 1;
        seed += 1;
    }
    assert!(switched > 1_000, "only {switched} sessions followed another: the test shows little");
}
