use super::*;

#[expect(clippy::disallowed_methods, reason = "an arbitrary point from which a test's time starts")]
fn start() -> Instant {
    Instant::now()
}

fn speak(first_sample: u64, samples: usize, epoch: u32) -> Speak {
    Speak { first_sample, mulaw: Bytes::from(vec![epoch as u8; samples]), epoch }
}

fn drain(playout: &mut Playout, now: Instant) -> Vec<String> {
    let show = |play| match play {
        Play::Clear => "clear".to_owned(),
        Play::Audio(mulaw) => format!("audio {}", mulaw.len()),
        Play::Mark(name) => format!("mark {name}"),
    };
    std::iter::from_fn(|| playout.poll(now).map(show)).collect()
}

/// The only news in an echo.
fn echoed(playout: &mut Playout, name: &str) -> Option<MarkName> {
    let mut news = playout.echoed(name);
    let first = news.next();
    assert_eq!(news.next(), None, "{name}");
    first
}

fn heard(sample: u64, epoch: u32) -> Option<MarkName> {
    Some(MarkName { epoch, sample })
}

#[test]
fn audio_goes_out_at_once_in_slices_with_a_mark_behind_each() {
    let mut playout = Playout::default();
    playout.speak(speak(0, 1000, 0));
    playout.speak(speak(1000, 160, 0));
    let written = drain(&mut playout, start());
    let audio = ["audio 160", "audio 800", "audio 40", "audio 160"];
    let marks = ["mark 0:160", "mark 0:960", "mark 0:1000", "mark 0:1160"];
    assert_eq!(written, audio.iter().zip(marks).flat_map(|(audio, mark)| [*audio, mark]).collect::<Vec<_>>());
}

#[test]
fn an_echo_moves_the_heard_position_forward_only() {
    let mut playout = Playout::default();
    playout.speak(speak(0, 2400, 0));
    drain(&mut playout, start());
    assert_eq!(echoed(&mut playout, "0:960"), heard(960, 0));
    assert_eq!(echoed(&mut playout, "0:960"), None);
    assert_eq!(echoed(&mut playout, "0:2400"), heard(2400, 0));
    assert_eq!(echoed(&mut playout, "0:1760"), None);
}

#[test]
fn an_echo_of_what_was_never_sent_proves_nothing() {
    let mut playout = Playout::default();
    assert_eq!(echoed(&mut playout, "0:800"), None);
    playout.speak(speak(0, 800, 0));
    assert_eq!(echoed(&mut playout, "0:800"), None, "queued is not sent");
    drain(&mut playout, start());
    for foreign in ["0:1600", "1:800", "greeting", "", ":", "0:-1", "0:99999999999999999999"] {
        assert_eq!(echoed(&mut playout, foreign), None, "{foreign}");
    }
}

#[test]
fn a_hush_clears_first_and_forgets_what_was_queued() {
    let mut playout = Playout::default();
    playout.speak(speak(0, 1600, 0));
    assert_eq!(playout.poll(start()), Some(Play::Audio(Bytes::from(vec![0; 160]))));
    assert!(playout.hush(1));
    playout.speak(speak(1600, 160, 0));
    playout.speak(speak(1600, 160, 1));
    assert_eq!(drain(&mut playout, start()), ["clear", "mark 1:160", "audio 160", "mark 1:1760"]);
    assert_eq!(echoed(&mut playout, "1:160"), heard(160, 1), "the clear has arrived, and nothing was heard");
    assert_eq!(echoed(&mut playout, "1:1760"), heard(1760, 1));
}

#[test]
fn what_twilio_plays_until_the_clear_arrives_is_heard_and_what_the_clear_flushes_is_not() {
    let mut playout = Playout::default();
    playout.speak(speak(0, 8000, 0));
    drain(&mut playout, start());
    assert_eq!(echoed(&mut playout, "0:160"), heard(160, 0));
    playout.hush(1);
    playout.caller_sent(800);
    assert_eq!(echoed(&mut playout, "0:960"), heard(960, 0), "it came when it was due");
    playout.caller_sent(320);
    assert_eq!(echoed(&mut playout, "0:1760"), heard(1280, 0), "it came before");
    for flushed in ["0:2560", "0:8000"] {
        assert_eq!(echoed(&mut playout, flushed), None, "{flushed}");
    }
    assert_eq!(echoed(&mut playout, "1:8000"), heard(8000, 1), "nothing more is to come of the old epoch");
}

#[test]
fn the_mark_behind_the_clear_tells_where_the_audio_stopped_if_no_other_does() {
    let mut playout = Playout::default();
    playout.speak(speak(0, 960, 0));
    drain(&mut playout, start());
    echoed(&mut playout, "0:160");
    playout.hush(1);
    playout.caller_sent(320);
    let news: Vec<_> = playout.echoed("1:960").collect();
    assert_eq!(news, [heard(480, 0).unwrap(), heard(960, 1).unwrap()]);
}

#[test]
fn an_epoch_in_which_nothing_was_written_does_not_set_the_positions_back() {
    let mut playout = Playout::default();
    playout.speak(speak(0, 960, 0));
    drain(&mut playout, start());
    playout.hush(1);
    playout.hush(2);
    assert_eq!(drain(&mut playout, start()), ["clear", "mark 2:960"]);
    assert_eq!(echoed(&mut playout, "2:960"), heard(960, 2));
}

#[test]
fn when_the_stream_stops_the_clock_tells_more_than_the_last_mark() {
    let mut playout = Playout::default();
    playout.speak(speak(0, 1600, 0));
    drain(&mut playout, start());
    assert_eq!(playout.stopped(), None, "nothing is known to have been played");
    echoed(&mut playout, "0:160");
    playout.caller_sent(480);
    assert_eq!(playout.stopped(), heard(640, 0));
    playout.caller_sent(8000);
    assert_eq!(playout.stopped(), heard(1600, 0), "there was no more");
}

#[test]
fn a_hush_of_an_epoch_that_is_over_does_nothing() {
    let mut playout = Playout::default();
    assert!(!playout.hush(0));
    assert!(playout.hush(1));
    drain(&mut playout, start());
    assert!(!playout.hush(1));
    assert_eq!(playout.poll(start()), None);
}

#[test]
fn a_slow_socket_loses_the_oldest_audio() {
    let mut playout = Playout::default();
    for second in 0..61 {
        playout.speak(speak(second * 8000, 8000, 0));
    }
    assert_eq!((playout.take_dropped(), playout.take_dropped()), (10, 0));
    let written = drain(&mut playout, start());
    assert_eq!(written[..2], ["audio 160", "mark 0:8160"]);
    assert_eq!(written.last().map(String::as_str), Some("mark 0:488000"));
}

#[test]
fn all_is_finished_once_the_last_mark_is_back() {
    let (mut playout, now) = (Playout::default(), start());
    assert!(playout.is_finished());
    playout.speak(speak(0, 1600, 0));
    assert!(!playout.is_finished());
    drain(&mut playout, now);
    echoed(&mut playout, "0:960");
    assert!(!playout.is_finished());
    echoed(&mut playout, "0:1600");
    assert!(playout.is_finished());
}

#[test]
fn what_remains_counts_twilios_buffer_and_our_queue() {
    let (mut playout, now) = (Playout::default(), start());
    playout.speak(speak(0, 8000, 0));
    drain(&mut playout, now);
    playout.speak(speak(8000, 4000, 0));
    assert_eq!(playout.remaining(now + Duration::from_millis(400)), Duration::from_millis(1100));
    drain(&mut playout, now + Duration::from_millis(400));
    assert_eq!(playout.remaining(now + Duration::from_millis(400)), Duration::from_millis(1100));
    assert_eq!(playout.remaining(now + Duration::from_secs(9)), Duration::ZERO);
    playout.hush(1);
    assert_eq!(playout.remaining(now), Duration::ZERO);
}

#[test]
fn positions_at_the_end_of_the_numbers_do_not_overflow() {
    let mut playout = Playout::default();
    playout.speak(speak(u64::MAX - 1, 1600, 0));
    playout.speak(speak(5, 8000, 0));
    assert!(!drain(&mut playout, start()).is_empty());
    echoed(&mut playout, &format!("0:{}", u64::MAX));
    echoed(&mut playout, "0:165");
    playout.caller_sent(160);
    playout.hush(1);
    echoed(&mut playout, "0:965");
    echoed(&mut playout, "1:0");
}
