//! A second socket beside a call's first stream, as somebody opens who listened, or a Twilio that lost count.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use offhook_hosting::entropy::Entropy;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::upgrade::{Manner, Upgrade};
use crate::network::Conditions;
use crate::twilio::{
    Settings,
    caller::TICK,
    codes,
    interpreter::{Action, Ended, Interpreter},
    media::{CONNECTED, Outgoing},
    playout::FRAME,
    report::Finding,
    twiml::{self, Method},
    url::Url,
    webhook::Client,
};

/// Silence in mu-law.
const SILENCE: [u8; FRAME] = [0xff; FRAME];

/// Where a second socket goes, once a call's first stream is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondSocket {
    /// To the very URL of the first, with the same signature: a server must refuse it.
    SameUrl,
    /// To the URL of a document that is asked for once more, under the same call.
    NewUrl,
}

/// What became of a second socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondSocketEnd {
    /// The upgrade was refused, or there was nothing to open: this is why.
    Refused(String),
    /// The socket was opened, and closed by the server while the first was up.
    Closed,
    /// The socket was opened and up as long as the first.
    Served,
}

/// A second socket that is being tried.
pub(in crate::twilio) struct Second {
    first_is_over: CancellationToken,
    task: AbortOnDropHandle<SecondSocketEnd>,
}

/// What a second socket is opened on.
pub(in crate::twilio) enum Target {
    /// The URL of the first.
    Url(Url),
    /// The URL that another document names.
    Document(Box<Again>),
}

/// A document that is asked for once more.
pub(in crate::twilio) struct Again {
    pub(in crate::twilio) client: Client,
    pub(in crate::twilio) url: Url,
    pub(in crate::twilio) method: Method,
    pub(in crate::twilio) parameters: Vec<(String, String)>,
}

impl Second {
    /// Tries it.
    pub(in crate::twilio) fn open(
        settings: Arc<Settings>,
        network: Option<Conditions>,
        manner: Manner,
        target: Target,
        outgoing: Outgoing,
        entropy: Entropy,
    ) -> Self {
        let first_is_over = CancellationToken::new();
        let over = first_is_over.clone();
        let task = async move {
            let served = serve(settings, network, manner, target, outgoing, entropy, over).await;
            served.unwrap_or_else(|finding| SecondSocketEnd::Refused(finding.detail))
        };
        Self { first_is_over, task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// The first stream is over, and the second with it.
    pub(in crate::twilio) async fn end(self) -> SecondSocketEnd {
        self.first_is_over.cancel();
        self.task.await.unwrap_or_else(|failure| SecondSocketEnd::Refused(failure.to_string()))
    }
}

async fn serve(
    settings: Arc<Settings>,
    network: Option<Conditions>,
    manner: Manner,
    target: Target,
    mut outgoing: Outgoing,
    mut entropy: Entropy,
    over: CancellationToken,
) -> Result<SecondSocketEnd, Finding> {
    let (url, parameters) = match target {
        Target::Url(url) => (url, Vec::new()),
        Target::Document(again) => again.stream().await?,
    };
    let public_host = settings.voice_url.host();
    let (edge, account) = (settings.edge, &settings.account);
    let upgrade = Upgrade { edge, public_host, account, manner, network: network.as_ref() };
    let (mut sink, mut reader) = upgrade.connect(&url, &mut entropy).await?.split();
    let talk = async {
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut sent = sink.feed(Message::text(CONNECTED)).await;
        if sent.is_ok() {
            sent = sink.send(Message::text(outgoing.start(&parameters))).await;
        }
        while sent.is_ok() {
            clock.tick().await;
            sent = sink.send(Message::text(outgoing.media(&SILENCE))).await;
        }
    };
    let listen = async { while let Some(Ok(_)) = reader.next().await {} };
    Ok(tokio::select! {
        biased;
        () = over.cancelled() => SecondSocketEnd::Served,
        () = talk => SecondSocketEnd::Closed,
        () = listen => SecondSocketEnd::Closed,
    })
}

impl Again {
    /// Asks for the document; gives the stream it begins with.
    async fn stream(mut self) -> Result<(Url, Vec<(String, String)>), Finding> {
        let answer = self.client.request(&self.url, self.method, &self.parameters).await?;
        let mut interpreter = Interpreter::new(answer.url.clone());
        interpreter.load(twiml::parse(&answer.text)?, answer.url);
        let Action::OpenStream { url, parameters, .. } = interpreter.next(Ended::Simply) else {
            return Err(Finding::new(codes::LAB, "the second document does not begin with a stream"));
        };
        Ok((url, parameters))
    }
}
