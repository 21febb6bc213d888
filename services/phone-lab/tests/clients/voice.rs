//! Voice servers written with Twilio's helper libraries, called by the lab.

use std::process::Stdio;

use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::twilio::{CallEnd, CallOptions, CallReport, CallerScript, Settings, Signing, Twilio, codes, url::Url};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use crate::client::Language;

const PUBLIC_URL: &str = "https://voice.example.test";

#[tokio::test]
async fn a_caller_is_led_through_the_menus_of_either_library_to_a_human() {
    for language in Language::ALL {
        let server = Server::start(language).await;
        let report = server.call("listen, { press: '2' }, listen, { press: '1' }", CallOptions::default()).await;
        assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![]), "{language:?}");
        assert_eq!(report.dialled, ["sip:desk@pbx.example.test"]);
        let menu = "press one for a human";
        assert_eq!(report.spoken_by_twilio, [menu, menu, "the call is completed"]);
        assert!(report.heard.iter().any(|heard| heard.text == "human here"), "{:?}", report.heard);
    }
}

#[tokio::test]
async fn neither_library_talks_to_somebody_without_the_accounts_token() {
    for language in Language::ALL {
        let server = Server::start(language).await;
        for signing in [Signing::WrongToken, Signing::Missing] {
            let report = server.call("", CallOptions { signing, ..CallOptions::default() }).await;
            assert_eq!(
                (report.end, report.code_numbers()),
                (CallEnd::ApplicationError, vec![codes::RETRIEVAL]),
                "{language:?} {signing:?}"
            );
        }
    }
}

/// Dropped, it is killed.
struct Server {
    twilio: Twilio,
    _process: Child,
}

impl Server {
    async fn start(language: Language) -> Self {
        let public_url = Url::parse(PUBLIC_URL).unwrap();
        let mut command = language.client("voice");
        command.env("TWILIO_AUTH_TOKEN", "phone-lab-auth-token").env("PUBLIC_URL", PUBLIC_URL);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let port = BufReader::new(process.stdout.take().unwrap()).lines().next_line().await.unwrap();
        let port: u16 = port.expect("the server starts").parse().unwrap();
        let settings = Settings::new(([127, 0, 0, 1], port).into(), &public_url);
        Self { twilio: Twilio::new(settings, Clock, Entropy::from_seed(7)), _process: process }
    }

    async fn call(&self, steps: &str, options: CallOptions) -> CallReport {
        let caller = format!("from: '+15550100001'\nto: '+15550100100'\nsteps: [{steps}]");
        self.twilio.call(CallerScript::from_yaml(&caller).unwrap(), options).await
    }
}
