//! What a human is told and asked before they take a call that is handed to them.

use std::time::Duration;

use super::{clean, hang_up, response, say};

/// The key that takes the call.
pub const TAKE: &str = "1";
/// How long a human may think once everything was said.
const THINKING: Duration = Duration::from_secs(8);
/// A reason is the model's own words: no human listens to more of them.
const REASON_LIMIT: usize = 300;
/// Nobody's number or name is longer.
const NAME_LIMIT: usize = 40;

/// Says who calls and why, as far as it is known, and asks `action` by POST with the key that is pressed then. Without any the leg ends.
pub fn screening(from: &str, reason: &str, action: &str) -> String {
    response(|out| {
        let gather = out.create_element("Gather").with_attribute(("action", clean(action).as_str()));
        let gather = gather.with_attribute(("method", "POST")).with_attribute(("numDigits", "1"));
        // The hash key declines like any other.
        let gather = gather.with_attribute(("finishOnKey", ""));
        let gather = gather.with_attribute(("timeout", THINKING.as_secs().to_string().as_str()));
        gather.write_inner_content(|out| say(out, &briefing(from, reason)))?;
        hang_up(out)
    })
}

/// Connects the human who was asked and the caller: Twilio does so when the document on the human's leg has ended (Twilio
/// docs, `<Number>`, `url`). The only document without a hang-up, which would send the human away.
pub fn accepted() -> String {
    response(|_| Ok(()))
}

fn briefing(from: &str, reason: &str) -> String {
    let reason: String = reason.trim().chars().take(REASON_LIMIT).collect();
    let stop = if reason.is_empty() || reason.ends_with(['.', '!', '?']) { "" } else { "." };
    let because = if reason.is_empty() { String::new() } else { format!(" {reason}{stop}") };
    let by = if from.is_empty() { String::new() } else { format!(" from {}", name(from)) };
    format!("A call{by} for you.{because} Press {TAKE} to take the call.")
}

/// The caller, fit to be read aloud: a number digit by digit.
fn name(from: &str) -> String {
    let user = ["sips:", "sip:", "client:"].iter().find_map(|scheme| from.strip_prefix(scheme)).unwrap_or(from);
    let user = user.split(['@', ';', '?']).next().unwrap_or_default();
    let digits = user.strip_prefix('+').unwrap_or(user);
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    if is_number {
        let digits: Vec<_> = digits.chars().take(NAME_LIMIT).map(String::from).collect();
        return digits.join(" ");
    }
    let name: String = user.chars().filter(|c| c.is_alphanumeric() || ".-_ ".contains(*c)).take(NAME_LIMIT).collect();
    // How Twilio writes a number that is withheld.
    let is_withheld = ["", "anonymous", "unknown", "restricted", "unavailable"].contains(&&*name.to_lowercase());
    if is_withheld { "a caller without a number".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_human_hears_who_calls_and_why_and_is_asked_to_press_1() {
        let document = screening("+15005550006", "Wants a refund & a voucher", "https://h/transfer-whisper?pressed=1");
        let expected = "<Response><Gather action=\"https://h/transfer-whisper?pressed=1\" method=\"POST\" \
             numDigits=\"1\" finishOnKey=\"\" timeout=\"8\"><Say>A call from 1 5 0 0 5 5 5 0 0 0 6 for you. Wants a \
             refund &amp; a voucher. Press 1 to take the call.</Say></Gather><Hangup/></Response>";
        assert!(document.ends_with(expected), "{document}");
    }

    #[test]
    fn callers_are_named_as_they_are_known() {
        for (from, said) in [
            ("sip:alice@example.com;transport=tls", "alice"),
            ("sip:+4930123@example.com", "4 9 3 0 1 2 3"),
            ("client:front_desk", "front_desk"),
            ("anonymous", "a caller without a number"),
            ("<&>", "a caller without a number"),
        ] {
            assert_eq!(briefing(from, ""), format!("A call from {said} for you. Press 1 to take the call."), "{from}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_said_and_nobody_has_to_listen_for_long() {
        let said = briefing(&"9".repeat(4000), &"word ".repeat(2000));
        assert!(said.len() < 500, "{}", said.len());
        assert_eq!(briefing("", ""), "A call for you. Press 1 to take the call.");
        assert!(briefing("", "Why? ").ends_with("Why? Press 1 to take the call."));
    }

    #[test]
    fn who_takes_the_call_gets_an_empty_document() {
        assert!(accepted().ends_with("<Response></Response>"), "{}", accepted());
    }
}
