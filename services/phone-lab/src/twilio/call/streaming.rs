//! A call's media streams, and who is told of them.

use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::Call;
use crate::twilio::{
    callbacks::Callback,
    codes,
    interpreter::Ended,
    ledger::StreamUp,
    media::Outgoing,
    phone::Left,
    report::Finding,
    sid::StreamSid,
    stream::{self, Again, Lost, Manner, Second, SecondSocket, SecondSocketEnd, Target, Upgrade},
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
        let (edge, public_host, account) = (settings.edge, settings.voice_url.host(), &settings.account);
        let network = settings.network_of(&self.options);
        let upgrade = Upgrade { edge, public_host, account, manner: self.manner(), network };
        match self.phone.wait_for(upgrade.connect(url, &mut self.entropy)).await? {
            Ok(socket) => {
                let second = self.second_socket(url);
                self.enter_stream(Some(StreamUp { sid: stream_sid.to_string(), name: told.name.clone() }));
                let conversed = self.converse(socket, stream_sid, parameters, &told).await;
                self.enter_stream(None);
                self.end_second(second).await;
                match conversed {
                    Ok(()) | Err(Left::StreamStopped) => {}
                    Err(left) => return Err(left),
                }
            }
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

    fn enter_stream(&self, stream: Option<StreamUp>) {
        self.progress.ledger().set_stream(self.progress.identity().call_sid.as_str(), stream);
    }

    fn manner(&self) -> Manner {
        Manner {
            signing: self.options.stream_signing,
            signed_url: self.options.stream_signed_url,
            resets: self.faults.cut_after.is_some() || self.faults.slow_death.is_some(),
            deaf_to_pings: self.options.deaf_to_pings,
        }
    }

    /// Tries another socket beside the call's first stream, if the call is to have one.
    fn second_socket(&mut self, url: &Url) -> Option<(SecondSocket, Second)> {
        let which = self.options.second_socket.take()?;
        let target = match which {
            SecondSocket::SameUrl => Target::Url(url.clone()),
            SecondSocket::NewUrl => {
                let (url, method) = self.asked.clone()?;
                let client = self.settings.client(&self.options, self.entropy.fork());
                let parameters = self.parameters();
                Target::Document(Box::new(Again { client, url, method, parameters }))
            }
        };
        let stream_sid = StreamSid::draw(&mut self.entropy);
        let outgoing = self.outgoing(stream_sid);
        let (settings, network) = (self.settings.clone(), self.settings.network_of(&self.options).cloned());
        Some((which, Second::open(settings, network, self.manner(), target, outgoing, self.entropy.fork())))
    }

    async fn end_second(&mut self, second: Option<(SecondSocket, Second)>) {
        let Some((which, second)) = second else { return };
        let end = second.end().await;
        if which == SecondSocket::SameUrl && !matches!(end, SecondSocketEnd::Refused(_)) {
            self.phone.found(Finding::new(codes::LAB, "the server opened a second socket for the URL of the first"));
        }
        self.phone.second_socket_ended(end);
    }

    fn outgoing(&mut self, stream_sid: StreamSid) -> Outgoing {
        let first_timestamp = self.entropy.between(5, 201);
        let identity = self.progress.identity();
        Outgoing::new(&identity.account_sid, identity.call_sid.clone(), stream_sid, first_timestamp)
    }

    async fn converse(
        &mut self,
        socket: stream::Socket,
        stream_sid: StreamSid,
        parameters: &[(String, String)],
        told: &StreamTold,
    ) -> Result<(), Left> {
        let outgoing = self.outgoing(stream_sid.clone());
        let faults = std::mem::take(&mut self.faults);
        let starts = !faults.hang_up_before_start;
        if starts {
            self.tell(told, &stream_sid, "stream-started", None);
        }
        let (line, entropy) = (socket.get_ref().record(), self.entropy.fork());
        let ended = stream::run(&mut self.phone, socket, outgoing, parameters, faults, entropy).await;
        if let Some(line) = line {
            self.phone.line_ended(&line);
        }
        if let Ok(Some(Lost { finding, .. })) = &ended
            && (finding.code != codes::STREAM_CLOSED || self.options.stream_error_on_close)
        {
            self.tell(told, &stream_sid, "stream-error", Some(&finding.detail));
        }
        if starts {
            self.tell(told, &stream_sid, "stream-stopped", None);
        }
        self.lingering.extend(ended?.and_then(|lost| lost.lingering));
        Ok(())
    }

    /// Waits for the sockets that were left standing: they outlive a call.
    pub(super) async fn outlive(lingering: Vec<AbortOnDropHandle<()>>) {
        for socket in lingering {
            // It only sleeps; should it ever panic, that shows by itself.
            let _ = socket.await;
        }
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
