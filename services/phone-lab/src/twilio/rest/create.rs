//! What a call to be created must say (Twilio docs, "Call resource"; codes 212xx of the error dictionary).

use std::time::Duration;

use super::{
    Order,
    request::{Form, Refusal, source, web_url},
};
use crate::twilio::{
    callbacks::{Event, Subscription},
    codes,
    outbound::{DetectionMode, DetectionOrder},
    recording::{self, RecordingOrder},
    report::Finding,
    resource::{Direction, Identity, LONGEST_CALL},
    sid::CallSid,
    twiml::{are_keys, is_e164},
};

/// Longer status callbacks are refused.
const CALLBACK_LIMIT: usize = 4000;

const KNOWN: &[&str] = &[
    "To",
    "From",
    "Url",
    "Twiml",
    "ApplicationSid",
    "Method",
    "FallbackUrl",
    "FallbackMethod",
    "StatusCallback",
    "StatusCallbackMethod",
    "StatusCallbackEvent",
    "SendDigits",
    "Timeout",
    "TimeLimit",
    "CallerId",
    "CallReason",
    "CallToken",
    "SipAuthUsername",
    "SipAuthPassword",
    "Byoc",
    "Record",
    "RecordingChannels",
    "RecordingTrack",
    "RecordingStatusCallback",
    "RecordingStatusCallbackMethod",
    "RecordingStatusCallbackEvent",
    "Trim",
    "MachineDetection",
    "MachineDetectionTimeout",
    "MachineDetectionSpeechThreshold",
    "MachineDetectionSpeechEndThreshold",
    "MachineDetectionSilenceTimeout",
    "AsyncAmd",
    "AsyncAmdStatusCallback",
    "AsyncAmdStatusCallbackMethod",
    "ClientNotificationUrl",
];

/// What the lab takes and does nothing with.
const WITHOUT_EFFECT: &[&str] = &[
    "SendDigits",
    "CallerId",
    "CallReason",
    "CallToken",
    "SipAuthUsername",
    "SipAuthPassword",
    "Byoc",
    "RecordingTrack",
    "Trim",
    "ClientNotificationUrl",
];

/// A call that can be placed, and what Twilio logs about the request all the same.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) order: Order,
    pub(super) warnings: Vec<Finding>,
}

/// Reads a request for a call.
pub(super) fn accept(
    form: &Form,
    call_sid: &CallSid,
    account_sid: String,
    owned_numbers: &[String],
) -> Result<Accepted, Refusal> {
    let (from, to) = parties(form, owned_numbers)?;
    if form.text("ApplicationSid").is_some() {
        return Err(bad(codes::BAD_APPLICATION, "the lab's account has no TwiML applications"));
    }
    let (first, both) = source(form)?.ok_or_else(|| bad(codes::BAD_URL, "Url, Twiml or ApplicationSid is required"))?;
    let mut warnings = form.unknown(KNOWN);
    warnings.extend(form.without_effect(WITHOUT_EFFECT));
    warnings.extend(both);
    if form.text("SendDigits").is_some_and(|keys| keys.len() > 32 || !are_keys(keys)) {
        return Err(bad(codes::BAD_SEND_DIGITS, "SendDigits are up to 32 of 0-9, A-D, #, *, w and W"));
    }
    let order = Order {
        identity: Identity {
            call_sid: call_sid.clone(),
            account_sid,
            from,
            to,
            direction: Direction::OutboundApi,
            parent: None,
            sip: None,
        },
        first,
        fallback: form.request("FallbackUrl", "FallbackMethod")?,
        subscription: subscription(form, &mut warnings)?,
        ring_limit: seconds(form, "Timeout", 60, 600)?,
        time_limit: seconds(form, "TimeLimit", LONGEST_CALL.as_secs(), LONGEST_CALL.as_secs())?,
        detection: detection(form, &mut warnings)?,
        recording: recording(form, &mut warnings)?,
    };
    Ok(Accepted { order, warnings })
}

fn parties(form: &Form, owned_numbers: &[String]) -> Result<(String, String), Refusal> {
    let to = form.text("To").ok_or_else(|| bad(codes::NO_TO, "No 'To' number is specified"))?;
    let from = form.text("From").ok_or_else(|| bad(codes::NO_FROM, "No 'From' number is specified"))?;
    let to_number = !to.starts_with("sip:") && !to.starts_with("client:");
    if to_number && !is_e164(to) {
        return Err(bad(codes::BAD_TO, "The 'To' number is not a valid phone number"));
    }
    // From what a client or a SIP address may be called is not restricted to numbers.
    if to_number && !is_e164(from) {
        return Err(bad(codes::BAD_FROM, "The 'From' number is not a valid phone number"));
    }
    if is_e164(from) && !owned_numbers.is_empty() && !owned_numbers.iter().any(|owned| owned == from) {
        return Err(bad(codes::FOREIGN_FROM, "The 'From' number is not one of the account's"));
    }
    Ok((from.to_owned(), to.to_owned()))
}

fn seconds(form: &Form, name: &str, default: u64, most: u64) -> Result<Duration, Refusal> {
    let given = form.text(name).map(str::parse);
    match given.unwrap_or(Ok(default)) {
        Ok(seconds) if (1..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Ok(_) | Err(_) => Err(bad(codes::BAD_TIMEOUT, &format!("{name} is not 1 to {most} seconds"))),
    }
}

/// A bad event is no reason to refuse the call, but its callback never fires.
fn subscription(form: &Form, warnings: &mut Vec<Finding>) -> Result<Option<Subscription>, Refusal> {
    let method = form.method("StatusCallbackMethod")?;
    let Some(text) = form.text("StatusCallback") else { return Ok(None) };
    let url = web_url(text).filter(|url| text.len() <= CALLBACK_LIMIT && !url.host().contains('_'));
    let url = url.ok_or_else(|| bad(codes::BAD_STATUS_CALLBACK, "StatusCallback is not a valid URL"))?;
    let mut events: Vec<_> = form.all("StatusCallbackEvent").map(Event::parse).collect();
    if events.is_empty() {
        events.push(Some(Event::Completed));
    }
    let events: Option<Vec<_>> = events.into_iter().collect();
    if events.is_none() {
        let detail = "a StatusCallbackEvent is none of initiated, ringing, answered, completed: no callbacks";
        warnings.push(Finding::new(codes::BAD_STATUS_EVENT, detail));
    }
    Ok(events.map(|events| Subscription { url, method, events }))
}

/// Keys to press and detection exclude each other; the keys win.
fn detection(form: &Form, warnings: &mut Vec<Finding>) -> Result<Option<DetectionOrder>, Refusal> {
    let callback = form.request("AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod")?;
    let mode = match form.text("MachineDetection") {
        Some("Enable") => DetectionMode::Enable,
        Some("DetectMessageEnd") => DetectionMode::MessageEnd,
        Some(_) | None => return Ok(None),
    };
    if form.text("SendDigits").is_some() {
        return Ok(None);
    }
    let asynchronous = form.is_true("AsyncAmd");
    if asynchronous && callback.is_none() {
        warnings.push(Finding::new(codes::DETECTION_UNTOLD, "AsyncAmd without AsyncAmdStatusCallback"));
    }
    Ok(Some(DetectionOrder { mode, asynchronous, callback }))
}

/// What is to be recorded. A bad event is no reason to refuse the call.
fn recording(form: &Form, warnings: &mut Vec<Finding>) -> Result<Option<RecordingOrder>, Refusal> {
    let callback = form.request("RecordingStatusCallback", "RecordingStatusCallbackMethod")?;
    if !form.is_true("Record") {
        return Ok(None);
    }
    let events = recording::events(form.text("RecordingStatusCallbackEvent")).unwrap_or_else(|unknown| {
        let detail = format!("the RecordingStatusCallbackEvent {unknown:?} is none: no callbacks");
        warnings.push(Finding::new(codes::BAD_STATUS_EVENT, detail));
        Vec::new()
    });
    let channels = if form.text("RecordingChannels") == Some("dual") { 2 } else { 1 };
    Ok(Some(RecordingOrder { from_ringing: false, channels, callback, events }))
}

fn bad(code: u32, message: &str) -> Refusal {
    Refusal::new(400, code, message)
}

#[cfg(test)]
mod tests {
    use offhook_hosting::entropy::Entropy;

    use super::*;

    const GOOD: [(&str, &str); 3] =
        [("To", "+15550100001"), ("From", "+15550100100"), ("Url", "https://voice.example.test/outbound")];

    /// The good request with these parameters changed, or taken out by a blank.
    fn requested(changed: &[(&str, &str)]) -> Result<Accepted, Refusal> {
        let kept = GOOD.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        let form: Vec<_> = kept.chain(changed).copied().collect();
        let sid = CallSid::draw(&mut Entropy::from_seed(1));
        accept(&Form::of(&form), &sid, "AC1".to_owned(), &["+15550100100".to_owned()])
    }

    #[test]
    fn each_mistake_has_its_code() {
        let long = format!("<Response>{}</Response>", " ".repeat(4000));
        let long_callback = format!("https://voice.example.test/{}", "x".repeat(4000));
        for (changed, code) in [
            (&[("To", "")][..], codes::NO_TO),
            (&[("From", "")], codes::NO_FROM),
            (&[("To", "5550100001")], codes::BAD_TO),
            (&[("To", "+0555010000")], codes::BAD_TO),
            (&[("From", "support")], codes::BAD_FROM),
            (&[("From", "+15550100199")], codes::FOREIGN_FROM),
            (&[("Url", "")], codes::BAD_URL),
            (&[("Url", "/outbound")], codes::BAD_URL),
            (&[("Url", "wss://voice.example.test/")], codes::BAD_URL),
            (&[("FallbackUrl", "nowhere")], codes::BAD_URL),
            (&[("Url", ""), ("Twiml", &long)], codes::TWIML_TOO_LONG),
            (&[("ApplicationSid", "AP1")], codes::BAD_APPLICATION),
            (&[("Method", "PUT")], codes::BAD_METHOD),
            (&[("StatusCallbackMethod", "PUT")], codes::BAD_METHOD),
            (&[("StatusCallback", "https://voice_1.example.test/")], codes::BAD_STATUS_CALLBACK),
            (&[("StatusCallback", &long_callback)], codes::BAD_STATUS_CALLBACK),
            (&[("SendDigits", "12x")], codes::BAD_SEND_DIGITS),
            (&[("SendDigits", &"1".repeat(33))], codes::BAD_SEND_DIGITS),
            (&[("Timeout", "601")], codes::BAD_TIMEOUT),
            (&[("Timeout", "soon")], codes::BAD_TIMEOUT),
            (&[("TimeLimit", "0")], codes::BAD_TIMEOUT),
        ] {
            assert_eq!(requested(changed).unwrap_err().code, code, "{changed:?}");
        }
        assert_eq!(requested(&[]).unwrap().warnings, []);
        assert!(
            requested(&[("To", "sip:a@b.test"), ("From", "support")]).is_ok(),
            "a SIP address may be called by name"
        );
    }

    #[test]
    fn what_is_only_warned_about_is_accepted() {
        for (changed, code) in [
            (&[("Twiml", "<Response/>")][..], codes::TWIML_AND_URL),
            (&[("Colour", "blue")], codes::UNKNOWN_PARAMETER),
            (&[("MachineDetection", "Enable"), ("AsyncAmd", "true")], codes::DETECTION_UNTOLD),
            (&[("Trim", "do-not-trim")], codes::LAB),
        ] {
            let warnings = requested(changed).unwrap().warnings;
            assert_eq!(warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), [code], "{changed:?}");
        }
    }

    #[test]
    fn one_bad_event_silences_the_status_callback() {
        let callback = ("StatusCallback", "https://voice.example.test/status");
        let order = |events: &[&str]| {
            let events = events.iter().map(|&event| ("StatusCallbackEvent", event));
            let form: Vec<_> = std::iter::once(callback).chain(events).collect();
            requested(&form).unwrap()
        };
        assert_eq!(order(&[]).order.subscription.unwrap().events, [Event::Completed]);
        let two = order(&["ringing", "answered"]).order.subscription.unwrap().events;
        assert_eq!(two, [Event::Ringing, Event::Answered]);
        let Accepted { order, warnings } = order(&["ringing", "ringing answered"]);
        assert!(order.subscription.is_none());
        assert_eq!(warnings[0].code, codes::BAD_STATUS_EVENT);
    }

    #[test]
    fn keys_to_press_rule_out_detection() {
        assert!(requested(&[("MachineDetection", "Enable")]).unwrap().order.detection.is_some());
        let both = requested(&[("MachineDetection", "Enable"), ("SendDigits", "12#")]).unwrap();
        assert!(both.order.detection.is_none());
    }
}
