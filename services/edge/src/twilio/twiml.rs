//! The documents Twilio is answered with.
//!
//! A document never leaves a call hanging: whatever happens to its first verb, it ends in `<Hangup/>`, or is `<Reject>`
//! and nothing else. A `<Pause>` there would keep the caller on a silent line. No document comes near Twilio's limit of
//! 64 kB.
//!
//! [`dial`] hands a call to a human, [`whisper`] asks them whether they take it.

pub mod dial;
pub mod waiting;
pub mod whisper;

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

/// What the caller hears when the service cannot go on.
pub const APOLOGY: &str = "We are sorry, we cannot take your call right now. Please try again later.";
/// What the caller hears when a human was to take over and did not.
pub const NOBODY_ANSWERED: &str = "We are sorry, nobody is available to take your call. Please try again later.";

/// A parameter's name and value together stay under this (Twilio docs, `<Stream>`, custom parameters).
pub const PARAMETER_LIMIT: usize = 500;

/// Connects the call to a media stream, and asks `action` what to do once it has ended. Names the caller, so it has no
/// form for logs.
#[derive(Clone)]
pub struct ConnectStream {
    /// Played into the line before the stream is connected: 0-9, *, # and w, which waits half a second. Empty: none.
    pub digits: String,
    /// Asked by POST when the stream has ended.
    pub action: String,
    /// The media socket, `wss`, without a query: Twilio would drop it.
    pub url: String,
    /// Told by POST when the stream starts, stops and fails.
    pub status_callback: String,
    /// Delivered in the stream's `start`. One that is too long for Twilio is left out.
    pub parameters: Vec<(&'static str, String)>,
}

impl ConnectStream {
    /// The document.
    pub fn to_twiml(&self) -> String {
        self.with_context(&[])
    }

    /// The document, with what else is known of the call among the parameters.
    pub fn with_context(&self, context: &[(String, String)]) -> String {
        response(|out| {
            if !self.digits.is_empty() {
                out.create_element("Play").with_attribute(("digits", clean(&self.digits).as_str())).write_empty()?;
            }
            let connect = out.create_element("Connect").with_attribute(("action", clean(&self.action).as_str()));
            connect.with_attribute(("method", "POST")).write_inner_content(|out| {
                out.create_element("Stream")
                    .with_attribute(("url", clean(&self.url).as_str()))
                    .with_attribute(("statusCallback", clean(&self.status_callback).as_str()))
                    .write_inner_content(|out| self.write_parameters(out, context))?;
                Ok(())
            })?;
            hang_up(out)
        })
    }

    fn write_parameters(&self, out: &mut Out, context: &[(String, String)]) -> io::Result<()> {
        let context = context.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in self.parameters.iter().map(|(name, value)| (*name, value)).chain(context) {
            let value = clean(value);
            if name.len() + value.len() < PARAMETER_LIMIT {
                let parameter = out.create_element("Parameter").with_attribute(("name", name));
                parameter.with_attribute(("value", value.as_str())).write_empty()?;
            }
        }
        Ok(())
    }
}

/// Says a sentence, unless it is empty, and ends the call.
pub fn farewell(sentence: &str) -> String {
    response(|out| {
        say(out, sentence)?;
        hang_up(out)
    })
}

/// Does not answer the call: the caller hears the busy tone, and nothing is billed (Twilio docs, `<Reject>`).
pub fn busy() -> String {
    response(|out| {
        out.create_element("Reject").with_attribute(("reason", "busy")).write_empty()?;
        Ok(())
    })
}

type Out = Writer<Vec<u8>>;

fn response(content: impl FnOnce(&mut Out) -> io::Result<()>) -> String {
    let mut out = Writer::new(Vec::new());
    let written = out
        .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
        .and_then(|()| out.create_element("Response").write_inner_content(content).map(drop));
    written.expect("writing to memory does not fail");
    String::from_utf8(out.into_inner()).expect("only text was written")
}

fn say(out: &mut Out, sentence: &str) -> io::Result<()> {
    let sentence = clean(sentence);
    if !sentence.trim().is_empty() {
        out.create_element("Say").write_text_content(BytesText::new(&sentence))?;
    }
    Ok(())
}

fn hang_up(out: &mut Out) -> io::Result<()> {
    out.create_element("Hangup").write_empty()?;
    Ok(())
}

/// Without the characters that XML 1.0 cannot carry even escaped: one of them would make the document unreadable.
fn clean(text: &str) -> String {
    let allowed = |c: &char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().filter(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(digits: String, parameters: Vec<(&'static str, String)>) -> ConnectStream {
        let (action, url) = ("https://e.example/stream-ended".to_owned(), "wss://e.example/media-stream/t".to_owned());
        ConnectStream { digits, action, url, status_callback: "https://e.example/stream-status".to_owned(), parameters }
    }

    fn connect(parameters: Vec<(&'static str, String)>) -> String {
        stream(String::new(), parameters).to_twiml()
    }

    #[test]
    fn a_stream_is_connected_with_its_parameters_and_a_safe_ending() {
        assert_eq!(
            connect(vec![("from", "+15005550006".to_owned())]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
             <Connect action=\"https://e.example/stream-ended\" method=\"POST\">\
             <Stream url=\"wss://e.example/media-stream/t\" statusCallback=\"https://e.example/stream-status\"><Parameter name=\"from\" value=\"+15005550006\"/></Stream>\
             </Connect><Hangup/></Response>"
        );
    }

    #[test]
    fn what_a_caller_can_choose_is_escaped() {
        let document = connect(vec![("from", "\"><Dial>900</Dial>&'\u{0}\u{8}".to_owned())]);
        assert!(document.contains("value=\"&quot;&gt;&lt;Dial&gt;900&lt;/Dial&gt;&amp;&apos;\""), "{document}");
        assert!(farewell("a < b & c\u{1}").contains("<Say>a &lt; b &amp; c</Say>"));
    }

    #[test]
    fn a_parameter_that_twilio_would_not_take_is_left_out() {
        let fits = connect(vec![("from", "x".repeat(495))]);
        let too_long = connect(vec![("from", "x".repeat(496)), ("to", "y".to_owned())]);
        assert!(fits.contains("name=\"from\""));
        assert!(!too_long.contains("name=\"from\"") && too_long.contains("name=\"to\""));
    }

    #[test]
    fn nothing_is_said_where_there_is_nothing_to_say() {
        assert!(farewell(" ").ends_with("<Response><Hangup/></Response>"));
    }

    #[test]
    fn keys_are_played_before_the_stream_is_connected() {
        let document = stream("1w2#".to_owned(), vec![]).to_twiml();
        assert!(document.contains("<Response><Play digits=\"1w2#\"/><Connect "), "{document}");
        assert!(document.ends_with("</Connect><Hangup/></Response>"), "{document}");
    }
}
