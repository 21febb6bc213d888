//! A call's media streams, and who is told of them.

use std::time::Duration;

use super::Call;
use crate::twilio::{
    callbacks::Callback,
    codes,
    interpreter::Ended,
    media::Outgoing,
    phone::Left,
    sid::StreamSid,
    stream::{self, Upgrade},
    twiml::Method,
    url::Url,
};

/// What a stream is called, and who is told of it.
pub(super) struct StreamTold {
    pub(super) name: Option<String>,
    pub(super) status_callback: Option<(Url, Method)>,
}

impl Call {
    pub(super) async fn stream(
        &mut self,
        url: &Url,
        parameters: &[(String, String)],
        told: StreamTold,
    ) -> Result<Ended, Left> {
        let stream_sid = StreamSid::draw(&mut self.entropy);
        self.phone.opens_stream(stream_sid.to_string());
        let settings = self.settings.clone();
        let upgrade = Upgrade {
            edge: settings.edge,
            public_host: settings.voice_url.host(),
            auth_token: &settings.account.auth_token,
            signing: self.options.stream_signing,
            network: self.options.network.as_ref().or(settings.network.as_ref()),
        };
        let reset = self.faults.cut_after.is_some();
        match self.phone.wait_for(upgrade.connect(url, &mut self.entropy, reset)).await? {
            Ok(socket) => self.converse(socket, stream_sid, parameters, &told).await?,
            Err(finding) => {
                self.tell(&told, &stream_sid, "stream-error", Some(&finding.detail));
                self.phone.found(finding);
            }
        }
        self.phone.closed_stream();
        let gap = self.gap();
        self.phone.silence(gap).await?;
        Ok(Ended::Stream)
    }

    async fn converse(
        &mut self,
        socket: stream::Socket,
        stream_sid: StreamSid,
        parameters: &[(String, String)],
        told: &StreamTold,
    ) -> Result<(), Left> {
        let first_timestamp = self.entropy.between(5, 201);
        let identity = self.progress.identity();
        let outgoing =
            Outgoing::new(&identity.account_sid, identity.call_sid.clone(), stream_sid.clone(), first_timestamp);
        let faults = std::mem::take(&mut self.faults);
        let starts = !faults.hang_up_before_start;
        if starts {
            self.tell(told, &stream_sid, "stream-started", None);
        }
        let line = socket.get_ref().record();
        let ended = stream::run(&mut self.phone, socket, outgoing, parameters, faults).await;
        if let Some(line) = line {
            self.phone.line_ended(&line);
        }
        if let Ok(Some(finding)) = &ended
            && (finding.code != codes::STREAM_CLOSED || self.options.stream_error_on_close)
        {
            self.tell(told, &stream_sid, "stream-error", Some(&finding.detail));
        }
        if starts {
            self.tell(told, &stream_sid, "stream-stopped", None);
        }
        ended.map(|_| ())
    }

    /// Tells a stream's status callback, if it has one (Twilio docs, `<Stream>`, `statusCallback`).
    fn tell(&self, told: &StreamTold, stream_sid: &StreamSid, event: &str, error: Option<&str>) {
        let Some((url, method)) = told.status_callback.clone() else { return };
        let identity = self.progress.identity();
        let name = told.name.as_deref().unwrap_or(stream_sid.as_str());
        let timestamp = format!("{:.9}", self.progress.ledger().wall());
        let mut parameters = vec![
            ("AccountSid", identity.account_sid.as_str()),
            ("CallSid", identity.call_sid.as_str()),
            ("StreamSid", stream_sid.as_str()),
            ("StreamName", name),
            ("StreamEvent", event),
            ("Timestamp", &timestamp),
        ];
        parameters.extend(error.map(|error| ("StreamError", error)));
        let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.progress.courier().post(Callback { url, method, parameters });
    }

    fn gap(&mut self) -> Duration {
        let (low, high) = (self.settings.gap.start.as_millis() as u64, self.settings.gap.end.as_millis() as u64);
        Duration::from_millis(self.entropy.between(low, high.max(low + 1)))
    }
}
