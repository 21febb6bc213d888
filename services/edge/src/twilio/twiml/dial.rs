//! Handing a call to a human: who is dialled, and what their phone system is told of the call.
//!
//! Limits are Twilio's (Twilio docs, `<Dial>`, `<Number>`, `<Sip>`): what does not fit is shortened or left out, so that the
//! call is handed over in any case.

use std::{io, time::Duration};

use quick_xml::events::BytesText;

use super::{Out, clean, hang_up, response, say};
use crate::twilio::sid::CallSid;

/// Tells the human's phone system which call this is.
pub const CALL_HEADER: &str = "X-Offhook-Call-Sid";
/// Tells it why the call is handed over.
pub const REASON_HEADER: &str = "X-Offhook-Reason";

/// The headers of a SIP address together stay under this.
const HEADERS_LIMIT: usize = 1024;
/// Seconds that Twilio lets a phone ring.
const RINGS: [u64; 2] = [5, 600];

/// Has Twilio dial a human. Says who is dialled and why, so it has no form for logs.
#[derive(Clone)]
pub struct DialHuman<'a> {
    /// The caller's leg.
    pub call: &'a CallSid,
    /// A sentence for the caller before the phone rings. Empty: none.
    pub say: &'a str,
    /// Whose phone rings.
    pub callee: Callee<'a>,
    /// Why, in a few words, for the headers of a SIP call. Empty: not known.
    pub reason: &'a str,
    /// The number that the human sees. `None`: the caller's.
    pub caller_id: Option<&'a str>,
    /// How long the phone rings; Twilio takes 5 s to 10 min.
    pub ring: Duration,
    /// Asked by POST what the human is told before the two are connected. `None`: they are connected at once.
    pub whisper: Option<&'a str>,
    /// What follows the attempt, or the conversation.
    pub then: Then<'a>,
}

/// What follows a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then<'a> {
    /// This URL is asked by POST.
    Ask(&'a str),
    /// A sentence, however it went, and the end of the call: nobody needs to be asked.
    Say(&'a str),
}

/// Whose phone rings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Callee<'a> {
    /// A SIP address, perhaps with parameters and headers of its own: they are kept.
    Sip(&'a str),
    /// A telephone number, E.164.
    Number(&'a str),
}

impl DialHuman<'_> {
    /// The document.
    pub fn to_twiml(&self) -> String {
        response(|out| {
            say(out, self.say)?;
            let mut dial = out.create_element("Dial");
            if let Then::Ask(action) = self.then {
                dial = dial.with_attribute(("action", clean(action).as_str())).with_attribute(("method", "POST"));
            }
            dial = dial.with_attribute(("answerOnBridge", "true"));
            let ring = self.ring.as_secs().clamp(RINGS[0], RINGS[1]);
            dial = dial.with_attribute(("timeout", ring.to_string().as_str()));
            if let Some(id) = self.caller_id {
                dial = dial.with_attribute(("callerId", clean(id).as_str()));
            }
            dial.write_inner_content(|out| self.write_callee(out))?;
            if let Then::Say(sentence) = self.then {
                say(out, sentence)?;
            }
            hang_up(out)
        })
    }

    fn write_callee(&self, out: &mut Out) -> io::Result<()> {
        let (name, address) = match self.callee {
            Callee::Sip(address) => ("Sip", with_headers(address, self.call, self.reason)),
            Callee::Number(number) => ("Number", number.to_owned()),
        };
        let mut callee = out.create_element(name);
        if let Some(whisper) = self.whisper {
            callee = callee.with_attribute(("url", clean(whisper).as_str())).with_attribute(("method", "POST"));
        }
        callee.write_text_content(BytesText::new(&clean(&address)))?;
        Ok(())
    }
}

/// The address with what there is room for.
fn with_headers(address: &str, call: &CallSid, reason: &str) -> String {
    let (uri, headers) = address.split_once('?').unwrap_or((address, ""));
    let mut headers = headers.to_owned();
    for (name, value) in [(CALL_HEADER, call.as_str()), (REASON_HEADER, &one_line(reason))] {
        let separator = if headers.is_empty() { "" } else { "&" };
        let taken = headers.len() + separator.len() + name.len() + "=".len();
        let value = encoded(value, HEADERS_LIMIT.saturating_sub(taken + 1));
        if !value.is_empty() {
            headers = format!("{headers}{separator}{name}={value}");
        }
    }
    if headers.is_empty() { uri.to_owned() } else { format!("{uri}?{headers}") }
}

/// Without line breaks, which would begin a header of the writer's choice once Twilio has decoded them.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// As many whole characters as stay within `room` once they are percent-encoded.
fn encoded(text: &str, room: usize) -> String {
    let mut encoded = String::new();
    for letter in text.chars() {
        let mut bytes = [0; 4];
        let letter: String = letter.encode_utf8(&mut bytes).bytes().map(escaped).collect();
        if encoded.len() + letter.len() > room {
            break;
        }
        encoded.push_str(&letter);
    }
    encoded
}

fn escaped(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "CA00000000000000000000000000000002";

    fn call() -> CallSid {
        CALL.parse().unwrap()
    }

    fn dial<'a>(call: &'a CallSid, callee: Callee<'a>) -> DialHuman<'a> {
        let (say, reason, then) = ("One moment.", "wants a refund", Then::Ask("https://h/transfer-result"));
        let ring = Duration::from_secs(20);
        DialHuman { call, say, callee, reason, caller_id: None, ring, whisper: None, then }
    }

    #[test]
    fn a_human_at_a_sip_address_learns_which_call_it_is_and_why_it_comes() {
        let document = dial(&call(), Callee::Sip("sip:help@example.com;transport=tls")).to_twiml();
        let expected = format!(
            "<Response><Say>One moment.</Say><Dial action=\"https://h/transfer-result\" method=\"POST\" \
             answerOnBridge=\"true\" timeout=\"20\"><Sip>sip:help@example.com;transport=tls?X-Offhook-Call-Sid={CALL}\
             &amp;X-Offhook-Reason=wants%20a%20refund</Sip></Dial><Hangup/></Response>"
        );
        assert!(document.ends_with(&expected), "{document}");
    }

    #[test]
    fn a_human_with_a_number_is_asked_first_and_sees_whom_the_operator_wants() {
        let whisper = Some("https://h/transfer-whisper?a=1&b=2");
        let call = call();
        let number = dial(&call, Callee::Number("+15005550007"));
        let document = DialHuman { whisper, caller_id: Some("+15005550009"), say: "", ..number }.to_twiml();
        let expected = "<Response><Dial action=\"https://h/transfer-result\" method=\"POST\" answerOnBridge=\"true\" \
                        timeout=\"20\" callerId=\"+15005550009\"><Number url=\"https://h/transfer-whisper?a=1&amp;b=2\" \
                        method=\"POST\">+15005550007</Number></Dial><Hangup/></Response>";
        assert!(document.ends_with(expected), "{document}");
    }

    #[test]
    fn a_time_that_twilio_does_not_take_is_brought_within_its_limits() {
        let call = call();
        for (asked, taken) in [(0, "timeout=\"5\""), (90_000, "timeout=\"600\"")] {
            let (ring, callee) = (Duration::from_secs(asked), Callee::Sip("sip:a@b"));
            let document = DialHuman { ring, ..dial(&call, callee) }.to_twiml();
            assert!(document.contains(taken), "{document}");
        }
    }

    #[test]
    fn a_transfer_that_nobody_is_asked_about_ends_in_words_and_a_hang_up() {
        let call = call();
        let document = DialHuman { then: Then::Say("Goodbye."), ..dial(&call, Callee::Sip("sip:a@b")) }.to_twiml();
        assert!(document.contains("<Dial answerOnBridge=\"true\" timeout=\"20\"><Sip>"), "{document}");
        assert!(document.ends_with("</Dial><Say>Goodbye.</Say><Hangup/></Response>"), "{document}");
    }

    #[test]
    fn an_address_keeps_its_own_headers_and_what_is_added_stays_within_the_limit() {
        let address = with_headers("sip:a@b?X-Tenant=t-42", &call(), "a");
        assert_eq!(address, format!("sip:a@b?X-Tenant=t-42&X-Offhook-Call-Sid={CALL}&X-Offhook-Reason=a"));
        let long = with_headers("sip:a@b", &call(), &"é".repeat(1000));
        let headers = long.split_once('?').unwrap().1;
        assert!((HEADERS_LIMIT - 6..HEADERS_LIMIT).contains(&headers.len()), "{}", headers.len());
        assert!(long.ends_with("%C3%A9"), "a letter is sent whole: {long}");
        let full = format!("sip:a@b?X-A={}", "x".repeat(1019));
        assert_eq!(with_headers(&full, &call(), "a"), full);
    }

    #[test]
    fn a_reason_adds_no_header_of_its_own() {
        let address = with_headers("sip:a@b", &call(), "a\r\nX-Evil: 1&X-Evil=2?;<\u{0}é");
        assert!(address.ends_with("X-Offhook-Reason=a%20X-Evil%3A%201%26X-Evil%3D2%3F%3B%3C%20%C3%A9"), "{address}");
        assert!(!with_headers("sip:a@b", &call(), " \r\n ").contains(REASON_HEADER));
    }
}
