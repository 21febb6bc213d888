//! How a call arrives: whose it is, what the agent is told of it, and what becomes of it while no worker has room.

use std::{path::PathBuf, time::Duration};

use offhook_hosting::entropy::Entropy;
use phone_lab::{
    bedrock::{self, Pace, Script},
    pair::Pair,
    twilio::{CallEnd, CallOptions, CallReport, CallerScript, Human},
};

use crate::support::{assert_nothing_left, live_call, play, record, start_with};

const SCRIPT: &str = "greeting: 'good morning'\notherwise: 'you said {heard}'";
const AGENTS: &str = "default: human
agents:
  human: {prompt: Be kind.}
  sales: {prompt: Sell., numbers: ['+15550100200']}
  lab: {prompt: Try., sip_domains: [lab.sip.twilio.com]}
  queue: {prompt: Be patient., numbers: ['+15550100201'], fallback: queue}
  busy: {prompt: Be quick., numbers: ['+15550100202'], fallback: busy}
  apology: {prompt: Be sorry., numbers: ['+15550100203'], fallback: apology}
  second: {prompt: Be there., numbers: ['+15550100204'], transfer: {to: '+15550100300'}}
";

/// Gone with the test.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        // Whoever removed it before has done what was to be done.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A pair with these agents, whose worker has room for one call.
async fn pair() -> Pair {
    let file = File(std::env::temp_dir().join(format!("phone-lab-agents-{}.yaml", Entropy::from_os().uuid())));
    std::fs::write(&file.0, AGENTS).unwrap();
    let script = Script::from_yaml(SCRIPT).unwrap();
    let bedrock = bedrock::Settings { pace: Pace::new(0.1).unwrap(), script, ..bedrock::Settings::default() };
    let path = file.0.display().to_string();
    start_with(bedrock, vec![("AGENTS_FILE", path), ("MAX_SESSIONS", "1".to_owned())]).await
}

/// Somebody who calls `to` and does this.
fn calling(to: &str, steps: &str) -> CallerScript {
    let script = format!("from: '+15550100001'\nto: '{to}'\nsteps: {steps}");
    CallerScript::from_yaml(&script).unwrap()
}

fn parameter<'a>(call: &'a CallReport, name: &str) -> Option<&'a str> {
    let value = call.documents[0].split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    value.split('"').next()
}

/// What becomes of a call to `to` while another one has the only place.
async fn called_while_full(to: &str, options: CallOptions) -> CallReport {
    let pair = pair().await;
    let live = live_call(&pair, "[listen, { wait: 3s }, hang_up]").await;
    let call = pair.twilio.call(calling(to, "[{ wait: 1s }, listen, hang_up]"), options).await;
    assert_eq!(live.await.unwrap().end, CallEnd::CallerHungUp, "the other call is unharmed");
    assert_eq!(pair.bedrock.reports().len(), 1, "one session, of the other call");
    assert_eq!(call.codes, [], "nothing that Twilio would complain of");
    assert_nothing_left(pair).await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_agent_of_its_number_or_its_sip_domain_or_else_the_default() {
    let pair = pair().await;
    let calls = [
        ("+15550100200", "sales", "Sell."),
        ("sip:desk@lab.sip.twilio.com", "lab", "Try."),
        ("+15550100999", "human", "Be kind."),
    ];
    for (to, agent, prompt) in calls {
        let script = calling(to, "[listen, say: well, listen, hang_up]");
        let (call, sessions) = play(&pair, script, CallOptions::default()).await;
        assert!(sessions[0].system_prompt.starts_with(prompt), "{}", sessions[0].system_prompt);
        assert_eq!(parameter(&call, "agent"), Some(agent), "{to}");
        assert_eq!(call.heard.last().unwrap().text, "you said well");
        assert_eq!(record(&pair, &call).await.agent, agent);
    }
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sip_phone_says_of_itself_reaches_the_agents_stream_and_breaks_nothing() {
    let pair = pair().await;
    let headers = "{ X-Order: '1042', X-Odd: '\"><Hangup/>&', User-to-User: '3132;encoding=hex', X-Long: 'LONG' }";
    let script = format!(
        "from: 'sip:jane@pbx.example.test'\nto: 'sip:desk@lab.sip.twilio.com'\nsteps: [listen, hang_up]\n\
         sip_headers: {}",
        headers.replace("LONG", &"x".repeat(600))
    );
    let script = CallerScript::from_yaml(&script).unwrap();
    let (call, sessions) = play(&pair, script, CallOptions::default()).await;
    let told = &sessions[0].system_prompt;
    assert!(told.contains(r#""sip.x-order":"1042""#) && told.contains("3132;encoding=hex"), "{told}");
    assert_eq!((parameter(&call, "sip.x-order"), parameter(&call, "sip.x-long")), (Some("1042"), None));
    assert_eq!(parameter(&call, "sip.x-odd"), Some("&quot;&gt;&lt;Hangup/&gt;&amp;"));
    assert_eq!(parameter(&call, "sip.user-to-user"), Some("3132;encoding=hex"));
    assert_eq!((call.heard[0].text.as_str(), &call.codes[..]), ("good morning", &[][..]));
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_for_whom_there_is_no_room_is_put_through_to_the_human() {
    for (to, dialled) in [("+15550100999", "sip:desk@pbx.example.test"), ("+15550100204", "+15550100300")] {
        let steps = if dialled.starts_with('+') {
            "[listen, press: '1', connected, say: hello, listen, hang_up]"
        } else {
            "[connected, say: hello, listen, hang_up]"
        };
        let human = Human::acts(Duration::from_millis(500), steps).unwrap();
        let call = called_while_full(to, CallOptions { human, ..CallOptions::default() }).await;
        assert!(call.dialled[0].starts_with(dialled), "{:?}", call.dialled);
        assert_eq!(call.heard[0].text, "hello", "without a word of ours before: {:?}", call.heard);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_for_whom_there_is_no_room_hears_the_busy_tone_and_is_not_answered() {
    let call = called_while_full("+15550100202", CallOptions::default()).await;
    assert_eq!((call.end, call.heard.len()), (CallEnd::Rejected, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_for_whom_there_is_no_room_hears_a_sentence() {
    let call = called_while_full("+15550100203", CallOptions::default()).await;
    assert_eq!(call.end, CallEnd::HungUpByDocument);
    assert!(call.spoken_by_twilio[0].contains("sorry"), "{:?}", call.spoken_by_twilio);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waits_hears_music_and_is_served_when_a_place_is_free() {
    let pair = pair().await;
    let live = live_call(&pair, "[listen, { wait: 3s }, hang_up]").await;
    let waiting = calling("+15550100201", "[{ wait: 20s }, say: well, listen, hang_up]");
    let (call, sessions) = play(&pair, waiting, CallOptions::default()).await;
    assert_eq!(live.await.unwrap().end, CallEnd::CallerHungUp);
    assert!(call.spoken_by_twilio[0].contains("hold the line"), "{:?}", call.spoken_by_twilio);
    let heard: Vec<_> = call.heard.iter().map(|heard| heard.text.as_str()).collect();
    assert!(heard.contains(&"good morning"), "{heard:?}");
    assert_eq!(heard.last(), Some(&"you said well"));
    assert_eq!((sessions.len(), &call.codes[..]), (1, &[][..]), "{call:?}");
    // From the end of the sentence to the agent's first word nobody sits on a silent line.
    let agent_at = call.heard.iter().find(|heard| heard.text == "good morning").unwrap().at;
    let rate = 8_000.0;
    let waited = &call.heard_pcm[(3.0 * rate) as usize..(agent_at.as_secs_f64() * rate) as usize];
    let silent = waited.split(|sample| sample.unsigned_abs() > 200).map(<[i16]>::len).max().unwrap_or_default();
    assert!(silent < 24_000, "{} s of silence", silent as f64 / rate);
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_while_waiting_leaves_nothing_behind() {
    let pair = pair().await;
    let live = live_call(&pair, "[listen, { wait: 4s }, hang_up]").await;
    let call = pair.twilio.call(calling("+15550100201", "[{ wait: 2s }, hang_up]"), CallOptions::default()).await;
    assert_eq!((call.end, &call.codes[..]), (CallEnd::CallerHungUp, &[][..]));
    assert_eq!(live.await.unwrap().end, CallEnd::CallerHungUp);
    assert_eq!(pair.bedrock.reports().len(), 1);
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_twilio_sends_again_is_the_same_call() {
    let pair = pair().await;
    let options = CallOptions { replay_webhooks: true, ..CallOptions::default() };
    let script = calling("+15550100200", "[listen, say: well, listen, hang_up]");
    let (call, sessions) = play(&pair, script, options).await;
    assert_eq!((call.heard.last().unwrap().text.as_str(), sessions.len()), ("you said well", 1));
    assert_nothing_left(pair).await;
}
