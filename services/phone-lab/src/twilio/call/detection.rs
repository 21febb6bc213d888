//! Finding out who, or what, answered a call that Twilio placed (Twilio docs, "Answering Machine Detection").

use std::time::Duration;

use super::Call;
use crate::twilio::{
    callbacks::{Callback, Courier, Delivery},
    phone::Left,
    twiml::Method,
    url::Url,
};

/// Finding out who, or what, answered.
#[derive(Clone, Debug)]
pub(in crate::twilio) struct Detection {
    pub(in crate::twilio) verdict: &'static str,
    pub(in crate::twilio) takes: Duration,
    /// Who is told while the call goes on; without it the call waits.
    pub(in crate::twilio) callback: Option<(Url, Method)>,
    pub(in crate::twilio) asynchronous: bool,
}

impl Detection {
    /// What is told of the verdict.
    fn parameters(&self) -> Vec<(String, String)> {
        let duration = self.takes.as_millis().to_string();
        vec![("AnsweredBy".to_owned(), self.verdict.to_owned()), ("MachineDetectionDuration".to_owned(), duration)]
    }
}

impl Call {
    /// The call waits for the verdict, which its first document is then asked for with.
    pub(super) async fn detect_first(&mut self) -> Result<(), Left> {
        let Some(detection) = self.detection.take_if(|detection| !detection.asynchronous) else { return Ok(()) };
        self.phone.silence(detection.takes).await?;
        self.progress.answered_by(detection.verdict);
        self.detected = detection.parameters();
        Ok(())
    }

    /// The call goes on; whoever wants the verdict is told when it is there, unless the call is over by then.
    pub(super) fn detect_beside(&mut self) -> Option<(Duration, Courier)> {
        let detection = self.detection.take_if(|detection| detection.asynchronous)?;
        let (url, method) = detection.callback.clone()?;
        let client = self.settings.client(&self.options, self.entropy.fork());
        let courier = Courier::start(client, Delivery::Late(detection.takes), self.phone.clock());
        let identity = self.progress.identity();
        let mut parameters = vec![
            ("CallSid".to_owned(), identity.call_sid.to_string()),
            ("AccountSid".to_owned(), identity.account_sid.clone()),
        ];
        parameters.extend(detection.parameters());
        courier.post(Callback { url, method, parameters });
        Some((detection.takes, courier))
    }
}
