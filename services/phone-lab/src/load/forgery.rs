//! Whether what is called takes requests that Twilio has not signed.
//!
//! Each door is tried with no signature and with one under another account's token. Nothing of this becomes a call:
//! a socket that opens all the same is dropped before `start`. To know where the socket is, one document is asked for
//! as it should be, as for a caller who hangs up before the stream begins.

use std::fmt::{self, Display, Formatter};

use offhook_hosting::entropy::Entropy;
use serde::Serialize;

use super::dialling;
use crate::twilio::{Manner, Settings, Signing, Upgrade, sid::CallSid, url::Url};

/// A request that is not Twilio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forgery {
    /// A webhook without a signature.
    UnsignedWebhook,
    /// A webhook that somebody else has signed.
    ForgedWebhook,
    /// The upgrade of a media socket without a signature.
    UnsignedSocket,
    /// The upgrade of a media socket that somebody else has signed.
    ForgedSocket,
}

impl Display for Forgery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsignedWebhook => "an unsigned webhook",
            Self::ForgedWebhook => "a wrongly signed webhook",
            Self::UnsignedSocket => "an unsigned media socket",
            Self::ForgedSocket => "a wrongly signed media socket",
        })
    }
}

/// What became of forged requests. Where a request that is Twilio's gets no stream either, a refusal shows nothing: none is
/// counted, and sockets are not tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forgeries {
    /// Taken for Twilio's: a document that connects a stream was answered, or the socket opened.
    pub accepted: Vec<Forgery>,
    /// Not taken for Twilio's, whatever was answered.
    pub refused: Vec<Forgery>,
}

impl Forgeries {
    fn book(&mut self, forgery: Forgery, accepted: bool) {
        if accepted { &mut self.accepted } else { &mut self.refused }.push(forgery);
    }
}

/// Tries them all.
pub(super) async fn try_all(settings: &Settings, entropy: &mut Entropy) -> Forgeries {
    let mut forgeries = Forgeries::default();
    for (forgery, signing) in
        [(Forgery::UnsignedWebhook, Signing::Missing), (Forgery::ForgedWebhook, Signing::WrongToken)]
    {
        forgeries.book(forgery, ask(settings, signing, entropy).await.is_some());
    }
    let Some(socket) = ask(settings, Signing::Right, entropy).await else {
        return Forgeries { refused: Vec::new(), ..forgeries };
    };
    for (forgery, signing) in
        [(Forgery::UnsignedSocket, Signing::Missing), (Forgery::ForgedSocket, Signing::WrongToken)]
    {
        let manner = Manner { signing, ..Manner::default() };
        let upgrade = Upgrade { manner, ..Upgrade::of(settings) };
        forgeries.book(forgery, upgrade.connect(&socket, entropy).await.is_ok());
    }
    forgeries
}

/// Where the stream is that a document connects, if one is answered.
async fn ask(settings: &Settings, signing: Signing, entropy: &mut Entropy) -> Option<Url> {
    let call_sid = CallSid::draw(entropy);
    let stream = dialling::stream_of(settings, &call_sid, signing, entropy).await;
    stream.ok().map(|(url, _)| url)
}
