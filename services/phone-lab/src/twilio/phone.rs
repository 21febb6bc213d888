//! The caller's phone during one call: the 20 ms clock, the caller on it, and the record of what went over it.
//!
//! Whatever a call is doing, the caller hears and says 20 ms at a time, at absolute deadlines from the moment the call
//! was placed. So both tracks are in real time from first to last, and a driver that was late catches up.

mod ringing;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use offhook_hosting::clock::Clock;
use tokio::sync::mpsc;

use super::{
    callbacks::Delivered,
    caller::{Act, Caller, Moment, Span, TICK},
    dtmf,
    ledger::{Ledger, Redirection, Update},
    playout::FRAME,
    report::{Arrival, CallEnd, CallEvent, CallReport, Clear, DebuggerEntry, Finding, Happening, MarkEcho, Utterance},
    script::Sound,
    sid::CallSid,
    stream::SecondSocketEnd,
    twiml,
};
use crate::{network::Record, speech::SAMPLE_RATE};

const QUIET: [i16; FRAME] = [0; FRAME];
const HALF_SECOND: Duration = Duration::from_millis(500);
const BETWEEN_KEYS: Duration = Duration::from_millis(100);

/// The phone, and what is known about the call so far.
#[derive(Debug)]
pub(super) struct Phone {
    clock: Clock,
    placed: Instant,
    caller: Caller,
    frames: u64,
    keep_audio: bool,
    watcher: Option<mpsc::Sender<CallEvent>>,
    updates: mpsc::Receiver<Update>,
    /// When the call has lasted long enough.
    limit: Option<Duration>,
    /// The media stream that is being opened or up.
    stream_sid: Option<String>,
    ledger: Arc<Ledger>,
    report: CallReport,
}

/// Why whatever the call is doing breaks off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The call is over.
    Gone(CallEnd),
    /// The REST interface gave the call something else to do.
    Redirected(Box<Redirection>),
    /// The REST interface stopped the stream that is up.
    StreamStopped,
}

/// 20 ms of the caller that a stream carries on.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) pcm: [i16; FRAME],
    pub(super) keys: Vec<char>,
    pub(super) left: Option<Left>,
}

impl Phone {
    pub(super) fn new(
        call_sid: &CallSid,
        caller: Caller,
        clock: Clock,
        keep_audio: bool,
        watcher: Option<mpsc::Sender<CallEvent>>,
        updates: mpsc::Receiver<Update>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let report = CallReport { call_sid: call_sid.to_string(), ..CallReport::of_nothing(CallEnd::DocumentEnded) };
        let (placed, limit, stream_sid) = (clock.now(), None, None);
        Self { clock, placed, caller, frames: 0, keep_audio, watcher, updates, limit, stream_sid, ledger, report }
    }

    /// The call ends when it has gone on for so long from now.
    pub(super) fn end_after(&mut self, limit: Duration) {
        self.limit = Some(self.now() + limit);
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Since the call was placed.
    pub(super) fn now(&self) -> Duration {
        self.clock.now().duration_since(self.placed)
    }

    /// Returns when the next frame is due. Nothing is lost if it is dropped.
    pub(super) async fn next_frame(&self) {
        let due = self.placed + TICK * u32::try_from(self.frames).unwrap_or(u32::MAX);
        tokio::time::sleep_until(due.into()).await;
    }

    /// Returns at this time of the call; never, if there is none.
    pub(super) async fn at(&self, time: Option<Duration>) {
        match time {
            Some(time) => tokio::time::sleep_until((self.placed + time).into()).await,
            None => std::future::pending().await,
        }
    }

    /// The caller said this before anybody could hear it.
    pub(super) fn said_before(&mut self, sound: &Sound) {
        let lasted = time_of(sound.pcm().len() as u64);
        let at = self.now().saturating_sub(lasted);
        let pcm = if self.keep_audio { sound.pcm().to_vec() } else { Vec::new() };
        self.report.said.push(Utterance { text: sound.text().to_owned(), at, lasted, pcm });
    }

    pub(super) fn second_socket_ended(&mut self, end: SecondSocketEnd) {
        self.report.second_socket = Some(end);
    }

    /// The caller hears 20 ms and says 20 ms.
    pub(super) fn frame(&mut self, hears: &[i16; FRAME]) -> Spoken {
        self.exchange(hears, hears)
    }

    /// The line carries 20 ms, of which the caller's ear takes these.
    fn exchange(&mut self, carries: &[i16; FRAME], hears: &[i16; FRAME]) -> Spoken {
        self.frames += 1;
        let Moment { says, acts } = self.caller.tick(hears);
        if self.keep_audio {
            self.report.heard_pcm.extend_from_slice(carries);
            self.report.said_pcm.extend_from_slice(&says);
        }
        let mut spoken = Spoken { pcm: says, keys: Vec::new(), left: None };
        for act in acts {
            match act {
                Act::Pressed(digit) => {
                    spoken.keys.push(digit);
                    self.happened(Happening::Pressed { digit });
                }
                Act::HungUp => {
                    spoken.left = Some(Left::Gone(CallEnd::CallerHungUp));
                    self.happened(Happening::HungUp);
                }
                Act::GaveUp => {
                    spoken.left = Some(Left::Gone(CallEnd::PatienceEnded));
                    self.happened(Happening::HungUp);
                }
                Act::Speaks(_) | Act::Spoke(_) | Act::Heard(_) => self.note(act),
            }
        }
        spoken.left = spoken.left.or_else(|| self.broken_off());
        spoken
    }

    /// Whether Twilio itself breaks off what the call is doing.
    fn broken_off(&mut self) -> Option<Left> {
        if self.limit.is_some_and(|limit| limit <= self.now()) {
            return Some(Left::Gone(CallEnd::TimeLimit));
        }
        match self.updates.try_recv().ok()? {
            Update::Redirect(redirection) => Some(Left::Redirected(redirection)),
            Update::End => Some(Left::Gone(CallEnd::EndedByRest)),
            // Without effect on a call that was answered (Twilio docs, "Call resource", `Status`).
            Update::Cancel if self.is_answered() => None,
            Update::Cancel => Some(Left::Gone(CallEnd::EndedByRest)),
            Update::StopStream(sid) => (self.stream_sid.as_ref() == Some(&sid)).then_some(Left::StreamStopped),
        }
    }

    fn is_answered(&self) -> bool {
        self.report.timeline.iter().any(|event| event.what == Happening::Answered)
    }

    /// The caller hears these samples, then it goes on.
    pub(super) async fn hear(&mut self, pcm: &[i16]) -> Result<(), Left> {
        for piece in pcm.chunks(FRAME) {
            let mut frame = QUIET;
            frame[..piece.len()].copy_from_slice(piece);
            self.next_frame().await;
            self.frame(&frame).left.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// The caller hears 20 ms. Gives the keys that were pressed meanwhile.
    pub(super) async fn keys_during(&mut self, hears: &[i16; FRAME]) -> Result<Vec<char>, Left> {
        self.next_frame().await;
        let Spoken { keys, left, .. } = self.frame(hears);
        left.map_or(Ok(keys), Err)
    }

    /// Keys are sent to the caller: each is on the line for 100 ms, and its name goes beside it, as telephone events do
    /// (RFC 4733). So no sound is taken for a key that was none, and no key for a word.
    pub(super) async fn play_keys(&mut self, keys: &str) -> Result<(), Left> {
        for key in keys.chars() {
            match key {
                'w' => self.silence(HALF_SECOND).await?,
                'W' => self.silence(2 * HALF_SECOND).await?,
                key => {
                    for piece in dtmf::sound(key).chunks_exact(FRAME) {
                        self.next_frame().await;
                        let carries = piece.try_into().unwrap_or(QUIET);
                        self.exchange(&carries, &QUIET).left.map_or(Ok(()), Err)?;
                    }
                    self.hear_key(key);
                    self.silence(BETWEEN_KEYS).await?;
                }
            }
        }
        Ok(())
    }

    /// The call came by SIP, with these headers.
    pub(super) fn came_with(&mut self, headers: Vec<(String, String)>) {
        self.report.sip_headers = headers;
    }

    /// A key was pressed at the other end.
    pub(super) fn hear_key(&mut self, digit: char) {
        self.report.keys_heard.push(digit);
        self.happened(Happening::KeyHeard { digit });
        self.caller.hears_key(digit);
    }

    /// Somebody else is on the line.
    pub(super) fn connected(&mut self) {
        self.cut_off();
        self.caller.connected();
        self.happened(Happening::Connected);
    }

    /// Somebody who was brought into the call is gone, and this is left. What its debugger says is the call's as well.
    pub(super) fn party_left(&mut self, report: CallReport) {
        let at = self.now();
        self.report.codes.extend(report.codes.iter().map(|entry| DebuggerEntry { at, ..entry.clone() }));
        self.report.parties.push(report);
    }

    /// The line is silent for so long.
    pub(super) async fn silence(&mut self, length: Duration) -> Result<(), Left> {
        for _ in 0..length.as_millis() / TICK.as_millis() {
            self.hear(&QUIET).await?;
        }
        Ok(())
    }

    /// The line is silent until something is done, or given up with the caller gone.
    pub(super) async fn wait_for<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Left> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.next_frame() => self.frame(&QUIET).left.map_or(Ok(()), Err)?,
            }
        }
    }

    /// The call is answered; the caller begins.
    pub(super) fn answered(&mut self) {
        self.caller.answered();
        self.happened(Happening::Answered);
    }

    /// The server had the queue emptied.
    pub(super) fn cleared(&mut self, dropped_samples: usize) {
        self.report.clears.push(Clear { at: self.now(), dropped_samples });
        self.happened(Happening::Cleared { dropped_samples });
        if dropped_samples > 0 {
            self.cut_off();
        }
    }

    /// What the caller was hearing breaks off.
    pub(super) fn cut_off(&mut self) {
        if let Some(act) = self.caller.cut_off() {
            self.note(act);
        }
    }

    pub(super) fn mark_echoed(&mut self, name: &str, cleared: bool) {
        self.report.marks_echoed += 1;
        self.report.marks.push(MarkEcho { name: name.to_owned(), at: self.now(), cleared });
    }

    pub(super) fn audio_arrived(&mut self, samples: usize) {
        self.report.arrivals.push(Arrival { at: self.now(), samples });
    }

    /// A stream is being opened: what is found until it has ended is about it.
    pub(super) fn opens_stream(&mut self, stream_sid: String) {
        self.stream_sid = Some(stream_sid);
    }

    /// No stream is up any more. Says whether one was.
    pub(super) fn closed_stream(&mut self) -> bool {
        self.stream_sid.take().is_some()
    }

    pub(super) fn stream_started(&mut self, stream_sid: String) {
        self.report.stream_sids.push(stream_sid.clone());
        self.happened(Happening::StreamStarted { stream_sid });
    }

    /// Nothing if it never started.
    pub(super) fn stream_ended(&mut self, stream_sid: String) {
        if self.report.stream_sids.contains(&stream_sid) {
            self.happened(Happening::StreamEnded { stream_sid });
        }
    }

    pub(super) fn dialled(&mut self, target: &str) {
        self.report.dialled.push(target.to_owned());
        self.happened(Happening::Dialled { target: target.to_owned() });
    }

    pub(super) fn twilio_says(&mut self, text: &str) {
        self.report.spoken_by_twilio.push(text.to_owned());
        self.happened(Happening::TwilioSays { text: text.to_owned() });
    }

    pub(super) fn document(&mut self, text: &str) {
        self.report.documents.push(text.to_owned());
        self.happened(Happening::Document { verbs: twiml::outline(text) });
    }

    /// Puts on record how a callback went, and what went wrong with it.
    pub(super) fn called_back(&mut self, Delivered { sent, took, path, told, finding }: Delivered) {
        let at = sent.saturating_duration_since(self.placed);
        self.report.timeline.push(CallEvent { at, what: Happening::CalledBack { path, told, took } });
        finding.into_iter().for_each(|finding| self.found(finding));
    }

    pub(super) fn found(&mut self, finding: Finding) {
        self.ledger.log(Some(&self.report.call_sid), self.stream_sid.as_deref(), &finding);
        let Finding { code, detail } = finding;
        self.report.codes.push(DebuggerEntry {
            code,
            at: self.now(),
            detail: detail.clone(),
            stream_sid: self.stream_sid.clone(),
        });
        self.happened(Happening::Debugger { code, detail });
    }

    /// Puts something on the timeline. A watcher that does not keep up misses events; the call never waits for it.
    pub(super) fn happened(&mut self, what: Happening) {
        let event = CallEvent { at: self.now(), what };
        if let Some(watcher) = &self.watcher {
            let _ = watcher.try_send(event.clone());
        }
        self.report.timeline.push(event);
    }

    /// The call is over.
    pub(super) fn end(&mut self, end: CallEnd) {
        for act in self.caller.hang_up() {
            self.note(act);
        }
        self.report.end = end;
        self.happened(Happening::Ended { end });
    }

    /// The same, unless it was over already.
    pub(super) fn end_unless_over(&mut self, end: CallEnd) {
        if !self.report.timeline.iter().any(|event| matches!(event.what, Happening::Ended { .. })) {
            self.end(end);
        }
    }

    /// A stream under conditions is over.
    pub(super) fn line_ended(&mut self, line: &Record) {
        self.report.network.push(line.report(self.clock.now()));
    }

    /// What is left of it.
    pub(super) fn into_report(mut self) -> CallReport {
        // Callbacks are put on record when the call is over.
        self.report.timeline.sort_by_key(|event| event.at);
        self.report
    }

    fn note(&mut self, act: Act) {
        match act {
            Act::Speaks(text) => self.happened(Happening::CallerSpeaks { text }),
            Act::Spoke(span) => {
                let utterance = utterance(span, &self.report.said_pcm);
                self.report.said.push(utterance);
            }
            Act::Heard(span) => {
                self.happened(Happening::CallerHeard { text: span.text.clone() });
                let utterance = utterance(span, &self.report.heard_pcm);
                self.report.heard.push(utterance);
            }
            Act::Pressed(_) | Act::HungUp | Act::GaveUp => {}
        }
    }
}

fn utterance(Span { text, from, to }: Span, track: &[i16]) -> Utterance {
    let pcm = track.get(from as usize..(to as usize).min(track.len())).unwrap_or_default().to_vec();
    Utterance { text, at: time_of(from), lasted: time_of(to - from), pcm }
}

fn time_of(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000_000 / u64::from(SAMPLE_RATE))
}
