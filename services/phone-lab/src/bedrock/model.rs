//! The simulated model: listens, takes turns, asks for tools, is interrupted.
//!
//! Pure: no sockets, no tasks, no clock. Hand it the [`Input`]s that the rules let through, drain
//! [`Model::poll_output`] to `None`, and come back at [`Model::poll_deadline`] or with the next input. Behaviour and
//! timing follow AWS's "Event flow", "Barge-in" and "Asynchronous tool calling" and what measurements report.

mod asking;
mod barge_in;
mod confirming;
mod echoing;
mod listening;
mod reacting;
mod remembering;
mod uttering;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use offhook_hosting::entropy::Entropy;
use serde_json::Value;
use uuid::Uuid;

pub(super) use self::asking::{Ask, Asking};
use self::{confirming::Confirming, remembering::Memory};
use super::{
    echo::EchoListener,
    events::{Generation, SampleRate, Sensitivity},
    fault::{ExceptionKind, Fault, Quirk},
    hearing::Hearing,
    playout::{Cut, Playout},
    report::{HeardUtterance, Remembered, Usage},
    rules::Input,
    settings::Settings,
    speaking::{Speaking, Step, sentences},
    timing::Timing,
    wire::{Stop, Writer},
};

/// Interactive text is answered once this much audio was heard: 68 ms at 8 kHz.
const PRIMED: usize = 544;
/// Tokens of speech per second, said, in hundredths.
const TOKENS_OUT: u64 = 333;

/// What the model wants done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Send this event.
    Event(String),
    /// Send this `audioOutput`.
    Audio(String),
    /// Put this on record.
    Note(Note),
    /// Let this go wrong, from here on.
    Fault(Fault),
    /// End the session with this exception.
    TimeOut(ExceptionKind, String),
}

/// What the record is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Note {
    SystemPrompt(String),
    History(Remembered),
    /// The caller can be heard, from here on.
    Listening,
    CallerAudio(Vec<i16>),
    Heard(HeardUtterance),
    Read(String),
    /// A sentence begins.
    Said(String),
    /// More audio of the current sentence.
    Voice(Vec<i16>),
    Interrupted(Vec<Cut>),
    ToolAsked {
        tool_use_id: String,
        name: String,
        input: Value,
    },
    ToolAnswered {
        tool_use_id: String,
        result: Value,
    },
    Usage(Usage),
    /// The client can not want this.
    Remark(String),
}

/// One session's model.
#[derive(Debug)]
pub(super) struct Model {
    settings: Arc<Settings>,
    timing: Timing,
    quirks: Vec<Quirk>,
    generation: Generation,
    /// A sequence for each purpose, so that when something happens does not change what else is drawn.
    ids: Entropy,
    delays: Entropy,
    chances: Entropy,
    session: Uuid,
    phase: Phase,
    sensitivity: Sensitivity,
    tools: Vec<String>,
    ear: Option<Ear>,
    /// Samples at 8 kHz heard by ears before this one.
    heard_before: usize,
    /// Present if it echoes.
    echo: Option<Box<dyn EchoListener>>,
    speaking: Speaking,
    playout: Playout,
    /// The open audio block.
    audio: Option<Uuid>,
    /// Sentences begun so far.
    sentences: usize,
    /// Samples said so far.
    spoken: u64,
    confirming: Confirming,
    /// Speech that was no words, so far, also before this session.
    speeches: usize,
    /// The conversation has begun: there is history, or something was said.
    begun: bool,
    memory: Memory,
    asking: Asking,
    /// What tools' results make the model say.
    follow_ups: VecDeque<String>,
    /// The last of them that a turn was begun with.
    resuming: Option<String>,
    usage: Usage,
    reported: Usage,
    /// Events since then.
    unreported: usize,
    opened: Instant,
    last_input: Instant,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// No prompt yet.
    New,
    /// Events can be written; `started` once completionStart was.
    InPrompt { writer: Writer, started: bool },
    /// No more answers; only the session's age counts.
    Ended,
    /// Timed out.
    Over,
}

/// An open audio container.
#[derive(Debug)]
struct Ear {
    hearing: Hearing,
    rate: SampleRate,
    answers: bool,
    /// Samples received at `rate`.
    received: usize,
}

impl Model {
    pub(super) fn new(
        settings: Arc<Settings>,
        generation: Generation,
        session: Uuid,
        mut entropy: Entropy,
        quirks: Vec<Quirk>,
        now: Instant,
    ) -> Self {
        let timing = settings.timing();
        let (ids, mut delays, chances) = (entropy.fork(), entropy.fork(), entropy.fork());
        Self {
            echo: settings.echo.as_ref().map(|echo| echo.listener()),
            speaking: Speaking::new(timing.clone(), quirks.contains(&Quirk::AudioBursts)),
            playout: Playout::new(timing.confirm(&mut delays)),
            confirming: Confirming::new(quirks.contains(&Quirk::LateFinalTexts)),
            timing,
            quirks,
            settings,
            generation,
            ids,
            delays,
            chances,
            session,
            phase: Phase::New,
            sensitivity: Sensitivity::default(),
            tools: Vec::new(),
            ear: None,
            heard_before: 0,
            audio: None,
            sentences: 0,
            spoken: 0,
            speeches: 0,
            begun: false,
            memory: Memory::default(),
            asking: Asking::default(),
            follow_ups: VecDeque::new(),
            resuming: None,
            usage: Usage::default(),
            reported: Usage::default(),
            unreported: 0,
            opened: now,
            last_input: now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes the client's next input.
    pub(super) fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::SessionStarted { sensitivity } => self.sensitivity = sensitivity,
            Input::PromptStarted { prompt, output_rate, tools } => {
                let writer = Writer::new(self.session, self.ids.uuid(), &prompt, output_rate);
                self.phase = Phase::InPrompt { writer, started: false };
                self.tools = tools;
                if self.is_odd(Quirk::EarlyUsage) {
                    self.report_usage();
                }
            }
            Input::SystemPrompt(text) => {
                self.usage.input_text += text_tokens(&text);
                self.note(Note::SystemPrompt(text));
            }
            Input::History(message) => {
                self.remember(message.by, &message.text);
                self.note(Note::History(message));
            }
            Input::LiveText(text) => self.read(text, now),
            Input::AudioOpened { rate, answers } => {
                let hearing = Hearing::new(self.pause());
                self.ear = Some(Ear { hearing, rate, answers, received: 0 });
            }
            Input::Audio(samples) => self.listen(samples, now),
            Input::AudioClosed => self.stop_listening(now),
            Input::ToolAnswered { tool_use_id, result } => self.resume(tool_use_id, result),
            Input::PromptEnded => self.finish(now),
            Input::SessionEnded => {}
        }
        self.advance(now);
    }

    /// Does what is due.
    pub(super) fn handle_deadline(&mut self, now: Instant) {
        self.advance(now);
    }

    /// What is to be done next, if anything.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back.
    pub(super) fn poll_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::New | Phase::InPrompt { .. } => {}
            Phase::Ended => return self.age_deadline(),
            Phase::Over => return None,
        }
        let confirmation = if self.speaking.is_active() { None } else { self.playout.poll_deadline() };
        let limits = [self.idle_deadline(), self.age_deadline()];
        limits.into_iter().flatten().chain(self.speaking.poll_deadline()).chain(confirmation).min()
    }

    fn idle_deadline(&self) -> Option<Instant> {
        self.last_input.checked_add(self.settings.idle_limit)
    }

    fn age_deadline(&self) -> Option<Instant> {
        self.opened.checked_add(self.settings.session_limit())
    }

    /// The pause that ends the caller's turn, in samples at 8 kHz.
    fn pause(&self) -> usize {
        let millis = match self.sensitivity {
            Sensitivity::High => 1500,
            Sensitivity::Medium => 1750,
            Sensitivity::Low => 2000,
        };
        (self.timing.pause(millis).as_micros() * 8 / 1000) as usize
    }

    fn advance(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if self.age_deadline().is_some_and(|at| now >= at) {
            let message = "Model has timed out in processing the request. Try your request again.";
            return self.time_out(ExceptionKind::ModelTimeout, message.into());
        }
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if self.idle_deadline().is_some_and(|at| now >= at) {
            let seconds = self.settings.idle_limit.as_secs();
            let message = format!(
                "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio bytes and \
                 interactive content are less than {seconds} seconds"
            );
            return self.time_out(ExceptionKind::Validation, message);
        }
        loop {
            while let Some(piece) = self.speaking.poll_piece(now) {
                self.utter(piece, now);
            }
            if self.speaking.is_active() {
                return;
            }
            while let Some(text) = self.playout.poll_confirmed(now) {
                self.confirm(text);
            }
            let is_hearing = self.ear.as_ref().is_some_and(|ear| ear.hearing.is_hearing());
            let Some(text) = self.follow_ups.pop_front_if(|_| !is_hearing) else { return };
            let delay = self.timing.think(&mut self.delays);
            self.begin_turn(say(&text), delay, now);
            self.resuming = Some(text);
        }
    }

    /// The client has sent interactive text.
    fn read(&mut self, text: String, now: Instant) {
        self.last_input = now;
        self.usage.input_text += text_tokens(&text);
        self.note(Note::Read(text.clone()));
        if self.echo.is_some() {
            return;
        }
        let primed = self.ear.as_ref().is_some_and(|ear| ear.answers && ear.received / ear.rate.factor() >= PRIMED);
        if self.generation == Generation::V1 {
            return self.note(Note::Remark("interactive text is not answered by v1".into()));
        }
        if !primed {
            let remark = "interactive text without 68 ms of audio before it is not answered";
            return self.note(Note::Remark(remark.into()));
        }
        self.barge_in(now);
        self.confirm_played(now);
        let steps = match self.settings.script.greeting() {
            Some(greeting) if !self.begun => say(greeting),
            Some(_) | None => self.react_to_text(&text),
        };
        self.begun = true;
        self.pass_memory();
        if self.is_odd(Quirk::EmptyTranscript) {
            self.transcribe("");
        }
        let delay = self.timing.read(&mut self.delays);
        self.begin_turn(steps, delay, now);
    }

    fn begin_turn(&mut self, steps: Vec<Step>, delay: Duration, now: Instant) {
        self.confirming.begin_turn();
        self.resuming = None;
        let think = self.timing.think(&mut self.delays);
        self.speaking.start(steps, now + delay, think);
    }

    fn is_odd(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// The prompt is over: no more answers.
    fn finish(&mut self, now: Instant) {
        self.drop_thought();
        self.end_audio(Stop::EndTurn);
        self.confirm_played(now);
        self.confirm_all();
        self.report_usage();
        self.write(|writer| [writer.completion_end()]);
        self.phase = Phase::Ended;
    }

    fn time_out(&mut self, kind: ExceptionKind, message: String) {
        self.outputs.push_back(Output::TimeOut(kind, message));
        self.phase = Phase::Over;
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }
}

fn say(text: &str) -> Vec<Step> {
    sentences(text).into_iter().map(Step::Sentence).collect()
}

/// Roughly what a tokenizer makes of a text.
fn text_tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

#[cfg(test)]
mod tests;
