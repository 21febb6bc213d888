use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use offhook_hosting::entropy::Entropy;
use phone_lab::{
    bedrock::{self, Pace, Script, SessionEnd, SessionReport},
    pair::Pair,
    twilio::{Account, CallEnd, CallEvent, CallOptions, CallReport, Happening, Human, codes, rest::ApiKey},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{assert_nothing_left, caller, calls_to_end, pair, play, record, start_with};

const SCRIPT: &str = "
greeting: 'good morning'
dialogue:
  - heard: 'who has left'
    reply: 'welcome back'
  - heard: 'could not be connected'
    reply: 'nobody could come'
  - heard: person
    say_first: 'one moment'
    tool: { name: support, input: { reason: 'a refund' } }
";
/// What a caller does until a human is called.
const ASKS: &str = "listen, {say: apples}, listen, {say: a person please}";
/// Until nobody has anything to say any more: neither Twilio, nor a human, nor the agent who comes after.
const HEARS_ALL: &str = "{listen: {quiet: 3s}}";
const HOLD: &str = "please hold the line while i connect you.";

/// The reasons for which the agent is told that nobody came.
fn missed() -> [(Human, &'static str, &'static str); 3] {
    [
        (Human::Busy, "busy", "their line is busy"),
        (Human::Declines, "busy", "their line is busy"),
        (Human::Unreachable, "failed", "the connection failed"),
    ]
}

/// A pair whose agent's human rings for five seconds, and is asked first.
async fn pair_that_asks() -> Pair {
    let agents = std::env::temp_dir().join(format!("phone-lab-agents-{}.yaml", Entropy::from_os().uuid()));
    let human = "{to: 'sip:desk@pbx.example.test', ring_seconds: 5, screen: true}";
    std::fs::write(&agents, format!("agents: {{desk: {{prompt: Help., transfer: {human}}}}}")).unwrap();
    let pair = start_with(model(), vec![("AGENTS_FILE", agents.display().to_string())]).await;
    std::fs::remove_file(agents).unwrap();
    pair
}

fn model() -> bedrock::Settings {
    let (pace, script) = (Pace::new(0.1).unwrap(), Script::from_yaml(SCRIPT).unwrap());
    bedrock::Settings { pace, script, ..bedrock::Settings::default() }
}

fn options(human: Human) -> CallOptions {
    CallOptions { human, ..CallOptions::default() }
}

/// The second session knows what was said in the first, and what happened since.
fn assert_goes_on(sessions: &[SessionReport], told: &str) {
    let [first, second] = sessions else { panic!("two sessions: {sessions:?}") };
    assert!(first.history.is_empty());
    let remembered: String = second.history.iter().map(|message| message.text.to_lowercase()).collect();
    assert!(remembered.contains("apples") && remembered.contains("a person please"), "{remembered}");
    assert!(second.read.iter().any(|note| note.contains(told)), "{:?}", second.read);
    for session in sessions {
        assert_eq!((&session.violations, &session.end), (&vec![], &Some(SessionEnd::ByTheBook)));
    }
}

fn heard(call: &CallReport) -> Vec<&str> {
    call.heard.iter().map(|utterance| utterance.text.as_str()).collect()
}

fn requests(call: &CallReport) -> Vec<&str> {
    call.timeline.iter().filter_map(requested).collect()
}

fn requested(event: &CallEvent) -> Option<&str> {
    if let Happening::Requested { path, .. } = &event.what { Some(path) } else { None }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_human_the_caller_is_back_in_the_same_conversation() {
    let pair = pair(SCRIPT).await;
    let steps = format!("[{ASKS}, connected, {HEARS_ALL}, {{say: thanks}}, listen, hang_up]");
    let (call, sessions) = play(&pair, caller(&steps), options(Human::default())).await;
    assert_eq!(
        heard(&call),
        ["good morning", "you said apples", "one moment", HOLD, "human here", "welcome back", "you said thanks"]
    );
    assert_goes_on(&sessions, "has spoken with a person");
    assert_eq!(call.end, CallEnd::CallerHungUp);
    // Twilio went on by itself: no socket was closed to it.
    assert_eq!(
        (call.code_numbers(), requests(&call)),
        (vec![], vec!["/incoming-call", "/stream-ended", "/transfer-result"])
    );
    let told: Vec<_> = call.sip_headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let human: Vec<_> = call.parties.iter().flat_map(|party| &party.sip_headers).collect();
    assert!(
        told.is_empty() && human.iter().any(|(name, value)| name == "X-Offhook-Reason" && value == "a refund"),
        "{human:?}"
    );
    let record = record(&pair, &call).await;
    assert_eq!((record.transfers.len(), record.transfers[0].bridged), (1, true));
    assert_eq!((record.outcome.as_str(), record.turns[0].text.as_str()), ("caller_hung_up", "good morning"));
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_could_not_reach_a_human_is_back_with_an_agent_who_knows_why() {
    let pair = pair(SCRIPT).await;
    for (human, status, why) in missed() {
        let steps = format!("[{ASKS}, {HEARS_ALL}, hang_up]");
        let (call, sessions) = play(&pair, caller(&steps), options(human)).await;
        assert_was_missed(&pair, &call, &sessions, status, why).await;
    }
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_human_who_is_asked_hears_who_calls_and_why_and_takes_the_call_with_1() {
    let pair = pair_that_asks().await;
    let takes = "[listen, {press: '1'}, connected, {say: human here}, hang_up]";
    let steps = format!("[{ASKS}, connected, {HEARS_ALL}, hang_up]");
    let human = Human::acts(Duration::from_millis(200), takes).unwrap();
    let (call, sessions) = play(&pair, caller(&steps), options(human)).await;
    let said = "a call from 1 5 5 5 0 1 0 0 0 0 1 for you. a refund. press 1 to take the call.";
    assert_eq!(heard(&call.parties[0])[..1], [said]);
    assert_eq!(heard(&call)[4..], ["human here", "welcome back"], "{call:?}");
    assert_goes_on(&sessions, "has spoken with a person");
    assert_eq!(call.code_numbers(), Vec::<u32>::new());
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_human_who_does_not_take_the_call_never_hears_the_caller_who_is_back_with_an_agent_who_knows_why() {
    let acts = |steps| Human::acts(Duration::from_millis(200), steps).unwrap();
    let declined = "the person did not take the call";
    // Side by side: each waits most of the time.
    join_all([
        does_not_take(acts("[listen, {press: '2'}, {wait: 20s}]"), "5s", "completed", declined),
        does_not_take(acts("[listen, {press: '#'}, {wait: 20s}]"), "5s", "completed", declined),
        does_not_take(acts("[listen, hang_up]"), "5s", "completed", declined),
        does_not_take(acts("[{wait: 60s}]"), "12s", "completed", declined),
        does_not_take(Human::NoAnswer, "8s", "no-answer", "nobody answered"),
    ])
    .await;
}

async fn does_not_take(human: Human, quiet: &str, status: &str, why: &str) {
    let pair = pair_that_asks().await;
    let steps = format!("[{ASKS}, {{listen: {{quiet: {quiet}}}}}, hang_up]");
    let (call, sessions) = play(&pair, caller(&steps), options(human)).await;
    assert!(call.parties.iter().all(|human| human.said.is_empty()), "{call:?}");
    assert_was_missed(&pair, &call, &sessions, status, why).await;
    assert_nothing_left(pair).await;
}

/// The human did not take the call: the agent goes on and says so, knows why, and so does the record.
async fn assert_was_missed(pair: &Pair, call: &CallReport, sessions: &[SessionReport], status: &str, why: &str) {
    assert_eq!(heard(call).last(), Some(&"nobody could come"), "{call:?}");
    assert_goes_on(sessions, why);
    let record = record(pair, call).await;
    let [transfer] = &record.transfers[..] else { panic!("one transfer: {record:?}") };
    assert_eq!((transfer.dial_call_status.as_str(), transfer.bridged), (status, false), "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_human_can_be_asked_for_again_and_again() {
    let pair = pair(SCRIPT).await;
    let again = format!("{{say: a person please}}, connected, {HEARS_ALL}");
    let steps = format!("[listen, {again}, {again}, hang_up]");
    let (call, _) = play(&pair, caller(&steps), options(Human::default())).await;
    let said = ["one moment", HOLD, "human here", "welcome back", "one moment", HOLD, "human here", "welcome back"];
    assert_eq!(heard(&call)[1..], said);
    let record = record(&pair, &call).await;
    assert!(record.transfers.len() == 2 && record.transfers.iter().all(|transfer| transfer.bridged), "{record:?}");
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_into_the_line_and_the_conversation_goes_on() {
    let script = "
greeting: 'good morning'
dialogue:
  - heard: 'were sent into the line'
    reply: 'that is done'
  - heard: menu
    say_first: 'one moment'
    tool: { name: send_digits, input: { digits: '1w2#' } }
";
    let pair = pair(script).await;
    let steps =
        format!("[listen, {{say: the menu}}, {{await_keys: '12#'}}, {HEARS_ALL}, {{say: thanks}}, listen, hang_up]");
    let (call, sessions) = play(&pair, caller(&steps), CallOptions::default()).await;
    assert_eq!(heard(&call), ["good morning", "one moment", "that is done", "you said thanks"]);
    assert_eq!((call.keys_heard.as_str(), call.code_numbers(), sessions.len()), ("12#", vec![], 2));
    assert_nothing_left(pair).await;
}

/// Pitfall 22: a redirect while Twilio dials has it ask for the transfer's result as well, and ignore the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_during_a_transfer_brings_the_caller_back_once() {
    let pair = pair(SCRIPT).await;
    let stays = Human::acts(Duration::from_millis(200), "[connected, {say: human here}, {wait: 60s}]").unwrap();
    let script = caller(&format!("[{ASKS}, connected, {HEARS_ALL}, hang_up]"));
    let (events, mut watched) = tokio::sync::mpsc::channel(256);
    let twilio = pair.twilio.clone();
    let call = tokio::spawn(async move { twilio.call_watched(script, options(stays), events).await });
    while !matches!(watched.recv().await.unwrap().what, Happening::Connected) {}
    let listed = rest(&pair, "GET", "Calls.json", "").await;
    let sid = listed.split("\"sid\":\"").map(|rest| &rest[..34]).filter(|sid| sid.starts_with("CA"));
    let calls: Vec<_> = sid.collect();
    let url = "Url=https%3A%2F%2Fvoice.example.test%2Fstream-ended";
    for sid in calls {
        // The human's leg is no call that could be redirected.
        rest(&pair, "POST", &format!("Calls/{sid}.json"), url).await;
    }
    let call = call.await.unwrap();
    assert_eq!(requests(&call), ["/incoming-call", "/stream-ended", "/transfer-result", "/stream-ended"]);
    assert_eq!((heard(&call).last(), call.stream_sids.len()), (Some(&"welcome back"), 2), "{call:?}");
    assert_eq!(record(&pair, &call).await.transfers.len(), 1);
    assert_nothing_left(pair).await;
}

/// A request to the lab's REST interface, and its answer as it came.
async fn rest(pair: &Pair, method: &str, path: &str, form: &str) -> String {
    let (account, key) = (Account::default().account_sid, ApiKey::default());
    let login = STANDARD.encode(format!("{}:{}", key.sid, key.secret));
    let (address, length) = (pair.rest.address(), form.len());
    let request = format!(
        "{method} /2010-04-01/Accounts/{account}/{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         authorization: Basic {login}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {length}\r\n\r\n{form}"
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Pitfall 7: closing the socket is no hang-up, so that it is enough where nothing else is possible.
#[tokio::test(flavor = "multi_thread")]
async fn without_twilios_rest_interface_a_transfer_works_by_closing_the_socket() {
    let pair = start_with(model(), vec![("TWILIO_API_BASE_URL", "http://127.0.0.1:1".to_owned())]).await;
    let steps = format!("[{ASKS}, connected, {HEARS_ALL}, hang_up]");
    let (call, sessions) = play(&pair, caller(&steps), options(Human::default())).await;
    assert_eq!(heard(&call).last(), Some(&"welcome back"), "{call:?}");
    assert_goes_on(&sessions, "has spoken with a person");
    assert_eq!(call.code_numbers(), [codes::STREAM_CLOSED]);
    assert_nothing_left(pair).await;
}

/// Pitfall 10: whatever the moment, a caller who hangs up leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_at_any_point_of_a_transfer_leaves_nothing_behind() {
    let pair = pair(SCRIPT).await;
    let slow = Human::acts(Duration::from_secs(3), "[connected, {say: human here}, {wait: 20s}]").unwrap();
    let points = [
        ("as it begins", "hang_up".to_owned()),
        ("while the last words play", "{wait: 300ms}, hang_up".to_owned()),
        ("while it rings", "listen, {wait: 1s}, hang_up".to_owned()),
        ("while talking to the human", "connected, listen, hang_up".to_owned()),
    ];
    for (point, then) in points {
        let (call, sessions) = play(&pair, caller(&format!("[{ASKS}, {then}]")), options(slow.clone())).await;
        assert_eq!(call.end, CallEnd::CallerHungUp, "{point}");
        assert_eq!(sessions.len(), 1, "{point}");
        calls_to_end(&pair).await;
        let over = tokio::time::timeout(Duration::from_secs(10), async {
            while record(&pair, &call).await.call_status != "completed" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(over.await.is_ok(), "{point}: the record does not say that the call is over");
        let record = record(&pair, &call).await;
        assert!(!record.ended_at.is_empty() && !record.outcome.is_empty(), "{point}: {record:?}");
    }
    let back = Human::Busy;
    let (call, sessions) = play(&pair, caller(&format!("[{ASKS}, {HEARS_ALL}, hang_up]")), options(back)).await;
    assert_eq!((call.end, sessions.len()), (CallEnd::CallerHungUp, 2));
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_worker_is_lost_during_a_transfer_is_not_left_alone() {
    let pair: Pair = pair(SCRIPT).await;
    let steps = format!("[{ASKS}, connected, listen]");
    let (twilio, human) =
        (pair.twilio.clone(), Human::acts(Duration::from_secs(1), "[connected, {say: human here}, hang_up]"));
    let call = tokio::spawn(async move { twilio.call(caller(&steps), options(human.unwrap())).await });
    while pair.bedrock.reports().first().is_none_or(|session| session.end.is_none()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pair.worker_lifecycle.soft_stop().cancel();
    pair.worker_lifecycle.hard_stop().cancel();
    let call = call.await.unwrap();
    assert_eq!(call.end, CallEnd::HungUpByDocument, "{call:?}");
}
