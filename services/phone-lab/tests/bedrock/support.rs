//! A lab with one server, and a client call that says what it sends and sees.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::{
    Client,
    config::retry::RetryConfig,
    error::SdkError,
    operation::{
        RequestId, invoke_model_with_bidirectional_stream::InvokeModelWithBidirectionalStreamError as StartError,
    },
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
use aws_smithy_types::event_stream::RawMessage;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::stream::poll_fn;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::{
    bedrock::{CertificateAuthority, Pace, Script, Server, SessionEnd, SessionId, SessionReport, Settings},
    tones::{self, Ear},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

pub(crate) const MODEL: &str = "amazon.nova-2-sonic-v1:0";
/// Nothing here takes this long; a test that hangs fails after it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Twenty times as fast as the real service, so that tests are quick.
pub(crate) fn quick(script: &str) -> Settings {
    let script = Script::from_yaml(script).unwrap();
    Settings { pace: Pace::new(0.05).unwrap(), script, ..Settings::default() }
}

pub(crate) struct Lab {
    pub(crate) server: Server,
    pub(crate) ca: CertificateAuthority,
}

impl Lab {
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::start_with_seed(settings, 7).await
    }

    pub(crate) async fn start_with_seed(settings: Settings, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ca = CertificateAuthority::new().unwrap();
        let names = ["127.0.0.1".to_owned()];
        let server = Server::start(listener, &ca, &names, settings, Clock, Entropy::from_seed(seed)).unwrap();
        Self { server, ca }
    }

    pub(crate) async fn quick() -> Self {
        Self::start(quick("{}")).await
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_as("us-east-1", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None).await
    }

    pub(crate) async fn client_as(&self, region: &'static str, key: &str, secret: &str, token: Option<&str>) -> Client {
        let trust = TrustStore::empty().with_pem_certificate(self.ca.pem());
        let context = TlsContext::builder().with_trust_store(trust).build().unwrap();
        let provider = tls::Provider::rustls(CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(provider).tls_context(context).build_https();
        let credentials = Credentials::new(key, secret, token.map(str::to_owned), None, "test");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::new(region))
            .credentials_provider(credentials)
            .endpoint_url(format!("https://{}", self.server.address()))
            .retry_config(RetryConfig::disabled())
            .load()
            .await;
        Client::new(&config)
    }

    pub(crate) fn report(&self) -> SessionReport {
        self.server.reports().pop().unwrap()
    }

    /// Waits until the server's view of the world is as expected.
    pub(crate) async fn until(&self, holds: impl Fn(&Server) -> bool) {
        let poll = async {
            while !holds(&self.server) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, poll).await.expect("the server comes to it");
    }
}

/// A session of the client.
pub(crate) struct Call {
    input: Option<mpsc::Sender<Value>>,
    output: EventReceiver<SdkOutput, OutputError>,
    pub(crate) request_id: String,
    ear: Ear,
    heard: Vec<tones::Heard>,
}

/// How a stream ended, in short.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Clean,
    Exception(String, String),
    Broken,
}

/// Starts a session with these events already on their way.
pub(crate) async fn start(client: &Client, model: &str, events: Vec<Value>) -> Result<Call, Box<SdkError<StartError>>> {
    let (input, mut queue) = mpsc::channel::<Value>(1024);
    for event in events {
        input.try_send(event).unwrap();
    }
    let stream = poll_fn(move |cx| {
        queue.poll_recv(cx).map(|event| {
            let part = |event: Value| {
                let bytes = Blob::new(json!({ "event": event }).to_string());
                Ok(SdkInput::Chunk(BidirectionalInputPayloadPart::builder().bytes(bytes).build()))
            };
            event.map(part)
        })
    });
    let request = client.invoke_model_with_bidirectional_stream().model_id(model);
    let response = Box::pin(request.body(EventStreamSender::from(stream)).send());
    let response = timeout(PATIENCE, response).await.expect("an answer in time")?;
    let request_id = response.request_id().unwrap().to_owned();
    Ok(Call { input: Some(input), output: response.body, request_id, ear: Ear::new(), heard: Vec::new() })
}

/// Starts a conversation: everything up to the open audio container.
pub(crate) async fn call(client: &Client) -> Call {
    let events = vec![session_start(), prompt_start(), system_start(), system_text("S"), end("S"), audio_start()];
    start(client, MODEL, events).await.unwrap()
}

/// How sessions ended, each with its id.
pub(crate) type Ends = Vec<(SessionId, Option<SessionEnd>)>;

/// Begins twelve sessions, one after the other, and leaves each at once.
pub(crate) async fn leave_twelve(lab: &Lab) -> Ends {
    let client = lab.client().await;
    for _ in 0..12 {
        let mut call = call(&client).await;
        call.hang_up();
        call.ended().await;
    }
    lab.server.reports().into_iter().map(|report| (report.id, report.end)).collect()
}

/// How many of them a fault has ended.
pub(crate) fn struck_of(ends: &Ends) -> usize {
    ends.iter().filter(|(_, end)| matches!(end, Some(SessionEnd::Fault(_)))).count()
}

impl Call {
    pub(crate) async fn send(&self, event: Value) {
        // A stream that the server has ended takes no more.
        let _ = self.input.as_ref().unwrap().send(event).await;
    }

    /// Sends audio in pieces of 100 ms, as fast as they go.
    pub(crate) async fn hear(&self, pcm: &[i16]) {
        for piece in pcm.chunks(800) {
            self.send(audio(piece)).await;
        }
    }

    /// Says tone words and falls silent for as long as the quickest tests need.
    pub(crate) async fn say(&self, text: &str) {
        self.hear(&tones::speak(text)).await;
        self.hear(&[0; 1600]).await;
    }

    pub(crate) async fn write(&self, name: &str, text: &str) {
        self.send(text_start(name, "USER", true)).await;
        self.send(json!({"textInput": {"promptName": "P", "contentName": name, "content": text}})).await;
        self.send(end(name)).await;
    }

    /// The next event, as its name and fields.
    pub(crate) async fn next(&mut self) -> Result<(String, Value), End> {
        let next = timeout(PATIENCE, self.output.recv()).await.expect("an event in time");
        let chunk = match next {
            Ok(Some(SdkOutput::Chunk(chunk))) => chunk,
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => return Err(End::Clean),
            Err(SdkError::ServiceError(error)) => {
                let RawMessage::Decoded(message) = error.raw() else { panic!("{error:?}") };
                let kind = message.headers().iter().find(|header| header.name().as_str() == ":exception-type");
                let kind = kind.unwrap().value().as_string().unwrap().as_str().to_owned();
                return Err(End::Exception(kind, error.err().meta().message().unwrap_or_default().to_owned()));
            }
            Err(_) => return Err(End::Broken),
        };
        let event: Value = serde_json::from_slice(chunk.bytes().unwrap().as_ref()).unwrap();
        let (name, fields) = event["event"].as_object().unwrap().iter().next().unwrap();
        if name == "audioOutput" {
            let pcm = STANDARD.decode(fields["content"].as_str().unwrap()).unwrap();
            let pcm: Vec<i16> = pcm.as_chunks().0.iter().map(|&sample| i16::from_le_bytes(sample)).collect();
            self.heard.extend(self.ear.listen(&pcm));
        }
        Ok((name.clone(), fields.clone()))
    }

    /// Reads on to an event of this name for which this holds.
    pub(crate) async fn until(&mut self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (found, fields) = self.next().await.unwrap_or_else(|end| panic!("{end:?} before {name}"));
            if found == name && holds(&fields) {
                return fields;
            }
        }
    }

    /// Reads on to the end of the model's turn; what was heard in it.
    pub(crate) async fn turn(&mut self) -> String {
        self.until("contentEnd", |end| end["type"] == "AUDIO" && end["stopReason"] == "END_TURN").await;
        tones::text(&std::mem::take(&mut self.heard))
    }

    /// Reads on to the end of the stream.
    pub(crate) async fn ended(&mut self) -> End {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    /// Ends the session as one should, and reads to its end.
    pub(crate) async fn close(mut self) -> End {
        for event in [end("A"), json!({"promptEnd": {"promptName": "P"}}), json!({"sessionEnd": {}})] {
            self.send(event).await;
        }
        self.hang_up();
        self.ended().await
    }

    /// Ends the client's half of the stream.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }
}

fn format(voice: Option<&str>) -> Value {
    let mut format = json!({"mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16,
        "channelCount": 1, "encoding": "base64", "audioType": "SPEECH"});
    if let Some(voice) = voice {
        format["voiceId"] = voice.into();
    }
    format
}

pub(crate) fn session_start() -> Value {
    json!({"sessionStart": {"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7},
        "turnDetectionConfiguration": {"endpointingSensitivity": "HIGH"}}})
}

pub(crate) fn prompt_start() -> Value {
    let tool = |name: &str| json!({"toolSpec": {"name": name, "description": "x", "inputSchema": {"json": "{}"}}});
    json!({"promptStart": {"promptName": "P", "textOutputConfiguration": {"mediaType": "text/plain"},
        "audioOutputConfiguration": format(Some("matthew")),
        "toolUseOutputConfiguration": {"mediaType": "application/json"},
        "toolConfiguration": {"tools": [tool("cancel"), tool("hang_up")]}}})
}

pub(crate) fn text_start(name: &str, role: &str, interactive: bool) -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": name, "type": "TEXT", "interactive": interactive,
        "role": role, "textInputConfiguration": {"mediaType": "text/plain"}}})
}

pub(crate) fn system_start() -> Value {
    text_start("S", "SYSTEM", false)
}

pub(crate) fn system_text(name: &str) -> Value {
    json!({"textInput": {"promptName": "P", "contentName": name, "content": "be brief"}})
}

pub(crate) fn audio_start() -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": "A", "type": "AUDIO", "interactive": true,
        "role": "USER", "audioInputConfiguration": format(None)}})
}

pub(crate) fn audio(pcm: &[i16]) -> Value {
    let bytes: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    json!({"audioInput": {"promptName": "P", "contentName": "A", "content": STANDARD.encode(bytes)}})
}

pub(crate) fn tool_start(name: &str, tool_use_id: &str) -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": name, "interactive": false, "type": "TOOL",
        "role": "TOOL", "toolResultInputConfiguration": {"toolUseId": tool_use_id, "type": "TEXT",
            "textInputConfiguration": {"mediaType": "text/plain"}}}})
}

pub(crate) fn tool_result(name: &str, content: Value) -> Value {
    json!({"toolResult": {"promptName": "P", "contentName": name, "content": content}})
}

pub(crate) fn end(name: &str) -> Value {
    json!({"contentEnd": {"promptName": "P", "contentName": name}})
}

/// A TLS connection of one's own to the server, offering these protocols.
pub(crate) async fn connect(
    lab: &Lab,
    alpn: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(lab.ca.pem().as_bytes()).unwrap()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let mut config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let socket = tokio::net::TcpStream::connect(lab.server.address()).await?;
    let name = "127.0.0.1".try_into().unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await
}
