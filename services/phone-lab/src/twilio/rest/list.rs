//! The list of calls: which of them, and in pages (Twilio docs, "Call resource", read multiple).
//!
//! Pure.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use super::{Entry, request::Refusal};

/// Calls on a page, unless told, and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 1000;
/// Wrong filters have no code of their own in Twilio's dictionary: this is its general one for a bad request.
const BAD_REQUEST: u32 = 20001;

/// Which calls are asked for.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    times: Vec<(Which, Bound)>,
    page: usize,
    page_size: usize,
}

/// Which of a call's times.
#[derive(Clone, Copy, Debug)]
enum Which {
    Start,
    End,
}

/// What a time must be.
#[derive(Clone, Copy, Debug)]
enum Bound {
    On(When),
    NotAfter(When),
    NotBefore(When),
}

/// A day, or a moment.
#[derive(Clone, Copy, Debug)]
enum When {
    Day(Date),
    Moment(Timestamp),
}

impl Query {
    /// Reads a query string. What it says besides filters and pages is ignored.
    pub(super) fn read(query: &str) -> Result<Self, Refusal> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let mut times = Vec::new();
        for (name, value) in &pairs {
            let (which, relation) = match (name.strip_prefix("StartTime"), name.strip_prefix("EndTime")) {
                (Some(relation), _) => (Which::Start, relation),
                (None, Some(relation)) => (Which::End, relation),
                (None, None) => continue,
            };
            let when = When::parse(value).ok_or_else(|| bad(format!("{name} is neither a day nor a moment")))?;
            let bound = match relation {
                "" => Bound::On(when),
                "<" => Bound::NotAfter(when),
                ">" => Bound::NotBefore(when),
                _ => continue,
            };
            times.push((which, bound));
        }
        let number = |name: &str, default: usize| match pairs.iter().find(|(known, _)| known == name) {
            None => Ok(default),
            Some((_, value)) => value.parse().map_err(|_| bad(format!("{name} is no number"))),
        };
        let page_size = number("PageSize", PAGE)?;
        if !(1..=LARGEST_PAGE).contains(&page_size) {
            return Err(bad(format!("PageSize is not 1 to {LARGEST_PAGE}")));
        }
        let page = number("Page", 0)?;
        Ok(Self { page, page_size, times, pairs })
    }

    /// The page, of calls from the newest to the oldest.
    pub(super) fn page(&self, path: &str, calls: Vec<Entry>) -> Value {
        let calls: Vec<_> = calls.into_iter().filter(|call| self.wants(call)).collect();
        let start = self.page.saturating_mul(self.page_size).min(calls.len());
        let shown = &calls[start..(start + self.page_size).min(calls.len())];
        let more = start + shown.len() < calls.len();
        let uri = |page: usize| self.uri(path, page);
        json!({
            "calls": shown.iter().map(Entry::json).collect::<Vec<_>>(),
            "end": (start + shown.len()).saturating_sub(1),
            "first_page_uri": uri(0),
            "next_page_uri": more.then(|| uri(self.page + 1)),
            "page": self.page,
            "page_size": self.page_size,
            "previous_page_uri": (self.page > 0).then(|| uri(self.page - 1)),
            "start": start,
            "uri": uri(self.page),
        })
    }

    /// The same query, for another page.
    fn uri(&self, path: &str, page: usize) -> String {
        let kept = self.pairs.iter().filter(|(name, _)| !["Page", "PageSize", "PageToken"].contains(&name.as_str()));
        let (page, size) = (page.to_string(), self.page_size.to_string());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair("PageSize", &size)
            .append_pair("Page", &page)
            .finish();
        format!("{path}?{query}")
    }

    fn wants(&self, call: &Entry) -> bool {
        let is = |name: &str, value: &str| self.pairs.iter().all(|(known, wanted)| known != name || wanted == value);
        let parent = call.identity.parent.as_ref().map_or("", |parent| parent.as_str());
        is("To", &call.identity.to)
            && is("From", &call.identity.from)
            && is("Status", call.status.as_str())
            && is("ParentCallSid", parent)
            && self.times.iter().all(|(which, bound)| {
                let time = match which {
                    Which::Start => call.started(),
                    Which::End => call.ended(),
                };
                time.is_some_and(|time| bound.holds(time))
            })
    }
}

impl Bound {
    fn holds(self, time: Timestamp) -> bool {
        let day = time.to_zoned(TimeZone::UTC).date();
        match self {
            Self::On(When::Day(wanted)) => day == wanted,
            Self::On(When::Moment(wanted)) => time.as_second() == wanted.as_second(),
            Self::NotAfter(When::Day(wanted)) => day <= wanted,
            Self::NotAfter(When::Moment(wanted)) => time <= wanted,
            Self::NotBefore(When::Day(wanted)) => day >= wanted,
            Self::NotBefore(When::Moment(wanted)) => time >= wanted,
        }
    }
}

impl When {
    fn parse(text: &str) -> Option<Self> {
        let day = (text.len() == "2026-01-31".len()).then(|| text.parse().ok()).flatten();
        day.map(Self::Day).or_else(|| text.parse().ok().map(Self::Moment))
    }
}

fn bad(message: String) -> Refusal {
    Refusal::new(400, BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offhook_hosting::entropy::Entropy;

    use super::*;
    use crate::twilio::{
        resource::{CallStatus, Direction, Identity},
        sid::CallSid,
    };

    const PATH: &str = "/2010-04-01/Accounts/AC1/Calls.json";

    fn call(to: &str, status: CallStatus, answered: &str) -> Entry {
        let identity = Identity {
            call_sid: CallSid::draw(&mut Entropy::from_seed(1)),
            account_sid: "AC1".into(),
            from: "+15550100100".into(),
            to: to.into(),
            direction: Direction::OutboundApi,
            parent: None,
            sip: None,
        };
        let time = answered.parse().unwrap();
        let mut entry = Entry::new(identity, CallStatus::Queued, Duration::ZERO, time);
        entry.move_to(CallStatus::InProgress, time);
        entry.move_to(status, time);
        entry
    }

    /// How many of three calls a query gives.
    fn count(query: &str) -> usize {
        let calls = vec![
            call("+15550100003", CallStatus::InProgress, "2026-09-30T08:00:00Z"),
            call("+15550100002", CallStatus::Completed, "2026-09-29T23:59:59Z"),
            call("+15550100001", CallStatus::Completed, "2026-09-28T00:00:00Z"),
        ];
        Query::read(query).unwrap().page(PATH, calls)["calls"].as_array().unwrap().len()
    }

    #[test]
    fn each_filter_leaves_what_it_names() {
        for (query, calls) in [
            ("", 3),
            ("To=%2B15550100002", 1),
            ("From=%2B15550100100", 3),
            ("From=%2B15550100101", 0),
            ("Status=completed", 2),
            ("Status=completed&To=%2B15550100003", 0),
            ("ParentCallSid=CA1", 0),
            ("StartTime=2026-09-29", 1),
            ("StartTime%3C=2026-09-29", 2),
            ("StartTime%3E=2026-09-29", 2),
            ("StartTime%3E=2026-09-29&StartTime%3C=2026-09-29", 1),
            ("StartTime%3E=2026-09-30T08%3A00%3A01Z", 0),
            ("EndTime%3C=2026-09-28T00%3A00%3A00Z", 1),
            ("Colour=blue", 3),
        ] {
            assert_eq!(count(query), calls, "{query}");
        }
    }

    #[test]
    fn what_is_no_time_and_no_number_is_refused() {
        for query in ["StartTime=yesterday", "EndTime%3C=2026", "PageSize=0", "PageSize=1001", "PageSize=x", "Page=-1"]
        {
            assert_eq!(Query::read(query).unwrap_err().status, 400, "{query}");
        }
    }

    #[test]
    fn pages_lead_to_each_other_and_keep_the_filters() {
        let calls = || (0..5).map(|_| call("+1555", CallStatus::Completed, "2026-09-30T08:00:00Z")).collect::<Vec<_>>();
        let page = |query: &str| Query::read(query).unwrap().page(PATH, calls());
        let first = page("Status=completed&PageSize=2");
        assert_eq!(
            (first["start"].as_u64(), first["end"].as_u64(), first["page"].as_u64()),
            (Some(0), Some(1), Some(0))
        );
        assert!(first["previous_page_uri"].is_null());
        let next = first["next_page_uri"].as_str().unwrap();
        assert_eq!(next, format!("{PATH}?Status=completed&PageSize=2&Page=1"));
        let last = page("Status=completed&PageSize=2&Page=2");
        assert_eq!((last["calls"].as_array().unwrap().len(), last["start"].as_u64()), (1, Some(4)));
        assert!(last["next_page_uri"].is_null() && last["previous_page_uri"].is_string());
        assert_eq!(page("Page=9")["calls"].as_array().unwrap().len(), 0);
    }
}
