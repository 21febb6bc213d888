#![expect(clippy::disallowed_methods, reason = "an instant cannot be invented; the tests only add to it")]

mod behaviours;
mod odd;
mod successors;
mod tools;

use std::time::Duration;

use super::*;
use crate::{
    bedrock::{Profile, Script, Speaker},
    tones,
};

const MS: Duration = Duration::from_millis(1);
/// 20 ms at 8 kHz.
const FRAME: usize = 160;
const SCRIPT: &str = r#"
greeting: "hello. welcome!"
dialogue:
  - speech: "I need to cancel"
    reply: "which one?"
  - heard: "cancel"
    tool: { name: cancel, input: { id: "7" }, filler: "one moment." }
    reply: "{tool.id} is gone."
  - heard: "bye"
    tool: { name: hang_up }
"#;

/// A model in conversation: audio open, time invented, outputs collected as short words.
struct Rig {
    model: Model,
    start: Instant,
    now: Instant,
    words: Vec<String>,
    /// Every event as it was sent.
    sent: Vec<String>,
    notes: Vec<Note>,
    /// When the last audio came.
    audio_at: Duration,
    samples: usize,
    asked: Vec<String>,
}

impl Rig {
    fn new() -> Self {
        Self::with(Generation::V2, Profile::Real, &[])
    }

    fn with(generation: Generation, profile: Profile, quirks: &[Quirk]) -> Self {
        let settings = Settings { script: Script::from_yaml(SCRIPT).unwrap(), profile, ..Settings::default() };
        Self::set_up(settings, generation, quirks)
    }

    /// In conversation by this script.
    fn playing(script: &str) -> Self {
        let settings = Settings { script: Script::from_yaml(script).unwrap(), ..Settings::default() };
        Self::set_up(settings, Generation::V2, &[]).listen()
    }

    fn set_up(settings: Settings, generation: Generation, quirks: &[Quirk]) -> Self {
        let now = Instant::now();
        let model = Model::new(settings.into(), generation, Uuid::nil(), Entropy::from_seed(1), quirks.into(), now);
        let (words, sent, notes, asked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut rig = Self { model, start: now, now, words, sent, notes, audio_at: Duration::ZERO, samples: 0, asked };
        rig.input(Input::SessionStarted { sensitivity: Sensitivity::High });
        let tools = ["cancel", "hang_up", "price"].map(str::to_owned).into();
        rig.input(Input::PromptStarted { prompt: "P".into(), output_rate: SampleRate::Hz8000, tools });
        rig.input(Input::SystemPrompt("be brief".into()));
        rig
    }

    fn listening() -> Self {
        Self::new().listen()
    }

    fn odd(quirk: Quirk) -> Self {
        Self::with(Generation::V2, Profile::Real, &[quirk]).listen()
    }

    fn listen(self) -> Self {
        let mut rig = self;
        rig.input(Input::AudioOpened { rate: SampleRate::Hz8000, answers: true });
        rig
    }

    fn input(&mut self, input: Input) {
        self.model.handle_input(input, self.now);
        self.collect();
    }

    /// The conversation before this session.
    fn remember(&mut self, messages: &[(Speaker, &str)]) {
        for (by, text) in messages {
            self.input(Input::History(Remembered { by: *by, text: (*text).into() }));
        }
    }

    /// Lets time pass in silence without any audio.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.model.poll_deadline().filter(|deadline| *deadline <= until) {
            self.now = deadline.max(self.now);
            self.model.handle_deadline(self.now);
            self.collect();
        }
        self.now = until;
    }

    /// The caller's audio, in real time.
    fn hear(&mut self, pcm: &[i16]) {
        for frame in pcm.chunks(FRAME) {
            self.wait(20 * MS);
            self.input(Input::Audio(frame.to_vec()));
        }
    }

    fn silence(&mut self, time: Duration) {
        self.hear(&vec![0; time.as_millis() as usize * 8]);
    }

    fn say(&mut self, text: &str) {
        self.hear(&tones::speak(text));
    }

    /// The events since the last call.
    fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.words)
    }

    /// Answers the latest tool use.
    fn answer_tool(&mut self, result: &str) {
        self.answer_nth_tool(self.asked.len() - 1, result);
    }

    /// Answers one of the open tool uses, the oldest being the first.
    fn answer_nth_tool(&mut self, n: usize, result: &str) {
        let tool_use_id = self.asked.remove(n);
        self.input(Input::ToolAnswered { tool_use_id, result: serde_json::from_str(result).unwrap() });
    }

    fn collect(&mut self) {
        while let Some(output) = self.model.poll_output() {
            match output {
                Output::Event(json) => {
                    self.words.extend(word(&json));
                    self.sent.push(json);
                }
                Output::Audio(json) => {
                    self.sent.push(json);
                    self.audio_at = self.now - self.start;
                    self.samples += 800;
                    if self.words.last().is_none_or(|word| word != "audio") {
                        self.words.push("audio".into());
                    }
                }
                Output::TimeOut(kind, message) => self.words.push(format!("{} {message}", kind.as_str())),
                Output::Fault(_) => {}
                Output::Note(note) => {
                    if let Note::ToolAsked { tool_use_id, .. } = &note {
                        self.asked.push(tool_use_id.clone());
                    }
                    self.notes.push(note);
                }
            }
        }
    }
}

/// An event in a word or two; none for what only frames the others.
fn word(json: &str) -> Option<String> {
    let event: Value = serde_json::from_str(json).unwrap();
    let (name, fields) = event["event"].as_object().unwrap().iter().next().unwrap();
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    match name.as_str() {
        "contentStart" if text("type") == "TEXT" => {
            let stage = text("additionalModelFields");
            let stage = stage.split('"').nth(3).unwrap();
            Some(format!("{} {stage}", text("role")))
        }
        "textOutput" => Some(text("content")),
        "contentEnd" if text("type") != "TEXT" || text("stopReason") == "INTERRUPTED" => {
            Some(format!("{} {}", text("type"), text("stopReason")))
        }
        "toolUse" => Some(format!("{}({})", text("toolName"), text("content"))),
        "completionStart" | "completionEnd" => Some(name.clone()),
        _ => None,
    }
}

#[test]
fn words_are_answered_after_the_pause_and_confirmed_later() {
    let mut rig = Rig::listening();
    rig.say("hi there");
    let quiet = rig.now;
    rig.silence(1480 * MS);
    assert_eq!(rig.events(), [""; 0]);
    rig.silence(3000 * MS);
    let turn = ["completionStart", "USER FINAL", "hi there", "ASSISTANT SPECULATIVE", "you said hi there"];
    assert_eq!(rig.events(), [&turn[..], &["audio", "AUDIO END_TURN"]].concat());
    // 1.5 s pause, 100 ms transcript, 450 ms text, 100 ms audio; then 400 ms of audio in 4 pieces, 25 ms apart.
    assert_eq!(rig.start + rig.audio_at - quiet, 2225 * MS);
    rig.silence(1000 * MS);
    assert_eq!(rig.events(), ["ASSISTANT FINAL", "you said hi there"]);
}

#[test]
fn interactive_text_is_greeted_once_there_was_audio() {
    let mut rig = Rig::listening();
    rig.input(Input::LiveText("hi".into()));
    rig.wait(3000 * MS);
    assert_eq!(rig.events(), [""; 0]);
    rig.silence(60 * MS);
    rig.input(Input::LiveText("hi".into()));
    rig.wait(3000 * MS);
    assert_eq!(rig.events(), [""; 0]);
    rig.silence(20 * MS);
    rig.input(Input::LiveText("hi".into()));
    let asked = rig.now;
    rig.wait(2000 * MS);
    let hello = ["completionStart", "ASSISTANT SPECULATIVE", "hello.", "audio", "AUDIO PARTIAL_TURN"];
    let welcome = ["ASSISTANT SPECULATIVE", "welcome!", "audio", "AUDIO END_TURN"];
    assert_eq!(rig.events(), [&hello[..], &welcome].concat());
    assert!(rig.start + rig.audio_at - asked < 1500 * MS);
    rig.input(Input::LiveText("user pressed: 1".into()));
    rig.wait(2000 * MS);
    let events = rig.events();
    assert!(events.contains(&"you said user pressed: 1".into()), "{events:?}");
}

#[test]
fn a_session_with_history_is_not_greeted_again() {
    let mut rig = Rig::new();
    rig.remember(&[(Speaker::User, "hello")]);
    rig.input(Input::AudioOpened { rate: SampleRate::Hz8000, answers: true });
    rig.silence(100 * MS);
    rig.input(Input::LiveText("now".into()));
    rig.wait(2000 * MS);
    assert_eq!(rig.events()[2], "you said now");
}

#[test]
fn a_barge_in_cuts_the_reply_and_is_answered() {
    let mut rig = Rig::listening();
    rig.say("tell me a very long story, please");
    rig.silence(2200 * MS);
    let events = rig.events();
    assert_eq!(events.last().unwrap(), "audio", "{events:?}");
    let playing_since = rig.start + rig.audio_at;
    rig.say("stop this now");
    let interruption = ["AUDIO END_TURN", "ASSISTANT FINAL", r#"{ "interrupted" : true }"#, "TEXT INTERRUPTED"];
    let events = rig.events();
    assert!(events.ends_with(&interruption.map(str::to_owned)), "{events:?}");
    let cuts = rig.notes.iter().find_map(|note| if let Note::Interrupted(cuts) = note { Some(cuts) } else { None });
    let [Cut { sentence: 0, at_sample }] = cuts.unwrap()[..] else { panic!("{cuts:?}") };
    // 100 ms of sound, and the audio may have begun up to some pieces before the last one seen.
    let played = (playing_since + 100 * MS + 20 * MS - rig.start).as_millis();
    assert!(at_sample > 0 && (at_sample as u128) < played * 8, "{at_sample}");
    rig.silence(4000 * MS);
    let events = rig.events();
    assert_eq!(events[..4], ["USER FINAL", "stop this now", "ASSISTANT SPECULATIVE", "you said stop this now"]);
}

#[test]
fn a_barge_in_into_the_buffered_tail_interrupts_although_the_turn_has_ended() {
    let mut rig = Rig::listening();
    rig.say("tell me a very long story, please");
    rig.silence(2700 * MS);
    assert_eq!(rig.events().last().unwrap(), "AUDIO END_TURN");
    rig.say("stop this");
    assert_eq!(rig.events(), ["ASSISTANT FINAL", r#"{ "interrupted" : true }"#, "TEXT INTERRUPTED"]);
}

#[test]
fn less_than_100_ms_of_sound_does_not_interrupt_and_is_not_answered() {
    let mut rig = Rig::listening();
    rig.say(&"a long story ".repeat(10));
    rig.silence(2700 * MS);
    rig.events();
    rig.say("mhm");
    rig.silence(1600 * MS);
    let events = rig.events();
    assert!(!events.iter().any(|event| event.contains("INTERRUPTED") || event.contains("USER")), "{events:?}");
    assert!(rig.notes.iter().any(|note| matches!(note, Note::Heard(heard) if heard.text == "mhm")));
}

#[test]
fn long_words_are_answered_even_if_text_made_the_model_talk_meanwhile() {
    let mut rig = Rig::new();
    rig.remember(&[(Speaker::User, "hello")]);
    rig.input(Input::AudioOpened { rate: SampleRate::Hz8000, answers: true });
    let words = "a rather long sentence ".repeat(5);
    rig.say(&words);
    rig.input(Input::LiveText("a text that takes long to repeat ".repeat(9)));
    rig.say(&words);
    rig.silence(3000 * MS);
    let events = rig.events();
    let interrupted = events.iter().position(|event| event == "TEXT INTERRUPTED");
    let interrupted = interrupted.unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(events[interrupted + 1], "USER FINAL", "{events:?}");
}

#[test]
fn words_cut_off_by_the_end_of_the_prompt_are_still_transcribed() {
    let mut rig = Rig::listening();
    rig.say("good night");
    rig.input(Input::AudioClosed);
    rig.input(Input::PromptEnded);
    assert_eq!(rig.events(), ["completionStart", "USER FINAL", "good night", "completionEnd"]);
}

#[test]
fn speaking_on_before_the_reply_makes_one_more_transcript_and_one_reply() {
    let mut rig = Rig::listening();
    rig.say("first part");
    rig.silence(1700 * MS);
    rig.say("second part");
    rig.silence(2200 * MS);
    let events = rig.events();
    let texts = ["completionStart", "USER FINAL", "first part", "USER FINAL", "second part", "ASSISTANT SPECULATIVE"];
    assert_eq!(events[..6], texts);
    assert_eq!(events[6], "you said second part");
}

#[test]
fn speech_is_transcribed_as_the_script_says() {
    let mut rig = Rig::listening();
    let hum: Vec<i16> = (0..8000).map(|n| if n % 40 < 20 { 4000 } else { -4000 }).collect();
    rig.hear(&hum);
    rig.silence(2500 * MS);
    assert_eq!(rig.events()[1..5], ["USER FINAL", "I need to cancel", "ASSISTANT SPECULATIVE", "which one?"]);
}

#[test]
fn a_session_without_a_role_for_its_audio_is_never_answered() {
    let mut rig = Rig::new();
    rig.input(Input::AudioOpened { rate: SampleRate::Hz8000, answers: false });
    rig.say("hello");
    rig.silence(5000 * MS);
    assert_eq!(rig.events(), [""; 0]);
}

#[test]
fn other_sample_rates_are_heard_as_well() {
    let mut rig = Rig::new();
    rig.input(Input::AudioOpened { rate: SampleRate::Hz16000, answers: true });
    let mut pcm = tones::speak("hello there");
    pcm.resize(pcm.len() + 16_000, 0);
    let doubled: Vec<i16> = pcm.into_iter().flat_map(|sample| [sample; 2]).collect();
    for piece in doubled.chunks(333) {
        rig.input(Input::Audio(piece.to_vec()));
    }
    assert!(rig.notes.iter().any(|note| matches!(note, Note::Heard(heard) if heard.text == "hello there")));
}

#[test]
fn the_end_of_the_prompt_ends_the_completion_and_everything_else() {
    let mut rig = Rig::listening();
    rig.say("tell me a story");
    rig.silence(2200 * MS);
    assert_eq!(rig.events().last().unwrap(), "audio");
    rig.say("bye");
    rig.input(Input::AudioClosed);
    rig.input(Input::PromptEnded);
    let events = rig.events();
    assert!(events.ends_with(&["completionEnd".to_owned()]), "{events:?}");
    assert!(rig.notes.iter().any(|note| matches!(note, Note::Heard(heard) if heard.text == "bye")));
    rig.wait(470_000 * MS);
    assert_eq!(rig.events(), [""; 0]);
    rig.wait(10_000 * MS);
    assert!(rig.events()[0].starts_with("modelTimeoutException"));
    assert_eq!(rig.model.poll_deadline(), None);
}

#[test]
fn silence_of_the_client_and_age_end_the_session() {
    let mut rig = Rig::listening();
    rig.wait(55_000 * MS);
    let events = rig.events();
    assert!(events[0].starts_with("validationException Timed out waiting for audio bytes"), "{events:?}");
    assert!(events[0].ends_with("less than 55 seconds"), "{events:?}");
    let mut rig = Rig::listening();
    for _ in 0..480 {
        rig.wait(1000 * MS);
        rig.input(Input::Audio(vec![0; 8000]));
    }
    assert_eq!(rig.events().len(), 1);
    assert_eq!(rig.model.poll_deadline(), None);
}

#[test]
fn usage_counts_speech_and_not_silence() {
    let usage = |rig: &Rig| {
        let usage = |note: &Note| if let Note::Usage(usage) = note { Some(*usage) } else { None };
        rig.notes.iter().rev().find_map(usage).unwrap_or_default()
    };
    let mut rig = Rig::listening();
    rig.silence(20_000 * MS);
    assert_eq!(usage(&rig), Usage::default());
    rig.say("how are you");
    rig.silence(4000 * MS);
    let usage = usage(&rig);
    assert!(usage.input_speech > 0 && usage.output_speech > 0 && usage.output_text > 0, "{usage:?}");
    assert_eq!(usage.input_text, 2);
}

#[test]
fn interactive_text_on_v1_is_counted_and_not_answered() {
    let mut rig = Rig::with(Generation::V1, Profile::Real, &[]).listen();
    rig.silence(200 * MS);
    rig.input(Input::LiveText("hello there".into()));
    rig.silence(9000 * MS);
    assert_eq!(rig.events(), [""; 0]);
    assert_eq!(rig.model.usage.input_text, 3 + 2);
    assert!(rig.notes.contains(&Note::Remark("interactive text is not answered by v1".into())));
}

#[test]
fn text_before_any_audio_is_counted_and_not_answered() {
    let mut rig = Rig::listening();
    rig.input(Input::LiveText("hello there".into()));
    rig.silence(9000 * MS);
    assert_eq!(rig.events(), [""; 0]);
    assert_eq!(rig.model.usage.input_text, 3 + 2);
}
