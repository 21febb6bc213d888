//! What can be measured in a session that is right.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use offhook_hosting::clock::Clock;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    events,
    plan::Move,
    reading::Seen,
    wire::{RequestFlaw, Stream, Target},
};

/// Bytes of output audio in a second: 8000 samples of two bytes.
const BYTES_PER_SECOND: f64 = 16_000.0;

/// What one conversation of one question showed. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub max_concurrent_streams: usize,
    /// From the request to its response.
    pub response_ms: Option<u64>,
    /// From the question to the first audio.
    pub first_audio_ms: Option<u64>,
    /// The median size of an `audioOutput`, in bytes of audio.
    pub audio_output_bytes: Option<usize>,
    /// Seconds of audio that came in a second.
    pub audio_speed: Option<f64>,
    /// From the last audio to the last FINAL text.
    pub final_text_ms: Option<u64>,
    /// From `promptEnd` to `completionEnd`.
    pub completion_end_ms: Option<u64>,
    /// Whether events had the field `p` beside their bytes.
    pub padded: bool,
    /// Names of the events in the order they came, repetitions left out.
    pub events: Vec<String>,
}

/// Has a conversation of one question. One that is refused is an error: there would be nothing to break a rule in.
pub(super) async fn observe(target: &Target, patience: Duration, clock: Clock) -> anyhow::Result<Facts> {
    let mut watch = Watch::new(clock.now());
    let mut stream = Stream::open(target, RequestFlaw::None, clock.wall()).await?;
    send(&mut stream, &events::asked_after(events::opening()), clock)?;
    let asked = clock.now();
    listen(&mut stream, &mut watch, patience, clock, |watch| watch.turn_over && watch.finals > 0).await;
    if let Some(refusal) = watch.refused {
        anyhow::bail!("a session that is right is refused, {refusal}: check the credentials, region and model");
    }
    send(&mut stream, &events::goodbye(), clock)?;
    stream.finish(true, clock.wall())?;
    let ended = clock.now();
    listen(&mut stream, &mut watch, patience, clock, |watch| watch.over).await;
    Ok(watch.finish(asked, ended))
}

fn send(stream: &mut Stream, moves: &[Move], clock: Clock) -> anyhow::Result<()> {
    moves.iter().filter_map(Move::event).try_for_each(|event| stream.send(&event, clock.wall()))
}

async fn listen(
    stream: &mut Stream,
    watch: &mut Watch,
    patience: Duration,
    clock: Clock,
    enough: impl Fn(&Watch) -> bool,
) {
    while !enough(watch) && !watch.over {
        match timeout(patience, stream.seen.recv()).await {
            Ok(Some(seen)) => watch.handle_seen(seen, clock.now()),
            Ok(None) | Err(_) => return,
        }
    }
}

struct Watch {
    facts: Facts,
    begun: Instant,
    audio: Vec<(Instant, usize)>,
    last_final: Option<Instant>,
    completion_end: Option<Instant>,
    finals: usize,
    turn_over: bool,
    over: bool,
    /// Status and error, if there was no session.
    refused: Option<String>,
}

impl Watch {
    fn new(begun: Instant) -> Self {
        Self {
            facts: Facts::default(),
            begun,
            audio: Vec::new(),
            last_final: None,
            completion_end: None,
            finals: 0,
            turn_over: false,
            over: false,
            refused: None,
        }
    }

    fn handle_seen(&mut self, seen: Seen, now: Instant) {
        match seen {
            Seen::Response { max_concurrent_streams } => {
                self.facts.max_concurrent_streams = max_concurrent_streams;
                self.facts.response_ms = Some(millis(now - self.begun));
            }
            Seen::Event { name, fields, padded } => {
                self.facts.padded |= padded;
                self.handle_event(&name, &fields, now);
                if self.facts.events.last() != Some(&name) {
                    self.facts.events.push(name);
                }
            }
            Seen::Refused { status, error } => {
                self.refused = Some(format!("{status} {error}"));
                self.over = true;
            }
            Seen::Exception { .. } | Seen::End | Seen::Broken(_) => self.over = true,
        }
    }

    fn handle_event(&mut self, name: &str, fields: &Value, now: Instant) {
        match name {
            "audioOutput" => {
                let content = fields["content"].as_str().unwrap_or_default();
                self.audio.push((now, STANDARD.decode(content).map_or(0, |bytes| bytes.len())));
            }
            "contentStart" => {
                let assistant = fields["role"] == "ASSISTANT";
                let stage = fields["additionalModelFields"].as_str().unwrap_or_default();
                if assistant && stage.contains("FINAL") {
                    self.finals += 1;
                    self.last_final = Some(now);
                }
            }
            "contentEnd" => self.turn_over |= fields["type"] == "AUDIO" && fields["stopReason"] == "END_TURN",
            "completionEnd" => self.completion_end = Some(now),
            _ => {}
        }
    }

    fn finish(self, asked: Instant, ended: Instant) -> Facts {
        let mut facts = self.facts;
        facts.completion_end_ms = self.completion_end.map(|at| millis(at.saturating_duration_since(ended)));
        if let (Some(&(first, _)), Some(&(last, _))) = (self.audio.first(), self.audio.last()) {
            let mut sizes: Vec<_> = self.audio.iter().map(|&(_, bytes)| bytes).collect();
            sizes.sort_unstable();
            let total: usize = sizes.iter().sum();
            facts.first_audio_ms = Some(millis(first.saturating_duration_since(asked)));
            facts.audio_output_bytes = sizes.get(sizes.len() / 2).copied();
            let seconds = (last - first).as_secs_f64();
            facts.audio_speed = (seconds > 0.0).then(|| total as f64 / BYTES_PER_SECOND / seconds);
            facts.final_text_ms = self.last_final.map(|at| millis(at.saturating_duration_since(last)));
        }
        facts
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
