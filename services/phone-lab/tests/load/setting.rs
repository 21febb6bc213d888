//! A load run against the bad bridge, with the lab's own model behind it.

use std::{sync::Arc, time::Duration};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::{
    bedrock::{CertificateAuthority, Server, Settings},
    load::{self, Ears, Hears, Load, Report, report::Way as Figures, track::Faults},
    twilio::{self, url::Url},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard},
};
use tokio_util::sync::CancellationToken;

use crate::bad_bridge::{Access, Books, Bridge, Defect, Entry};

const MS: Duration = Duration::from_millis(1);

/// What both sides say.
pub(crate) struct Run {
    pub(crate) report: Report,
    pub(crate) books: Arc<Books>,
}

/// Each run has the machine to itself, as far as this binary's other runs against whole bridges go.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// So many calls, each of so many frames, within 200 ms.
pub(crate) async fn run(defect: Defect, calls: u16, frames: u32) -> Run {
    let length = 20 * MS * frames;
    let ears = Ears::new(calls, load::frames_in(length));
    let settings = Settings { echo: Some(Arc::new(ears.clone())), keep_audio: false, ..Settings::default() };
    let (server, access) = model(settings).await;
    let bridge = Box::pin(Bridge::start(&access, defect)).await;
    let url = Url::parse("https://voice.example.test").unwrap();
    let load = Load {
        twilio: twilio::Settings::new(bridge.address, &url),
        calls,
        length,
        ramp: 200 * MS,
        hears: Hears::Model(ears),
        forgeries: true,
        processes: Vec::new(),
        seed: 1,
    };
    let mut report = Box::pin(load.run(CancellationToken::new())).await.unwrap();
    report.model = Some(load::model_report(&server).await);
    Run { report, books: bridge.books }
}

async fn model(settings: Settings) -> (Server, Access) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ca = CertificateAuthority::new().unwrap();
    let (region, key, secret) =
        (settings.region.clone(), settings.access_key_id.clone(), settings.secret_access_key.clone());
    let names = ["127.0.0.1".to_owned()];
    let server = Server::start(listener, &ca, &names, settings, Clock, Entropy::from_seed(7)).unwrap();
    let endpoint = format!("https://{}", server.address());
    (server, Access { endpoint, ca_pem: ca.pem().to_owned(), region, key, secret })
}

impl Run {
    /// What the report says of frames: there, back, and both.
    pub(crate) fn frames(&self) -> [Figures; 3] {
        let frames = self.report.frames.clone().unwrap();
        [frames.there.unwrap(), frames.back.unwrap(), frames.there_and_back]
    }

    pub(crate) fn faults(&self) -> [Faults; 3] {
        self.frames().map(|way| way.faults)
    }

    /// The lab's median of what the bridge has in its books.
    pub(crate) fn lab(&self, entry: Entry) -> f64 {
        let [there, back, _] = self.frames();
        match entry {
            Entry::Webhook => self.report.webhook.p50,
            Entry::Socket => self.report.socket.p50,
            Entry::FirstAudio => self.report.first_audio.p50,
            Entry::There => there.latency.p50,
            Entry::Back => back.latency.p50,
            Entry::Clear => self.report.barge_in.unwrap().clear.p50,
            Entry::Jitter => self.report.jitter.p50,
        }
    }

    /// The bridge's own median.
    pub(crate) fn own(&self, entry: Entry) -> f64 {
        self.books.median(entry)
    }
}
