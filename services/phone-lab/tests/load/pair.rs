//! A load run against the pair, whose model is the lab's own.

use std::{sync::Arc, time::Duration};

use offhook_hosting::telemetry::Telemetry;
use phone_lab::{
    bedrock,
    load::{self, Ears, Hears, Load},
    pair::{Pair, Settings, nobody_picks_up},
    twilio::{self, url::Url},
};
use tokio_util::sync::CancellationToken;

const CALLS: u16 = 5;
const LENGTH: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_calls_of_two_seconds_lose_no_frame_either_way_and_are_interrupted() {
    let ears = Ears::new(CALLS, load::frames_in(LENGTH));
    let bedrock =
        bedrock::Settings { echo: Some(Arc::new(ears.clone())), keep_audio: false, ..bedrock::Settings::default() };
    let settings =
        Settings { bedrock, second_bedrock: None, environment: Vec::new(), rest: nobody_picks_up(), seed: 1 };
    let pair = Pair::start(settings, Arc::new(Telemetry::for_metrics("load"))).await.unwrap();
    let url = Url::parse("https://voice.example.test").unwrap();
    let load = Load {
        twilio: twilio::Settings::new(pair.edge_address, &url),
        calls: CALLS,
        length: LENGTH,
        ramp: Duration::from_millis(500),
        hears: Hears::Model(ears),
        forgeries: true,
        processes: Vec::new(),
        seed: 1,
    };
    let mut report = load.run(CancellationToken::new()).await.unwrap();
    report.model = Some(load::model_report(&pair.bedrock).await);
    assert!(report.is_good(), "{report}");
    let frames = report.frames.clone().unwrap();
    assert_eq!(frames.sent, 500);
    let (there, back) = (frames.there.unwrap(), frames.back.unwrap());
    assert_eq!((there.latency.count, back.latency.count, frames.there_and_back.latency.count), (500, 500, 500));
    assert!(there.latency.p50 > 0.0 && back.latency.p50 > 0.0, "{report}");
    assert!(there.latency.p50 <= frames.there_and_back.latency.p50, "{report}");
    let barge_in = report.barge_in.unwrap();
    assert_eq!((barge_in.clear.count, barge_in.missing), (5, 0), "{report}");
    let model = report.model.clone().unwrap();
    assert_eq!((model.sessions, model.by_the_book), (5, 5), "{report}");
    assert!(model.violations.is_empty() && model.refusals.is_empty(), "{report}");
    pair.stop().await.unwrap();
}
