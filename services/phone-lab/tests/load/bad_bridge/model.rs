//! A session of the model, by AWS's SDK.

use std::{sync::Arc, time::Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::{
    Client,
    config::retry::RetryConfig,
    primitives::{
        Blob,
        event_stream::{EventReceiver, EventStreamSender},
    },
    types::{
        BidirectionalInputPayloadPart, InvokeModelWithBidirectionalStreamInput as SdkInput,
        InvokeModelWithBidirectionalStreamOutput as SdkOutput,
        error::InvokeModelWithBidirectionalStreamOutputError as OutputError,
    },
};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream::poll_fn;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Books, Defect, books::Entry, sound};

const MODEL: &str = "amazon.nova-2-sonic-v1:0";

/// Where the model is, and whose requests it takes.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) endpoint: String,
    pub(crate) ca_pem: String,
    pub(crate) region: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// What the SDK is to send, and when it was read if it is sound of the caller's.
pub(super) type Input = (Value, Option<Instant>);

pub(super) type Output = EventReceiver<SdkOutput, OutputError>;

/// Both halves of a session that nobody ends.
pub(super) type Leaked = (mpsc::Sender<Input>, AbortOnDropHandle<()>);

pub(super) async fn client(access: &Access, defect: Defect) -> Client {
    let trust = TrustStore::empty().with_pem_certificate(access.ca_pem.as_str());
    let context = TlsContext::builder().with_trust_store(trust).build().unwrap();
    let provider = tls::Provider::rustls(CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(provider).tls_context(context).build_https();
    let secret = if defect == Defect::SignsWrongly { "another" } else { &access.secret };
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new(access.region.clone()))
        .credentials_provider(Credentials::new(&access.key, secret, None, None, "test"))
        .endpoint_url(&access.endpoint)
        .retry_config(RetryConfig::disabled())
        .load()
        .await;
    Client::new(&config)
}

/// Opens a session, up to where it takes the caller's audio; none if that is refused.
pub(super) async fn open(client: &Client, books: Arc<Books>) -> Option<(mpsc::Sender<Input>, Output)> {
    let (input, mut queue) = mpsc::channel::<Input>(256);
    for event in opening() {
        input.try_send((event, None)).unwrap();
    }
    let stream = poll_fn(move |cx| {
        queue.poll_recv(cx).map(|input| {
            let (event, read) = input?;
            if let Some(read) = read {
                books.took_since(Entry::There, read);
            }
            let bytes = Blob::new(json!({ "event": event }).to_string());
            Some(Ok(SdkInput::Chunk(BidirectionalInputPayloadPart::builder().bytes(bytes).build())))
        })
    });
    let request = client.invoke_model_with_bidirectional_stream().model_id(MODEL);
    let response = Box::pin(request.body(EventStreamSender::from(stream)).send()).await;
    Some((input, response.ok()?.body))
}

fn opening() -> [Value; 6] {
    let text = json!({"mediaType": "text/plain"});
    let system = json!({"promptName": "P", "contentName": "S", "type": "TEXT", "interactive": false, "role": "SYSTEM",
        "textInputConfiguration": text});
    let caller = json!({"promptName": "P", "contentName": "A", "type": "AUDIO", "interactive": true, "role": "USER",
        "audioInputConfiguration": format(None)});
    [
        json!({"sessionStart": {"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}}}),
        json!({"promptStart": {"promptName": "P", "textOutputConfiguration": text,
            "audioOutputConfiguration": format(Some("matthew"))}}),
        json!({"contentStart": system}),
        json!({"textInput": {"promptName": "P", "contentName": "S", "content": "be brief"}}),
        json!({"contentEnd": {"promptName": "P", "contentName": "S"}}),
        json!({"contentStart": caller}),
    ]
}

fn format(voice: Option<&str>) -> Value {
    let mut format = json!({"mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16,
        "channelCount": 1, "encoding": "base64", "audioType": "SPEECH"});
    if let Some(voice) = voice {
        format["voiceId"] = voice.into();
    }
    format
}

/// Mu-law as the model takes it.
pub(super) fn audio(mulaw: &[u8]) -> Value {
    let bytes: Vec<u8> = mulaw.iter().flat_map(|code| sound::decode(*code).to_le_bytes()).collect();
    json!({"audioInput": {"promptName": "P", "contentName": "A", "content": STANDARD.encode(bytes)}})
}

/// How a session is to be ended.
pub(super) fn goodbye() -> [Value; 3] {
    [
        json!({"contentEnd": {"promptName": "P", "contentName": "A"}}),
        json!({"promptEnd": {"promptName": "P"}}),
        json!({"sessionEnd": {}}),
    ]
}

/// What the model says.
pub(super) enum Said {
    /// As mu-law.
    Audio(Vec<u8>),
    Interrupted,
    /// Nothing that a bridge needs.
    Other,
}

/// The next thing that the model says; none at the end.
pub(super) async fn next(output: &mut Output) -> Option<Said> {
    let Ok(Some(SdkOutput::Chunk(chunk))) = output.recv().await else { return None };
    let event: Value = serde_json::from_slice(chunk.bytes()?.as_ref()).unwrap();
    let (name, fields) = event["event"].as_object()?.iter().next()?;
    let content = fields["content"].as_str().unwrap_or_default();
    Some(match name.as_str() {
        "audioOutput" => {
            let bytes = STANDARD.decode(content).unwrap();
            let samples = bytes.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample));
            Said::Audio(samples.map(sound::encode).collect())
        }
        "textOutput" if content.contains("\"interrupted\"") => Said::Interrupted,
        _ => Said::Other,
    })
}
