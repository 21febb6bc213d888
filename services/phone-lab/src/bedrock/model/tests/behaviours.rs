//! How the service behaves, figure by figure and field by field.

use super::*;

/// A reply of two sentences.
const TWO: &str = "dialogue: [{ heard: two, reply: 'one sentence. and another one.' }]";

/// The name and fields of each event.
fn parsed(events: &[String]) -> Vec<(String, Value)> {
    let parse = |json: &String| {
        let event: Value = serde_json::from_str(json).unwrap();
        let (name, fields) = event["event"].as_object().unwrap().iter().next().unwrap();
        (name.clone(), fields.clone())
    };
    events.iter().map(parse).collect()
}

/// The blocks as the client sees them close: type, role and stage, stop reason.
fn blocks(events: &[String]) -> Vec<String> {
    let mut open = String::new();
    let mut blocks = Vec::new();
    for (name, fields) in parsed(events) {
        let text = |field: &str| fields[field].as_str().unwrap_or_default().to_owned();
        match name.as_str() {
            "contentStart" => {
                assert_eq!(open, "", "one block at a time");
                let stage = text("additionalModelFields");
                open = format!("{} {} {}", text("type"), text("role"), stage.split('"').nth(3).unwrap_or("-"));
            }
            "contentEnd" => blocks.push(format!("{} {}", std::mem::take(&mut open), text("stopReason"))),
            "completionStart" | "completionEnd" => blocks.push(name),
            _ => {}
        }
    }
    blocks
}

#[test]
fn a_turn_is_made_of_the_documented_blocks() {
    let mut rig = Rig::playing(TWO);
    rig.say("two");
    rig.silence(4000 * MS);
    let turn = [
        "TEXT USER FINAL PARTIAL_TURN",
        "TEXT ASSISTANT SPECULATIVE PARTIAL_TURN",
        "AUDIO ASSISTANT - PARTIAL_TURN",
        "TEXT ASSISTANT SPECULATIVE PARTIAL_TURN",
        "AUDIO ASSISTANT - END_TURN",
    ];
    assert_eq!(blocks(&rig.sent), [&["completionStart"], &turn[..]].concat());
    rig.sent.clear();
    rig.silence(4000 * MS);
    rig.sent.clear();
    rig.say("two");
    rig.silence(4000 * MS);
    assert_eq!(blocks(&rig.sent), turn, "completionStart brackets the session, not the turn");
    rig.silence(4000 * MS);
    rig.sent.clear();
    rig.input(Input::AudioClosed);
    assert_eq!(blocks(&rig.sent), [""; 0]);
    rig.input(Input::PromptEnded);
    assert_eq!(blocks(&rig.sent), ["completionEnd"]);
}

#[test]
fn final_texts_come_late_with_odd_stop_reasons_or_at_the_next_input() {
    let finals = ["TEXT ASSISTANT FINAL END_TURN", "TEXT ASSISTANT FINAL PARTIAL_TURN"];
    let mut rig = Rig::playing(TWO);
    rig.say("two");
    rig.silence(2500 * MS);
    let spoken = rig.start + rig.audio_at;
    rig.sent.clear();
    rig.wait(spoken + 2600 * MS - rig.now);
    assert_eq!(blocks(&rig.sent), [""; 0]);
    rig.wait(spoken + 9000 * MS - rig.now);
    assert_eq!(blocks(&rig.sent), finals);

    let mut rig = Rig::playing(TWO);
    rig.say("two");
    // All of it was played (31 characters), and the earlier FINAL texts are not due yet.
    rig.silence(3400 * MS);
    rig.sent.clear();
    rig.input(Input::LiveText("go on".into()));
    assert_eq!(blocks(&rig.sent), finals);
}

#[test]
fn audio_comes_faster_than_it_plays_at_the_rate_that_was_asked_for() {
    for (output_rate, hertz) in
        [(SampleRate::Hz8000, 8000), (SampleRate::Hz16000, 16_000), (SampleRate::Hz24000, 24_000)]
    {
        let mut rig = Rig::playing("otherwise: 'a sentence that takes more than a second to be said.'");
        let tools = Vec::new();
        rig.input(Input::PromptStarted { prompt: "P".into(), output_rate, tools });
        rig.say("hi there");
        let (mut first, mut bytes) = (None, 0);
        for _ in 0..300 {
            rig.silence(20 * MS);
            let audio = parsed(&std::mem::take(&mut rig.sent)).into_iter().filter(|(name, _)| name == "audioOutput");
            let lengths = audio.map(|(_, fields)| fields["content"].as_str().unwrap().len() / 4 * 3);
            bytes += lengths.sum::<usize>();
            first = first.or((bytes > 0).then_some(rig.audio_at));
        }
        // Padding of base64 counts for up to 2 bytes an event.
        let plays = Duration::from_millis((bytes / 2 * 1000 / hertz) as u64);
        let took = rig.audio_at - first.unwrap();
        assert!(plays > 1000 * MS && took * 3 < plays && plays < took * 6, "{hertz}: {took:?} for {plays:?}");
    }
}

#[test]
fn text_that_arrives_in_the_tail_of_a_reply_interrupts_it() {
    let mut rig = Rig::playing("otherwise: 'a sentence that takes more than a second to be said.'");
    rig.say("hi there");
    rig.silence(2600 * MS);
    assert_eq!(rig.events().last().unwrap(), "AUDIO END_TURN", "all of it was sent, and not all was played");
    rig.input(Input::LiveText("user pressed: 1".into()));
    assert_eq!(rig.events(), ["ASSISTANT FINAL", r#"{ "interrupted" : true }"#, "TEXT INTERRUPTED"]);
    rig.wait(9000 * MS);
    rig.events();
    rig.input(Input::LiveText("user pressed: 2".into()));
    assert!(!rig.events().contains(&"TEXT INTERRUPTED".to_owned()), "nothing was left to interrupt");
}

#[test]
fn each_sensitivity_has_its_pause() {
    for (sensitivity, millis) in [(Sensitivity::High, 1500), (Sensitivity::Medium, 1750), (Sensitivity::Low, 2000)] {
        let mut rig = Rig::new();
        rig.input(Input::SessionStarted { sensitivity });
        let mut rig = rig.listen();
        rig.say("hi there");
        rig.silence(Duration::from_millis(millis) - 20 * MS);
        assert!(rig.notes.iter().all(|note| !matches!(note, Note::Heard(_))), "{sensitivity:?}");
        rig.silence(20 * MS);
        assert!(rig.notes.iter().any(|note| matches!(note, Note::Heard(_))), "{sensitivity:?}");
        assert_eq!(rig.events(), [""; 0]);
        rig.wait(100 * MS);
        assert_eq!(rig.events(), ["completionStart", "USER FINAL", "hi there"]);
    }
}

#[test]
fn text_is_answered_after_720_to_1120_ms() {
    let first_audio = |rig: &mut Rig| {
        let asked = rig.now;
        rig.input(Input::LiveText("go on".into()));
        let before = rig.audio_at;
        while rig.audio_at == before {
            rig.wait(MS);
        }
        rig.start + rig.audio_at - asked
    };
    let mut rig = Rig::listening();
    rig.silence(100 * MS);
    let mut delays = Vec::new();
    for _ in 0..20 {
        delays.push(first_audio(&mut rig));
        rig.silence(4000 * MS);
    }
    assert!(delays.iter().all(|delay| (720 * MS..=1121 * MS).contains(delay)), "{delays:?}");
    assert!(delays.iter().max() > delays.iter().min().map(|least| *least + 50 * MS).as_ref(), "{delays:?}");
}

/// The counts of one usage event's `delta` or `total`, in the order of [`Usage`].
fn counts(fields: &Value, of: &str) -> [u64; 4] {
    let details = &fields["details"][of];
    let count = |way: &str, kind: &str| details[way][kind].as_u64().unwrap();
    [
        count("input", "speechTokens"),
        count("input", "textTokens"),
        count("output", "speechTokens"),
        count("output", "textTokens"),
    ]
}

#[test]
fn usage_adds_up_event_by_event_and_silence_adds_nothing() {
    let mut rig = Rig::listening();
    rig.say("cancel it");
    rig.silence(4000 * MS);
    rig.answer_tool(r#"{"id":"R-7"}"#);
    rig.silence(5000 * MS);
    rig.say("tell me a very long story, if you please, and take your time over it");
    rig.silence(2300 * MS);
    rig.say("stop that now");
    rig.silence(9000 * MS);
    let usages = |rig: &Rig| parsed(&rig.sent).into_iter().filter(|(name, _)| name == "usageEvent").collect::<Vec<_>>();
    let before_silence = usages(&rig).len();
    rig.silence(40_000 * MS);
    rig.input(Input::AudioClosed);
    rig.input(Input::PromptEnded);
    let usages = usages(&rig);
    let mut sums = [0; 4];
    for (at, (_, fields)) in usages.iter().enumerate() {
        let delta = counts(fields, "delta");
        sums.iter_mut().zip(delta).for_each(|(sum, delta)| *sum += delta);
        assert_eq!(counts(fields, "total"), sums);
        let totals =
            ["totalInputTokens", "totalOutputTokens", "totalTokens"].map(|name| fields[name].as_u64().unwrap());
        assert_eq!(totals, [sums[0] + sums[1], sums[2] + sums[3], sums.iter().sum()]);
        assert!(at < before_silence || delta == [0; 4], "silence is free: {delta:?}");
    }
    assert!(sums.iter().all(|sum| *sum > 0) && usages.len() > before_silence, "{sums:?}");
    let Usage { input_speech, input_text, output_speech, output_text } = rig.model.usage;
    assert_eq!(sums, [input_speech, input_text, output_speech, output_text]);
    let names = parsed(&rig.sent).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let apart = names.split(|name| name == "usageEvent").map(<[String]>::len).max().unwrap();
    assert!(apart < 25, "a usage event comes every few events: {names:?}");
}

#[test]
fn every_event_names_its_session_prompt_completion_and_content() {
    let mut rig =
        Rig::playing("dialogue: [{ heard: cancel, tool: { name: cancel, filler: 'one moment.' }, reply: done }]");
    rig.say("cancel it");
    rig.silence(4000 * MS);
    rig.answer_tool("{}");
    rig.silence(9000 * MS);
    rig.input(Input::AudioClosed);
    rig.input(Input::PromptEnded);
    let events = parsed(&rig.sent);
    let uuid = |fields: &Value, name: &str| Uuid::parse_str(fields[name].as_str().unwrap()).unwrap();
    let completion = uuid(&events[0].1, "completionId");
    let (mut open, mut seen) = (None, Vec::new());
    for (name, fields) in &events {
        assert_eq!((uuid(fields, "sessionId"), fields["promptName"].as_str()), (Uuid::nil(), Some("P")), "{name}");
        assert_eq!(uuid(fields, "completionId"), completion, "{name}");
        match name.as_str() {
            "contentStart" => {
                let content = uuid(fields, "contentId");
                assert!(!seen.contains(&content), "each block has an id of its own");
                seen.push(content);
                open = Some(content);
            }
            "textOutput" | "audioOutput" | "toolUse" => assert_eq!(open, Some(uuid(fields, "contentId")), "{name}"),
            "contentEnd" => assert_eq!(open.take(), Some(uuid(fields, "contentId"))),
            _ => assert_eq!(fields.get("contentId"), None, "{name}"),
        }
    }
    assert!(seen.len() >= 8 && events.iter().any(|(name, _)| name == "usageEvent"));
}

#[test]
fn limits_beyond_all_time_are_none() {
    let settings = Settings { idle_limit: Duration::MAX, session_limit: Some(Duration::MAX), ..Settings::default() };
    let mut rig = Rig::set_up(settings, Generation::V2, &[]);
    assert_eq!(rig.model.poll_deadline(), None);
    rig.wait(100_000 * MS);
    assert_eq!(rig.events(), [""; 0]);
}
