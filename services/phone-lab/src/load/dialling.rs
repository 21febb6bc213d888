//! The webhook of a call that is to be a stream and nothing else.

use offhook_hosting::entropy::Entropy;

use crate::twilio::{
    Settings, Signing,
    sid::CallSid,
    twiml::{self, Verb},
    url::Url,
    webhook::Client,
};

/// Asks for the call's document, in a request that is signed so; gives the media stream that it connects to.
pub(super) async fn stream_of(
    settings: &Settings,
    call_sid: &CallSid,
    signing: Signing,
    entropy: &mut Entropy,
) -> Result<(Url, Vec<(String, String)>), String> {
    let host = settings.voice_url.host().to_owned();
    let client = Client::new(settings.edge, host, settings.account.clone(), signing, entropy.fork());
    let mut client = client.over(settings.network.clone());
    // Somebody else each time: a caller who redials at this pace would be turned away.
    let from = format!("+1555{:07}", entropy.between(0, 10_000_000));
    let form = [
        ("CallSid", call_sid.as_str()),
        ("AccountSid", &settings.account.account_sid),
        ("From", &from),
        ("To", "+15550100100"),
        ("CallStatus", "ringing"),
        ("ApiVersion", "2010-04-01"),
        ("Direction", "inbound"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let answer = client.request(&settings.voice_url, settings.voice_method, &form).await;
    let answer = answer.map_err(|finding| finding.detail)?;
    let document = twiml::parse(&answer.text).map_err(|finding| finding.detail)?;
    let connect = document.verbs.into_iter().find_map(|verb| match verb {
        Verb::Connect(connect) => Some(connect.stream),
        Verb::Prompt(_)
        | Verb::Dial(_)
        | Verb::Gather(_)
        | Verb::Redirect(_)
        | Verb::Enqueue(_)
        | Verb::Leave
        | Verb::Hangup
        | Verb::Reject { .. } => None,
    });
    let stream = connect.ok_or("the document connects no stream")?;
    let url = answer.url.join(&stream.url).map_err(|error| error.to_string())?;
    Ok((url, stream.parameters))
}
