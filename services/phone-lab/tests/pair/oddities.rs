use phone_lab::{
    bedrock::{self, Fault, Pace, Script, SessionEnd},
    twilio::{CallOptions, Sound},
};

use crate::{
    admin::get,
    support::{assert_nothing_left, caller, calls_to_end, pair, play, record, start},
};

/// What the service has been seen to do beside its documentation, and what a newer model does.
const ODDITIES: [&str; 8] = [
    "early-usage",
    "unknown-event",
    "padding",
    "double-encoded-tool",
    "empty-transcript",
    "audio-bursts",
    "odd-marker",
    "late-final-texts",
];

fn script() -> Script {
    let story = "x".repeat(400);
    let yaml = format!(
        "
greeting: 'good morning'
dialogue:
  - heard: cancel
    tool: {{ name: cancel_reservation, input: {{ reservation_id: R-7 }} }}
    reply: 'cancelled, {{tool.confirmation}}'
  - heard: story
    reply: '{story}'
otherwise: 'you said {{heard}}'
"
    );
    Script::from_yaml(&yaml).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_odd_in_every_known_way_at_once_disturbs_no_call() {
    let faults = ODDITIES.map(|oddity| oddity.parse::<Fault>().unwrap()).into();
    let (pace, script) = (Pace::new(0.1).unwrap(), script());
    let pair =
        start(bedrock::Settings { pace, script, faults, strict_history: true, ..bedrock::Settings::default() }).await;
    let steps = "[listen, say: cancel r-7, listen, say: a story, \
                 {interrupt: {after: 800ms, say: wait a moment}}, listen, hang_up]";
    let (call, sessions) = play(&pair, caller(steps), CallOptions::default()).await;
    let [session] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!((&session.end, &session.violations), (&Some(SessionEnd::ByTheBook), &Vec::new()));
    let heard: Vec<_> = call.heard.iter().map(|heard| heard.text.as_str()).collect();
    assert_eq!(heard[..2], ["good morning", "cancelled, c-7"], "{call:?}");
    assert_eq!((call.clears.len(), *heard.last().unwrap()), (1, "you said wait a moment"), "{call:?}");

    calls_to_end(&pair).await;
    let record = record(&pair, &call).await;
    assert_eq!(record.tools.len(), 1);
    assert!(record.tools[0].input.contains("R-7"), "{:?}", record.tools);
    let said: Vec<_> = record.turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(said[..4], ["good morning", "cancel r-7", "cancelled, C-7", "a story"]);
    assert!(said[4].starts_with("xxx") && said[4].chars().all(|c| c == 'x'), "{said:?}");
    assert_eq!(said[5..], ["wait a moment", "you said wait a moment"]);
    let cut: Vec<_> = record.turns.iter().map(|turn| turn.interrupted).collect();
    assert_eq!(cut, [false, false, false, false, true, false, false]);

    let metrics = get(&pair.admin_urls[1], "/metrics").await;
    let skipped = metrics.lines().find_map(|line| line.strip_prefix("offhook_worker_session_events_skipped_total"));
    let skipped: u32 = skipped.and_then(|line| line.split(' ').next_back()?.parse().ok()).unwrap_or(0);
    assert!(skipped >= 3, "one for each time that the caller spoke: {metrics}");
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_come_in_one_burst_with_the_start_are_heard_by_the_agent() {
    let pair = pair("greeting: 'good morning'\notherwise: 'you said {heard}'\n").await;
    let options = CallOptions { early_media: Some(Sound::words("is anybody there")), ..CallOptions::default() };
    let (_, sessions) = play(&pair, caller("[{ listen: { quiet: 2s } }, hang_up]"), options).await;
    let heard: Vec<_> = sessions[0].heard.iter().map(|heard| heard.text.as_str()).collect();
    assert_eq!(heard, ["is anybody there"]);
    assert_nothing_left(pair).await;
}
