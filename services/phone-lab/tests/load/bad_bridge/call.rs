//! One call: a media socket and a session of the model, and what goes between them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Books, Defect, Shared, Way,
    books::{Entry, now},
    mangle::Mangler,
    model::{self, Input, Output, Said},
    sound,
};

type Socket = WebSocketStream<TcpStream>;

/// What is to be written to the caller, and when it came from the model.
enum ToCaller {
    Audio(Vec<u8>),
    Clear,
}

const QUEUE: usize = 256;
/// How long the model may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
const FRAME: Duration = Duration::from_millis(20);

pub(super) async fn bridge(shared: &Shared, socket: Socket) {
    let Shared { defect, books, .. } = shared;
    let (sink, mut reader) = socket.split();
    let Some((stream_sid, started)) = start(&mut reader).await else { return };
    defect.dawdle(Defect::OpensSessionsLate).await;
    let Some((input, output)) = model::open(&shared.client, books.clone()).await else { return };

    let (to_model, from_caller) = mpsc::channel(QUEUE);
    let (to_caller, from_model) = mpsc::channel(QUEUE);
    let there = defect.delay(Way::There);
    let line = AbortOnDropHandle::new(tokio::spawn(carry(from_caller, input.clone(), there)));
    let last_sound = Arc::new(Mutex::new(started));
    let writer = Writer {
        sink,
        stream_sid,
        started,
        last_sound: last_sound.clone(),
        defect: *defect,
        books: books.clone(),
        wrote: None,
    };
    let writer = AbortOnDropHandle::new(tokio::spawn(writer.run(from_model)));
    let mut listening = AbortOnDropHandle::new(tokio::spawn(listen(output, to_caller, *defect, books.clone())));

    tokio::select! {
        () = hear(&mut reader, &to_model, &last_sound, *defect, books) => {}
        _ = &mut listening => return,
    }
    if *defect == Defect::LeaksSessions {
        shared.leaked.lock().await.push((input, listening));
        return;
    }
    drop(to_model);
    let _ = line.await;
    for event in model::goodbye().into_iter().filter(|_| *defect != Defect::LeavesSessions) {
        let _ = input.send((event, None)).await;
    }
    drop(input);
    let _ = timeout(GOODBYE, listening).await;
    drop(writer);
}

/// The stream's id, and when `start` was read.
async fn start(reader: &mut SplitStream<Socket>) -> Option<(String, Instant)> {
    while let Some(Ok(message)) = reader.next().await {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["event"] == "start" {
            return Some((message["streamSid"].as_str().unwrap().to_owned(), now()));
        }
    }
    None
}

/// Reads what the caller says until the socket ends.
async fn hear(
    reader: &mut SplitStream<Socket>,
    to_model: &mpsc::Sender<(Instant, Vec<u8>)>,
    last_sound: &Mutex<Instant>,
    defect: Defect,
    books: &Books,
) {
    let mut mangler = Mangler::new(defect.mischief(Way::There));
    while let Some(Ok(message)) = reader.next().await {
        let read = now();
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["event"] != "media" {
            continue;
        }
        let frame = STANDARD.decode(message["media"]["payload"].as_str().unwrap()).unwrap();
        if sound::is_any(&frame) {
            *last_sound.lock().unwrap() = read;
        }
        for read in mangler.pass((read, frame), books) {
            to_model.send(read).await.unwrap();
        }
    }
}

/// Hands each frame to the SDK when it is due.
async fn carry(mut frames: mpsc::Receiver<(Instant, Vec<u8>)>, input: mpsc::Sender<Input>, delay: Duration) {
    while let Some((read, frame)) = frames.recv().await {
        if !delay.is_zero() {
            sleep_until((read + delay).into()).await;
        }
        let booked = sound::is_any(&frame).then_some(read);
        // A session that has ended takes no more.
        let _ = input.send((model::audio(&frame), booked)).await;
    }
}

/// Reads what the model says until its stream ends.
async fn listen(mut output: Output, to_caller: mpsc::Sender<(Instant, ToCaller)>, defect: Defect, books: Arc<Books>) {
    let mut mangler = Mangler::new(defect.mischief(Way::Back));
    while let Some(said) = model::next(&mut output).await {
        let read = now();
        let writes = match said {
            Said::Audio(frame) => {
                let passed = mangler.pass((read, frame), &books).into_iter();
                passed.map(|(read, frame)| (read, ToCaller::Audio(frame))).collect()
            }
            Said::Interrupted if defect != Defect::IgnoresInterruptions => vec![(read, ToCaller::Clear)],
            Said::Interrupted | Said::Other => Vec::new(),
        };
        for write in writes {
            // A caller who is gone hears no more.
            let _ = to_caller.send(write).await;
        }
    }
}

/// The caller's end.
struct Writer {
    sink: SplitSink<Socket, Message>,
    stream_sid: String,
    started: Instant,
    /// When the last frame of sound was read from the caller.
    last_sound: Arc<Mutex<Instant>>,
    defect: Defect,
    books: Arc<Books>,
    /// When audio was written last.
    wrote: Option<Instant>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<(Instant, ToCaller)>) {
        while let Some((read, write)) = queue.recv().await {
            let delay = match write {
                ToCaller::Clear if self.defect == Defect::ClearsLate => super::LATE,
                ToCaller::Clear => Duration::ZERO,
                ToCaller::Audio(_) => self.defect.delay(Way::Back),
            };
            if !delay.is_zero() {
                sleep_until((read + delay).into()).await;
            }
            let message = match &write {
                ToCaller::Clear => json!({"event": "clear", "streamSid": self.stream_sid}),
                ToCaller::Audio(frame) => json!({"event": "media", "streamSid": self.stream_sid,
                    "media": {"payload": STANDARD.encode(frame)}}),
            };
            if self.sink.send(Message::text(message.to_string())).await.is_err() {
                return;
            }
            self.book(&write, read);
        }
    }

    fn book(&mut self, write: &ToCaller, read: Instant) {
        let wrote = now();
        match write {
            ToCaller::Clear => self.books.took(Entry::Clear, wrote - *self.last_sound.lock().unwrap()),
            ToCaller::Audio(frame) => {
                match self.wrote.replace(wrote) {
                    Some(before) => self.books.took(Entry::Jitter, (wrote - before).abs_diff(FRAME)),
                    None => self.books.took(Entry::FirstAudio, wrote - self.started),
                }
                if sound::is_any(frame) {
                    self.books.took(Entry::Back, wrote - read);
                }
            }
        }
    }
}
