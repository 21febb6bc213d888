//! What is broken off in the middle: a dialled leg or a queue that a caller leaves by hanging up, or is taken out of by
//! REST. Their `action` may be asked for all the same.

use std::time::Duration;

use super::{Call, CallStatus};
use crate::twilio::{interpreter::NextDocument, phone::Left};

impl Call {
    /// A verb that REST breaks off has its `action` asked for, a dialled leg as if it had been completed; the answer
    /// controls nothing. That is how Twilio was seen to do it with `<Dial>`.
    pub(super) async fn interrupt(&mut self, streaming: bool) -> Result<(), Left> {
        let told = if self.dialling.is_some() {
            self.end_dial(Duration::ZERO, CallStatus::Completed, 200)
        } else if let Some(connected) = self.in_queue() {
            self.leave_queue(if connected { "redirected-from-bridged" } else { "redirected" })
        } else if streaming && self.options.connect_action_on_redirect {
            Vec::new()
        } else {
            return Ok(());
        };
        let Some(next) = self.interpreter.interrupted(told) else { return Ok(()) };
        let NextDocument { url, method, parameters } = next;
        let parameters = [self.parameters(), parameters].concat();
        self.requested(&url, method);
        let answer = self.phone.wait_for(self.client.request(&url, method, &parameters)).await?;
        answer.err().into_iter().for_each(|finding| self.phone.found(finding));
        Ok(())
    }

    /// The caller is gone, and whoever was dialled with that. Whether `<Dial>`'s action hears of it is an option;
    /// `<Enqueue>`'s does (Twilio docs, `<Enqueue>`, `QueueResult`).
    pub(super) async fn abandon(&mut self) {
        let told = if self.dialling.is_some() {
            let (status, response) =
                if self.is_connected() { (CallStatus::Completed, 200) } else { (CallStatus::Canceled, 487) };
            let told = self.end_dial(Duration::ZERO, status, response);
            if !self.options.dial_action_after_hang_up {
                return;
            }
            told
        } else if let Some(connected) = self.in_queue() {
            self.leave_queue(if connected { "bridged" } else { "hangup" })
        } else {
            return;
        };
        let Some(next) = self.interpreter.interrupted(told) else { return };
        let mut parameters = self.progress.identity().parameters(CallStatus::Completed.as_str());
        parameters.extend(next.parameters);
        self.requested(&next.url, next.method);
        let answer = self.client.request(&next.url, next.method, &parameters).await;
        answer.err().into_iter().for_each(|finding| self.phone.found(finding));
    }
}
