//! A call as the account knows it: who, how far, since when; and how the REST interface shows that.
//!
//! Pure: times are handed in.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use offhook_hosting::entropy::Entropy;
use serde_json::{Value, json};

use super::sid::CallSid;

/// As long as any call may last (Twilio docs, "Call resource", `TimeLimit`).
pub(super) const LONGEST_CALL: Duration = Duration::from_secs(4 * 3600);

/// Of a domain that was not made by REST.
const SIP_DOMAIN_SID: &str = "SD00000000000000000000000000000000";

/// Where a call stands (Twilio docs, "Call resource").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// Waits for its turn.
    Queued,
    /// Rings.
    Ringing,
    /// Was answered and goes on.
    InProgress,
    /// Was answered and is over.
    Completed,
    /// Met a busy signal.
    Busy,
    /// Could not be connected.
    Failed,
    /// Was not answered.
    NoAnswer,
    /// Was taken back before it was answered.
    Canceled,
}

impl CallStatus {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing follows.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Ringing | Self::InProgress)
    }
}

/// Who placed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound,
    OutboundApi,
    OutboundDial,
}

impl Direction {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::OutboundApi => "outbound-api",
            Self::OutboundDial => "outbound-dial",
        }
    }
}

/// Who a call is between, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) call_sid: CallSid,
    pub(super) account_sid: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) direction: Direction,
    pub(super) parent: Option<CallSid>,
    /// Of a call to a SIP address of the account.
    pub(super) sip: Option<SipCall>,
}

/// What is known of a call because it came by SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SipCall {
    domain: String,
    domain_sid: String,
    call_id: String,
    headers: Vec<(String, String)>,
}

impl SipCall {
    /// A call to this address; none, if it is no SIP address.
    pub(super) fn to(
        address: &str,
        headers: &BTreeMap<String, String>,
        domain_sid: Option<String>,
        entropy: &mut Entropy,
    ) -> Option<Self> {
        let (_, host) = address.strip_prefix("sip:")?.split_once('@')?;
        let domain = host.split([';', '?', ':']).next().unwrap_or_default().to_owned();
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let domain_sid = domain_sid.unwrap_or_else(|| SIP_DOMAIN_SID.to_owned());
        Some(Self { domain, domain_sid, call_id: format!("{}@198.51.100.9", entropy.uuid()), headers })
    }

    /// What Twilio tells of it (Twilio docs, "SIP Interface").
    fn parameters(&self) -> Vec<(String, String)> {
        let own = [
            ("SipDomain", self.domain.as_str()),
            ("SipDomainSid", &self.domain_sid),
            ("SipCallId", &self.call_id),
            ("SipSourceIp", "198.51.100.9"),
        ];
        let headers = self.headers.iter().map(|(name, value)| (format!("SipHeader_{name}"), value.clone()));
        own.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().chain(headers).collect()
    }
}

impl Identity {
    /// What Twilio tells about the call with every request (Twilio docs, "TwiML for Programmable Voice").
    pub(super) fn parameters(&self, status: &str) -> Vec<(String, String)> {
        let mut parameters = vec![
            ("CallSid", self.call_sid.as_str()),
            ("AccountSid", &self.account_sid),
            ("From", &self.from),
            ("Caller", &self.from),
            ("To", &self.to),
            ("Called", &self.to),
            ("CallStatus", status),
            ("ApiVersion", "2010-04-01"),
            ("Direction", self.direction.as_str()),
        ];
        if self.direction == Direction::Inbound && self.sip.is_none() {
            parameters.push(("StirVerstat", "TN-Validation-Passed-A"));
        }
        if let Some(parent) = &self.parent {
            parameters.push(("ParentCallSid", parent.as_str()));
        }
        let mut parameters: Vec<_> =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for party in ["From", "Caller", "To", "Called"] {
            for (place, value) in [("City", ""), ("State", ""), ("Zip", ""), ("Country", "US")] {
                parameters.push((format!("{party}{place}"), value.to_owned()));
            }
        }
        parameters.extend(self.sip.iter().flat_map(SipCall::parameters));
        parameters
    }
}

/// A call as the REST interface shows it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) status: CallStatus,
    created: Timestamp,
    updated: Timestamp,
    answered: Option<Timestamp>,
    ended: Option<Timestamp>,
    /// How long it was to wait for its turn when it was created.
    queue_time: Duration,
    answered_by: Option<&'static str>,
}

impl Entry {
    pub(super) fn new(identity: Identity, status: CallStatus, queue_time: Duration, now: Timestamp) -> Self {
        let (created, updated, answered, ended, answered_by) = (now, now, None, None, None);
        Self { identity, status, created, updated, answered, ended, queue_time, answered_by }
    }

    /// The call got on. What is over stays as it is.
    pub(super) fn move_to(&mut self, status: CallStatus, now: Timestamp) {
        if self.status.is_over() {
            return;
        }
        (self.status, self.updated) = (status, now);
        if status == CallStatus::InProgress {
            self.answered = Some(now);
        }
        if status.is_over() {
            self.ended = Some(now);
        }
    }

    /// Who, or what, answered.
    pub(super) fn answered_by(&mut self, who: &'static str) {
        self.answered_by = Some(who);
    }

    /// When it was answered.
    pub(super) fn started(&self) -> Option<Timestamp> {
        self.answered
    }

    /// When it was over.
    pub(super) fn ended(&self) -> Option<Timestamp> {
        self.ended
    }

    /// Seconds between answer and end, to the nearest.
    pub(super) fn duration(&self) -> Option<i64> {
        let lasted = self.ended?.duration_since(self.answered?);
        i64::try_from((lasted.as_millis() + 500) / 1000).ok()
    }

    /// The call resource: figures are strings, dates RFC 2822 (Twilio docs, "Call resource").
    pub(super) fn json(&self) -> Value {
        let Identity { call_sid, account_sid, from, to, direction, parent, sip: _ } = &self.identity;
        let uri = format!("/2010-04-01/Accounts/{account_sid}/Calls/{call_sid}");
        let below = |name: &str| format!("{uri}/{name}.json");
        let date = |date: Option<Timestamp>| date.map(rfc2822);
        json!({
            "account_sid": account_sid,
            "annotation": null,
            "answered_by": self.answered_by,
            "api_version": "2010-04-01",
            "caller_name": null,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(self.updated),
            "direction": direction.as_str(),
            "duration": self.status.is_over().then(|| self.duration().unwrap_or_default().to_string()),
            "end_time": date(self.ended),
            "forwarded_from": null,
            "from": from,
            "from_formatted": formatted(from),
            "group_sid": null,
            "parent_call_sid": parent.as_ref().map(CallSid::as_str),
            "phone_number_sid": null,
            "price": null,
            "price_unit": "USD",
            "queue_time": self.queue_time.as_millis().to_string(),
            "sid": call_sid.as_str(),
            "start_time": date(self.answered),
            "status": self.status.as_str(),
            "subresource_uris": {
                "events": below("Events"),
                "notifications": below("Notifications"),
                "payments": below("Payments"),
                "recordings": below("Recordings"),
                "siprec": below("Siprec"),
                "streams": below("Streams"),
                "transcriptions": below("Transcriptions"),
                "user_defined_message_subscriptions": below("UserDefinedMessageSubscriptions"),
                "user_defined_messages": below("UserDefinedMessages"),
            },
            "to": to,
            "to_formatted": formatted(to),
            "trunk_sid": null,
            "uri": format!("{uri}.json"),
        })
    }
}

/// A North American number as it is read there; anything else as it is.
fn formatted(number: &str) -> String {
    match number.strip_prefix("+1") {
        Some(digits) if digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..])
        }
        Some(_) | None => number.to_owned(),
    }
}

/// A date as Twilio writes them.
pub(super) fn rfc2822(time: Timestamp) -> String {
    rfc2822::to_string(&time.to_zoned(TimeZone::UTC)).expect("the years of a clock have four digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_are_written_as_twilio_does() {
        assert_eq!(rfc2822(Timestamp::UNIX_EPOCH), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(formatted("+15005550006"), "(500) 555-0006");
        assert_eq!(formatted("+4930123456"), "+4930123456");
        assert_eq!(formatted("sip:a@b.test"), "sip:a@b.test");
    }
}
