//! What a fault does to the session that it strikes.

use std::time::Instant;

use super::{
    super::{
        auth::EXPIRED,
        fault::{CONTENT_FILTER, ExceptionKind, Fault, Outage, Quirk, Refusal},
        frame::{encode_error, encode_event, encode_exception},
        record::lock,
        report::{ModelEventKind, SessionEnd},
        settings::TokenExpiry,
    },
    Close, Driver,
};

impl Driver {
    /// The dialogue brings this fault; says so if that ends the session. What strikes at a session's start strikes the
    /// next one.
    pub(super) fn bring(&mut self, fault: Fault, now: Instant) -> Option<(SessionEnd, Close)> {
        if fault.is_of_start() {
            lock(&self.session.next_faults).push_back(fault);
        } else if let Fault::Quirk(quirk) = fault {
            self.session.padded |= quirk == Quirk::Padding;
        } else {
            self.session.strikes.add(fault, now);
        }
        self.strike_due(now)
    }

    /// What strikes by the clock.
    pub(super) fn strike_due(&mut self, now: Instant) -> Option<(SessionEnd, Close)> {
        while let Some(fault) = self.session.strikes.poll_due(now) {
            if let Some(ended) = self.strike(fault) {
                return Some(ended);
            }
        }
        None
    }

    /// The session token may have expired.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(SessionEnd, Close)> {
        let (_, outcome) = self.session.expiry.take_if(|(at, _)| *at <= now)?;
        let close = match outcome {
            TokenExpiry::Nothing => return None,
            TokenExpiry::Exception => {
                self.queue.push_back(encode_exception(ExceptionKind::ExpiredToken.as_str(), EXPIRED));
                Close::Clean
            }
            TokenExpiry::Reset => Close::Reset,
        };
        self.session.recorder.violation(EXPIRED.into());
        Some((SessionEnd::Violation(EXPIRED.into()), close))
    }

    /// The region is lost, and the session with it.
    pub(super) fn lost(&mut self, outage: Outage) -> (SessionEnd, Close) {
        let close = match outage {
            Outage::Refuse => Close::Connection,
            Outage::Unavailable => {
                self.raise(ExceptionKind::ServiceUnavailable, &Refusal::unavailable().message);
                Close::Clean
            }
            Outage::Freeze => {
                self.froze();
                Close::Never
            }
        };
        (SessionEnd::Fault("region lost".into()), close)
    }

    /// Its end goes on record only when the client has given up.
    fn froze(&self) {
        self.session.recorder.tell(ModelEventKind::Froze, self.session.clock.now());
    }

    /// The fault happens; says so if that ends the session.
    pub(super) fn strike(&mut self, fault: Fault) -> Option<(SessionEnd, Close)> {
        let (what, close) = match fault {
            Fault::Refuse(_)
            | Fault::NeverAnswer
            | Fault::SlowAnswer(_)
            | Fault::ContentFilter(_)
            | Fault::Quirk(_) => return None,
            Fault::GoAway(_) => {
                self.session.connection.leaving.cancel();
                return None;
            }
            Fault::Exception { kind, message, .. } => {
                // Worded by whoever injects it.
                self.queue.push_back(encode_exception(kind.as_str(), &message));
                let is_filter = message == CONTENT_FILTER;
                (if is_filter { SessionEnd::CONTENT_FILTER } else { kind.as_str() }, Close::Clean)
            }
            Fault::Error { code, message, .. } => {
                self.queue.push_back(encode_error(&code, &message));
                ("error frame", Close::Clean)
            }
            Fault::ResetStream(_) => ("stream reset", Close::Reset),
            Fault::ResetStreamWithoutError(_) => ("stream reset without error", Close::ResetWithoutError),
            Fault::DropConnection(_) => ("connection dropped", Close::Connection),
            Fault::EndStream(_) => ("stream ended early", Close::Clean),
            Fault::Freeze(_) => {
                self.froze();
                ("frozen", Close::Never)
            }
            Fault::Outage(outage, _) => {
                self.session.outage.send_replace(Some(outage));
                return Some(self.lost(outage));
            }
            Fault::BadChecksum(_) => {
                let mut frame = encode_event("{}").to_vec();
                if let Some(last) = frame.last_mut() {
                    *last ^= 1;
                }
                self.queue.push_back(frame.into());
                ("bad checksum", Close::Clean)
            }
            Fault::HalfFrame(_) => {
                let frame = encode_event("{}");
                self.queue.push_back(frame.slice(..frame.len() / 2));
                ("half a frame", Close::Clean)
            }
        };
        Some((SessionEnd::Fault(what.into()), close))
    }
}
