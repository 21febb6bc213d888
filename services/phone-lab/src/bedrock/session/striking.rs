//! What a fault does to the session that it strikes.

use super::{
    super::{
        fault::Fault,
        frame::{encode_event, encode_exception},
        report::SessionEnd,
    },
    Close, Driver,
};

impl Driver {
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
                (kind.as_str(), Close::Clean)
            }
            Fault::ResetStream(_) => ("stream reset", Close::Reset),
            Fault::ResetStreamWithoutError(_) => ("stream reset without error", Close::ResetWithoutError),
            Fault::DropConnection(_) => ("connection dropped", Close::Connection),
            Fault::EndStream(_) => ("stream ended early", Close::Clean),
            Fault::Freeze(_) => ("frozen", Close::Never),
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
