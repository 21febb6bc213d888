//! A session in which every event is kept as it came.

use base64::{Engine, engine::general_purpose::STANDARD};
use phone_lab::tones;
use serde_json::{Value, json};

use crate::{raw::*, support::*};

/// A session whose every event is kept, with whatever stands beside it.
pub(crate) struct Kept {
    pub(crate) call: RawCall,
    pub(crate) seen: Vec<Value>,
}

impl Kept {
    pub(crate) async fn open(raw: &mut Raw) -> Self {
        let mut call = raw.open();
        for event in [session_start(), prompt_start(), system_start(), system_text("S"), end("S"), audio_start()] {
            call.send_event(&event).await;
        }
        Self { call, seen: Vec::new() }
    }

    /// Says tone words and falls silent.
    pub(crate) async fn say(&mut self, words: &str) {
        for piece in [tones::speak(words), vec![0; 1600]].concat().chunks(800) {
            self.call.send_event(&audio(piece)).await;
        }
    }

    /// Reads on to an event of this name for which this holds. An error is how the stream ended before that.
    pub(crate) async fn until(&mut self, name: &str, holds: impl Fn(&Value) -> bool) -> Result<Value, String> {
        loop {
            let frame = self.call.next().await?.ok_or("the end")?;
            let mut chunk: Value = serde_json::from_slice(frame.payload()).unwrap();
            let Some(bytes) = chunk["bytes"].as_str() else { return Err(value(&frame, ":exception-type")) };
            let event: Value = serde_json::from_slice(&STANDARD.decode(bytes).unwrap()).unwrap();
            chunk["bytes"] = event["event"].clone();
            self.seen.push(chunk);
            if let Some(fields) = event["event"].get(name).filter(|fields| holds(fields)) {
                return Ok(fields.clone());
            }
        }
    }

    /// Reads on to the end of the model's turn.
    pub(crate) async fn turn(&mut self) -> Result<Value, String> {
        self.until("contentEnd", |end| end["type"] == "AUDIO" && end["stopReason"] == "END_TURN").await
    }

    /// Reads on until this has been said and played.
    pub(crate) async fn confirmed(&mut self, text: &str) -> Result<Value, String> {
        self.turn().await?;
        self.until("textOutput", |output| output["content"] == text).await
    }

    /// Ends the session as one should, and reads to its end.
    pub(crate) async fn close(&mut self) -> Result<(), String> {
        for event in [end("A"), json!({"promptEnd": {"promptName": "P"}}), json!({"sessionEnd": {}})] {
            self.call.send_event(&event).await;
        }
        self.until("completionEnd", |_| true).await?;
        self.call.send_inner(&[]).await;
        self.call.end_body();
        assert_eq!(self.call.next().await, Ok(None));
        Ok(())
    }
}
