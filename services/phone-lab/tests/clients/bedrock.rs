//! The simulated Bedrock serves the official SDKs for JavaScript and Python: a tool, a barge-in, every event signed.

use std::{fs, path::PathBuf};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::{
    bedrock::{CertificateAuthority, Pace, Server, SessionEnd, SessionReport, Settings, Waived},
    scenario::Scenario,
    tones::{self, Ear},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::client::{Language, output, run, sources};

#[tokio::test]
async fn the_javascript_sdk_holds_a_conversation_with_a_tool_and_a_barge_in() {
    converse(Language::JavaScript).await;
}

#[tokio::test]
async fn the_python_sdk_holds_a_conversation_with_a_tool_and_a_barge_in() {
    converse(Language::Python).await;
}

async fn converse(language: Language) {
    let lab = Lab::start(language).await;
    let transcript = run(lab.client("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), "").await;
    for line in ["USER: please cancel it", "ASSISTANT: R-1 is cancelled.", "USER: stop that"] {
        assert!(transcript.lines().any(|known| known == line), "{line}\n{transcript}");
    }

    let report = lab.report();
    assert_eq!(lab.server.refusals(), [""; 0]);
    assert_eq!((&report.violations[..], report.end), (&[][..], Some(SessionEnd::ByTheBook)));
    let heard: Vec<_> = report.heard.iter().map(|heard| heard.text.as_str()).collect();
    assert_eq!(heard, ["please cancel it", "tell me a story", "stop that"]);
    assert_eq!(report.system_prompt, "You take calls for a hotel.");
    let tool = &report.tools[0];
    assert_eq!((&tool.input, &tool.result), (&json!({"id": "R-1"}), &Some(json!({"cancelled": "R-1"}))));

    let [filler, answer, story, last] = &report.said[..] else { panic!("{:?}", report.said) };
    assert_eq!(
        [&filler.text, &answer.text, &last.text],
        ["one moment please.", "R-1 is cancelled.", "you said stop that"]
    );
    assert!(story.interrupted_at_sample.is_some() && story.pcm.len() < tones::speak(&story.text).len());
    assert!([filler, answer, last].iter().all(|said| said.interrupted_at_sample.is_none()));
    // All that was sent arrived, to the sample.
    let sent: Vec<_> = report.said.iter().flat_map(|said| &said.pcm).copied().collect();
    let received = lab.received();
    assert_eq!(received.len(), sent.len());
    assert!(received == sent);
    let heard = tones::text(&Ear::new().listen(&received));
    assert!(
        heard.starts_with("one moment please. r-1 is cancelled. once upon") && heard.ends_with(&last.text),
        "{heard}"
    );
}

#[tokio::test]
async fn a_client_with_another_secret_is_refused() {
    for language in Language::ALL {
        let lab = Lab::start(language).await;
        let ended = output(&mut lab.client("another-secret"), "").await;
        assert!(!ended.status.success(), "{language:?}");
        let refused = lab.server.refusals();
        assert!(!refused.is_empty() && refused.iter().all(|why| why.contains("signature")), "{refused:?}");
    }
}

/// A Bedrock twenty times as quick as the real one, with no rule waived, and where a client is told of it.
struct Lab {
    server: Server,
    language: Language,
    folder: PathBuf,
}

impl Lab {
    async fn start(language: Language) -> Self {
        let script = Scenario::from_file(&sources().join("conversation.yaml")).unwrap().model;
        let settings = Settings { pace: Pace::new(0.05).unwrap(), script, ..Settings::default() };
        assert_eq!(settings.waived, Waived::NONE);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ca = CertificateAuthority::new().unwrap();
        let server =
            Server::start(listener, &ca, &["127.0.0.1".to_owned()], settings, Clock, Entropy::from_seed(7)).unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(server.address().to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
        Self { server, language, folder }
    }

    fn client(&self, secret: &str) -> tokio::process::Command {
        let mut client = self.language.client("sonic");
        client.arg(self.folder.join("heard.raw"));
        client.env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("https://{}", self.server.address()));
        client.env("AWS_CA_BUNDLE", self.folder.join("ca.pem")).env("AWS_REGION", "us-east-1");
        client.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", secret);
        client
    }

    fn report(&self) -> SessionReport {
        let mut reports = self.server.reports();
        assert_eq!(reports.len(), 1);
        reports.remove(0)
    }

    /// What the client kept of the model's voice.
    fn received(&self) -> Vec<i16> {
        let bytes = fs::read(self.folder.join("heard.raw")).unwrap();
        bytes.as_chunks().0.iter().map(|&sample| i16::from_le_bytes(sample)).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A folder that is left behind lies under target.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
