use offhook_proto::voice::v1::{Speaker, TellRequest, TurnKind, calls_client::CallsClient};
use tonic::{Code, transport::Channel};

use crate::support::{assert_nothing_left, calls_to_end, live_call, pair, record};

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_s_hint_is_passed_on_by_the_agent_in_its_own_words_and_cuts_nothing_off() {
    let script = "
greeting: 'good morning how can i help you today'
dialogue:
  - heard: manager offers a free night
    reply: 'we can offer you a free night'
otherwise: 'you said {heard}'
";
    let pair = pair(script).await;
    let call = live_call(&pair, "[listen: { quiet: 4s }, hang_up]").await;
    let call_sid = pair.twilio.live_calls().remove(0);
    let mut calls = CallsClient::new(Channel::from_shared(pair.worker_url.clone()).unwrap().connect().await.unwrap());
    let tell = TellRequest { call_sid, text: "The manager offers a free night.".into() };
    calls.tell(tell.clone()).await.unwrap();
    let call = call.await.unwrap();
    let heard: Vec<_> = call.heard.iter().map(|heard| heard.text.as_str()).collect();
    assert_eq!(heard.join(" "), "good morning how can i help you today we can offer you a free night");
    calls_to_end(&pair).await;
    assert_eq!(calls.tell(tell).await.unwrap_err().code(), Code::NotFound);
    let record = record(&pair, &call).await;
    let notes = record.turns.iter().filter(|turn| turn.kind() == TurnKind::Note);
    let notes: Vec<_> = notes.map(|turn| (turn.speaker(), turn.text.as_str())).collect();
    assert_eq!(notes, [(Speaker::System, "The manager offers a free night.")]);
    assert!(record.turns.iter().all(|turn| !turn.interrupted), "{:?}", record.turns);
    assert_nothing_left(pair).await;
}
