//! Faults as text: `NAME`, `NAME=VALUE`, and when they strike: `NAME@MOMENT`, `NAME=VALUE@MOMENT`.

use std::{str::FromStr, time::Duration};

use super::{ExceptionKind, Fault, Moment, Outage, Quirk, Refusal, texts::TEXTS};

const ERROR_MESSAGE: &str = "The service failed.";
/// The names of all faults.
const NAMES: &[&str] = &[
    "refuse",
    "slow-answer",
    "exception",
    "error",
    "outage",
    "text",
    "content-filter",
    "never-answer",
    "reset",
    "reset-no-error",
    "drop",
    "end",
    "freeze",
    "goaway",
    "bad-crc",
    "half-frame",
    "early-usage",
    "unknown-event",
    "padding",
    "double-encoded-tool",
    "empty-transcript",
    "audio-bursts",
    "odd-marker",
    "late-final-texts",
];
const REFUSALS: &[&str] = &[
    "throttled",
    "quota",
    "access-denied",
    "not-found",
    "invalid",
    "internal",
    "unavailable",
    "model-not-ready",
    "model-error",
    "model-timeout",
];
const EXCEPTIONS: &[&str] =
    &["internal-server", "model-stream-error", "validation", "throttling", "model-timeout", "service-unavailable"];
const OUTAGES: &[&str] = &["refuse", "unavailable", "freeze"];

/// What a fault takes as its value, in words that follow a complaint.
fn values(name: &str) -> String {
    let among = |values: &[&str]| format!("; it takes {}", values.join(", "));
    match name {
        "refuse" => among(REFUSALS),
        "exception" => among(EXCEPTIONS),
        "outage" => among(OUTAGES),
        "text" => among(&TEXTS.map(|(name, _)| name)),
        "slow-answer" => "; it takes a time such as 2s".to_owned(),
        "error" => "; it takes CODE or CODE:MESSAGE".to_owned(),
        "content-filter" => "; it takes a word".to_owned(),
        _ => "; it takes none".to_owned(),
    }
}

/// Why a text is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No fault has this name.
    #[error("there is no fault {0:?}; there are {names}", names = NAMES.join(", "))]
    Name(String),
    /// The fault does not take this value, or takes none, or needs one.
    #[error("fault {name} does not take {value:?} as its value{}", values(name))]
    Value {
        /// Which fault.
        name: String,
        /// What was given; empty if nothing was.
        value: String,
    },
    /// The text after `@` is no moment, or the fault strikes at no moment.
    #[error("{0:?} is not when this can strike: give first-audio, sent:N, read:N or a time such as 300ms")]
    Moment(String),
    /// The fault strikes before there is any dialogue.
    #[error("{0:?} strikes before the dialogue: give it to the session as a whole")]
    TooLate(String),
}

impl FromStr for Moment {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let count = |number: &str| number.parse().ok().filter(|count| *count > 0);
        let moment = match text.split_once(':') {
            Some(("sent", number)) => count(number).map(Self::AfterSent),
            Some(("read", number)) => count(number).map(Self::AfterRead),
            Some(_) => None,
            None if text == "first-audio" => Some(Self::FirstAudio),
            None => humantime::parse_duration(text).ok().map(Self::After),
        };
        moment.ok_or_else(|| FaultError::Moment(text.into()))
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    /// Faults that strike at a moment do so after the first audio unless told.
    fn from_str(text: &str) -> Result<Self, FaultError> {
        parse(text, Moment::FirstAudio)
    }
}

impl Fault {
    /// Reads a fault of something in the dialogue, from which its moment counts: it strikes at once unless told.
    pub(in super::super) fn in_dialogue(text: &str) -> Result<Self, FaultError> {
        let fault = parse(text, Moment::After(Duration::ZERO))?;
        if fault == Self::Quirk(Quirk::EarlyUsage) { Err(FaultError::TooLate(text.into())) } else { Ok(fault) }
    }
}

fn parse(text: &str, usual: Moment) -> Result<Fault, FaultError> {
    let (rest, moment) = text.split_once('@').map_or((text, None), |(rest, moment)| (rest, Some(moment)));
    let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
    let at = moment.map_or(Ok(usual), str::parse)?;
    let fault = named(name, value, at)?;
    match moment {
        Some(moment) if fault.moment().is_none() => Err(FaultError::Moment(moment.into())),
        Some(_) | None => Ok(fault),
    }
}

fn named(name: &str, value: &str, at: Moment) -> Result<Fault, FaultError> {
    let wrong = || FaultError::Value { name: name.into(), value: value.into() };
    let validation = |message: &str| {
        let (kind, message) = (ExceptionKind::Validation, message.into());
        Fault::Exception { kind, message, at }
    };
    let fault = match name {
        "refuse" => return refusal(value).map(Fault::Refuse).ok_or_else(wrong),
        "slow-answer" => return humantime::parse_duration(value).map(Fault::SlowAnswer).map_err(|_| wrong()),
        "exception" => return exception(value, at).ok_or_else(wrong),
        "error" => return error(value, at).ok_or_else(wrong),
        "outage" => return outage(value).map(|outage| Fault::Outage(outage, at)).ok_or_else(wrong),
        "text" => {
            let text = TEXTS.iter().find(|(name, _)| *name == value).ok_or_else(wrong)?.1;
            return Ok(validation(text));
        }
        "content-filter" if !value.is_empty() => return Ok(Fault::ContentFilter(value.to_lowercase())),
        "content-filter" => return Err(wrong()),
        "never-answer" => Fault::NeverAnswer,
        "reset" => Fault::ResetStream(at),
        "reset-no-error" => Fault::ResetStreamWithoutError(at),
        "drop" => Fault::DropConnection(at),
        "end" => Fault::EndStream(at),
        "freeze" => Fault::Freeze(at),
        "goaway" => Fault::GoAway(at),
        "bad-crc" => Fault::BadChecksum(at),
        "half-frame" => Fault::HalfFrame(at),
        "early-usage" => Fault::Quirk(Quirk::EarlyUsage),
        "unknown-event" => Fault::Quirk(Quirk::UnknownEvent),
        "padding" => Fault::Quirk(Quirk::Padding),
        "double-encoded-tool" => Fault::Quirk(Quirk::DoubleEncodedTool),
        "empty-transcript" => Fault::Quirk(Quirk::EmptyTranscript),
        "audio-bursts" => Fault::Quirk(Quirk::AudioBursts),
        "odd-marker" => Fault::Quirk(Quirk::OddMarker),
        "late-final-texts" => Fault::Quirk(Quirk::LateFinalTexts),
        _ => return Err(FaultError::Name(name.into())),
    };
    if value.is_empty() { Ok(fault) } else { Err(wrong()) }
}

fn refusal(name: &str) -> Option<Refusal> {
    Some(match name {
        "throttled" => Refusal::throttled(),
        "quota" => Refusal::quota_exceeded(),
        "access-denied" => Refusal::access_denied(),
        "not-found" => Refusal::not_found(),
        "invalid" => Refusal::invalid("Invalid input request, please fix your input and try again."),
        "internal" => Refusal::internal(),
        "unavailable" => Refusal::unavailable(),
        "model-not-ready" => Refusal::model_not_ready(),
        "model-error" => Refusal::model_error(),
        "model-timeout" => Refusal::model_timeout(),
        _ => return None,
    })
}

fn outage(name: &str) -> Option<Outage> {
    Some(match name {
        "refuse" => Outage::Refuse,
        "unavailable" => Outage::Unavailable,
        "freeze" => Outage::Freeze,
        _ => return None,
    })
}

/// An exception of the stream in the service's usual words.
fn exception(name: &str, at: Moment) -> Option<Fault> {
    let (kind, message) = match name {
        "internal-server" => (ExceptionKind::InternalServer, Refusal::internal().message),
        "model-stream-error" => (ExceptionKind::ModelStreamError, Refusal::internal().message),
        "validation" => (ExceptionKind::Validation, "System instability detected. Please retry your request.".into()),
        "throttling" => (ExceptionKind::Throttling, Refusal::throttled().message),
        "model-timeout" => (ExceptionKind::ModelTimeout, Refusal::model_timeout().message),
        "service-unavailable" => (ExceptionKind::ServiceUnavailable, Refusal::unavailable().message),
        _ => return None,
    };
    Some(Fault::Exception { kind, message, at })
}

/// An error frame: `CODE` or `CODE:MESSAGE`.
fn error(value: &str, at: Moment) -> Option<Fault> {
    let (code, message) = value.split_once(':').unwrap_or((value, ERROR_MESSAGE));
    let [code, message] = [code, message].map(|part| part.trim().to_owned());
    (!code.is_empty()).then_some(Fault::Error { code, message, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_with_their_value_and_moment() {
        let parsed = |text: &str| text.parse::<Fault>().unwrap();
        assert_eq!(parsed("refuse=quota"), Fault::Refuse(Refusal::quota_exceeded()));
        assert_eq!(parsed("slow-answer=2s"), Fault::SlowAnswer(Duration::from_secs(2)));
        assert_eq!(parsed("reset"), Fault::ResetStream(Moment::FirstAudio));
        assert_eq!(parsed("reset-no-error@sent:12"), Fault::ResetStreamWithoutError(Moment::AfterSent(12)));
        assert_eq!(parsed("drop@read:3"), Fault::DropConnection(Moment::AfterRead(3)));
        assert_eq!(parsed("goaway@300ms"), Fault::GoAway(Moment::After(Duration::from_millis(300))));
        let outage = Fault::Outage(Outage::Freeze, Moment::After(Duration::from_secs(20)));
        assert_eq!(parsed("outage=freeze@20s"), outage);
        assert_eq!(parsed("content-filter=Bomb"), Fault::ContentFilter("bomb".into()));
        assert_eq!(parsed("odd-marker"), Fault::Quirk(Quirk::OddMarker));
        let Fault::Exception { kind, message, at } = parsed("text=532@1s") else { panic!("no exception") };
        assert_eq!((kind, message.as_str()), (ExceptionKind::Validation, "InternalErrorCode=532"));
        assert_eq!(at, Moment::After(Duration::from_secs(1)));
    }

    #[test]
    fn an_error_has_a_code_and_may_have_a_message() {
        let error = |code: &str, message: &str, at| Fault::Error { code: code.into(), message: message.into(), at };
        assert_eq!("error=Oops".parse(), Ok(error("Oops", ERROR_MESSAGE, Moment::FirstAudio)));
        assert_eq!("error=Oops: all is lost@sent:1".parse(), Ok(error("Oops", "all is lost", Moment::AfterSent(1))));
        assert!("error".parse::<Fault>().is_err() && "error=:text".parse::<Fault>().is_err());
    }

    #[test]
    fn in_a_dialogue_a_fault_strikes_at_once_unless_told_and_not_before_it() {
        assert_eq!(Fault::in_dialogue("drop"), Ok(Fault::DropConnection(Moment::After(Duration::ZERO))));
        assert_eq!(Fault::in_dialogue("drop@first-audio"), Ok(Fault::DropConnection(Moment::FirstAudio)));
        assert_eq!(Fault::in_dialogue("early-usage"), Err(FaultError::TooLate("early-usage".into())));
    }

    #[test]
    fn every_exception_and_every_known_text_has_a_name() {
        for name in EXCEPTIONS {
            assert!(matches!(format!("exception={name}").parse(), Ok(Fault::Exception { .. })), "{name}");
        }
        for (name, text) in TEXTS {
            let Ok(Fault::Exception { message, .. }) = format!("text={name}").parse() else { panic!("{name}") };
            assert_eq!(message, text);
        }
    }

    #[test]
    fn every_name_and_value_that_is_offered_is_known() {
        for name in NAMES {
            let known = !matches!(name.parse::<Fault>(), Err(FaultError::Name(_)));
            assert!(known, "{name}");
        }
        let valued = [("refuse", REFUSALS), ("exception", EXCEPTIONS), ("outage", OUTAGES)];
        for (name, value) in valued.into_iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        {
            assert!(format!("{name}={value}").parse::<Fault>().is_ok(), "{name}={value}");
        }
    }

    #[test]
    fn what_is_no_fault_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        let unknown = refused("explode");
        assert!(unknown.starts_with("there is no fault \"explode\"; there are refuse, slow-answer, "), "{unknown}");
        let exception = refused("exception");
        assert!(exception.contains("does not take \"\" as its value; it takes internal-server, "), "{exception}");
        assert_eq!(refused("reset=now"), "fault reset does not take \"now\" as its value; it takes none");
        for wrong in ["reset@later", "reset@sent:0", "padding@first-audio", "refuse=throttled@1s"] {
            assert!(refused(wrong).contains("is not when this can strike"), "{wrong}");
        }
    }
}
