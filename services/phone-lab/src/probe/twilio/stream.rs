//! What is tried on a media stream.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{answers::Watch, stages::Stage};

/// Mu-law silence.
const SILENCE: u8 = 0xff;
const BYTES_PER_SECOND: usize = 8000;
/// Shorter than the audio before the first mark.
const BEFORE_ANY_MARK: Duration = Duration::from_millis(400);
/// Shorter than what is still to be played before the last mark when the queue is cleared.
const AT_ONCE: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(1);

/// Serves a stream of this stage to its end.
pub(super) async fn serve(socket: WebSocket, stage: Stage, watch: Arc<Watch>) {
    let mut line = Line { socket, stream_sid: String::new(), watch, over: false };
    line.begin(stage).await;
    match stage {
        Stage::Stream => {
            line.ping().await;
            line.marks().await;
            line.oddities().await;
            line.close(1000).await;
        }
        Stage::ClosedOddly => line.close(1011).await,
        // Leaving drops the socket, without a close frame.
        Stage::Dropped | Stage::Moved | Stage::Refused | Stage::Failed => {}
    }
}

struct Line {
    socket: WebSocket,
    stream_sid: String,
    watch: Arc<Watch>,
    over: bool,
}

/// Something that came, and when.
struct Came {
    at: Instant,
    what: Message,
}

impl Came {
    fn json(&self) -> Value {
        let text = self.what.to_text().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The name of the mark that this echoes.
    fn mark(&self) -> Option<String> {
        let json = self.json();
        (json["event"] == "mark").then(|| json["mark"]["name"].as_str().unwrap_or_default().to_owned())
    }
}

impl Line {
    /// Everything that comes within this time.
    async fn gather(&mut self, time: Duration) -> Vec<Came> {
        let (mut came, clock) = (Vec::new(), self.watch.clock);
        let until = clock.now() + time;
        while !self.over {
            let rest = until.saturating_duration_since(clock.now());
            match timeout(rest, self.socket.recv()).await {
                Ok(Some(Ok(what))) => came.push(Came { at: clock.now(), what }),
                Ok(Some(Err(_)) | None) => self.over = true,
                Err(_) => break,
            }
        }
        came
    }

    async fn send(&mut self, message: Value) {
        // What is sent to a stream that is over is not missed: the notes say that it is over.
        drop(self.socket.send(Message::text(message.to_string())).await);
    }

    async fn play(&mut self, seconds: usize) {
        let payload = STANDARD.encode(vec![SILENCE; seconds * BYTES_PER_SECOND]);
        self.send(json!({"event": "media", "streamSid": self.stream_sid, "media": {"payload": payload}})).await;
    }

    async fn mark(&mut self, name: &str) {
        self.send(json!({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}})).await;
    }

    async fn clear(&mut self) {
        self.send(json!({"event": "clear", "streamSid": self.stream_sid})).await;
    }

    /// The first second: `connected`, `start`, and how media comes.
    async fn begin(&mut self, stage: Stage) {
        let begun = self.watch.clock.now();
        let came = self.gather(SOON).await;
        let Some((start, at)) =
            came.iter().map(|came| (came.json(), came.at)).find(|(json, _)| json["event"] == "start")
        else {
            return;
        };
        start["streamSid"].as_str().unwrap_or_default().clone_into(&mut self.stream_sid);
        if stage != Stage::Stream {
            return;
        }
        self.watch.note("start: keys", keys(&start["start"]));
        self.watch.note("start: media format", start["start"]["mediaFormat"].to_string());
        self.watch.measure("start comes after, ms", millis(at - begun));
        let media: Vec<_> = came.iter().map(Came::json).filter(|json| json["event"] == "media").collect();
        let Some(first) = media.first() else { return };
        self.watch.note("media: keys", format!("{} of {}", keys(&first["media"]), keys(first)));
        self.watch.measure("media: first timestamp", first["media"]["timestamp"].to_string());
        self.watch.measure("media: messages in the first second", media.len().to_string());
    }

    async fn ping(&mut self) {
        drop(self.socket.send(Message::Ping(Bytes::from_static(b"phone-lab"))).await);
        let came = self.gather(SOON).await;
        let answered = came.iter().any(|came| matches!(&came.what, Message::Pong(bytes) if &bytes[..] == b"phone-lab"));
        self.watch.note("a ping is", if answered { "answered" } else { "not answered" });
        let pinged = came.iter().any(|came| matches!(came.what, Message::Ping(_)));
        self.watch.note("a ping of Twilio's own", if pinged { "came" } else { "did not come" });
    }

    async fn marks(&mut self) {
        self.mark("idle").await;
        let echoes = self.echoes_within(SOON).await;
        self.watch.note("a mark with nothing to play is", told(&echoes));
        for name in ["a", "b", "c"] {
            self.play(1).await;
            self.mark(name).await;
        }
        let early = self.echoes_within(BEFORE_ANY_MARK).await;
        self.watch.note("marks behind audio that is not played are", told(&early));
        self.clear().await;
        let echoes = self.echoes_within(4 * SOON).await;
        self.watch.note("marks that are cleared are", told(&echoes));
        let name = "m".repeat(1000);
        self.mark(&name).await;
        let echoes = self.echoes_within(SOON).await;
        let length = echoes.first().map(|(name, _)| format!("echoed with {} characters", name.len()));
        self.watch.note("a mark of 1000 characters is", length.unwrap_or_else(|| "not echoed".to_owned()));
    }

    async fn oddities(&mut self) {
        self.send(json!({"event": "media", "streamSid": self.stream_sid, "media": {"payload": "?"}})).await;
        self.note_survival("media that is no base64").await;
        self.send(json!({"event": "phone-lab", "streamSid": self.stream_sid})).await;
        self.note_survival("an unknown event").await;
        self.play(60).await;
        self.mark("long").await;
        self.clear().await;
        let echoes = self.echoes_within(SOON).await;
        self.watch.note("a minute of audio in one message is", if echoes.is_empty() { "not taken" } else { "taken" });
    }

    async fn note_survival(&mut self, what: &str) {
        let media = self.gather(SOON).await.iter().any(|came| came.json()["event"] == "media");
        self.watch.note(format!("after {what} the stream"), if media { "goes on" } else { "is silent or over" });
    }

    async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code, reason: "".into() };
        drop(self.socket.send(Message::Close(Some(frame))).await);
        let came = self.gather(3 * SOON).await;
        let answer = came.iter().find_map(|came| match &came.what {
            Message::Close(frame) => Some(frame.as_ref().map_or("no code".to_owned(), |frame| frame.code.to_string())),
            Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => None,
        });
        self.watch
            .note(format!("a close with {code} is answered with"), answer.unwrap_or_else(|| "nothing".to_owned()));
        let stopped = came.iter().any(|came| came.json()["event"] == "stop");
        self.watch.note(format!("a stop after a close with {code}"), if stopped { "comes" } else { "does not come" });
    }

    /// The marks that are echoed, each with the time it took.
    async fn echoes_within(&mut self, time: Duration) -> Vec<(String, Duration)> {
        let asked = self.watch.clock.now();
        let came = self.gather(time).await;
        came.iter().filter_map(|came| Some((came.mark()?, came.at - asked))).collect()
    }
}

/// Which were echoed, and whether that waited.
fn told(echoes: &[(String, Duration)]) -> String {
    let names: Vec<_> = echoes.iter().map(|(name, _)| name.as_str()).collect();
    match echoes.last() {
        None => "not echoed".to_owned(),
        Some(&(_, last)) if last < AT_ONCE => format!("echoed at once: {}", names.join(" ")),
        Some(_) => format!("echoed later: {}", names.join(" ")),
    }
}

fn keys(value: &Value) -> String {
    let mut keys: Vec<_> = value.as_object().into_iter().flat_map(|object| object.keys().map(String::as_str)).collect();
    keys.sort_unstable();
    keys.join(" ")
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
