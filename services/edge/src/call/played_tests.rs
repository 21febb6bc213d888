use super::*;

const MS: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "an arbitrary point from which a test's time starts")]
fn start() -> Instant {
    Instant::now()
}

/// Writes these samples at once; where the slices end.
fn write(played: &mut Played, span: Range<u64>, now: Instant) -> Vec<u64> {
    let mut ends = Vec::new();
    let mut first = span.start;
    while first < span.end {
        let end = span.end.min(first + played.next_slice(first, now) as u64);
        played.write(first..end, now);
        ends.push(end);
        first = end;
    }
    ends
}

fn cleared(played: Played) -> Cleared {
    Cleared::new(0, played)
}

#[test]
fn as_much_of_the_agent_is_played_as_comes_of_the_caller() {
    let mut played = Played::default();
    write(&mut played, 0..8_000, start());
    assert_eq!(played.position(5_000), None, "no mark is back yet");
    assert!(played.echoed(160, 5_000));
    assert_eq!(played.position(5_000), None, "no more than the mark says");
    assert_eq!(played.position(5_480), Some(640));
    assert!(!played.echoed(320, 5_480), "that is no news any more");
    assert_eq!(played.position(50_000), Some(8_000), "there was no more");
}

#[test]
fn where_twilio_may_run_dry_a_mark_comes_soon_and_nothing_is_claimed_before_it_is_back() {
    let (mut played, now) = (Played::default(), start());
    assert_eq!(write(&mut played, 0..1_600, now), [160, 960, 1_600]);
    assert_eq!(write(&mut played, 1_600..3_200, now + 100 * MS), [1_760, 2_560, 3_200]);
    played.echoed(160, 0);
    assert_eq!(played.position(9_000), Some(1_600), "the rest may have come too late");
    played.echoed(1_760, 9_000);
    assert_eq!(played.position(9_160), Some(1_920));
}

#[test]
fn what_arrives_well_before_it_is_due_continues_what_was_written() {
    let (mut played, now) = (Played::default(), start());
    write(&mut played, 0..8_000, now);
    assert_eq!(write(&mut played, 8_000..9_000, now + 800 * MS), [8_800, 9_000], "just in time");
    assert_eq!(write(&mut played, 9_000..10_000, now + 800 * MS), [9_760, 10_000], "marks at the ends of frames");
    played.echoed(160, 0);
    assert_eq!(played.position(20_000), Some(10_000));
    assert_eq!(write(&mut played, 10_800..11_000, now + 810 * MS), [10_960, 11_000], "some was lost between");
}

#[test]
fn caller_audio_that_was_late_when_a_mark_came_back_claims_nothing() {
    let mut played = Played::default();
    write(&mut played, 0..8_000, start());
    for (sample, clock) in [(160, 160), (960, 800), (1_760, 1_760)] {
        played.echoed(sample, clock);
    }
    assert_eq!(played.position(2_400), Some(2_400));
}

#[test]
fn caller_audio_that_got_lost_is_forgotten_after_some_marks() {
    let mut played = Played::default();
    write(&mut played, 0..16_000, start());
    for nth in 0..=LEADS as u64 {
        played.echoed(160 + nth * 800, if nth == 0 { 8_000 } else { nth * 800 });
    }
    assert_eq!(played.position(7_200), Some(7_360));
}

#[test]
fn a_mark_within_a_frame_tells_no_more_than_that_it_was_played() {
    let mut played = Played::default();
    write(&mut played, 0..1_000, start());
    write(&mut played, 1_000..4_000, start());
    played.echoed(960, 960);
    assert!(played.echoed(1_000, 1_120), "it is over with the frame that it is in");
    assert_eq!(played.position(1_280), Some(1_280));
}

#[test]
fn marks_that_come_back_when_they_are_due_were_played_and_the_first_that_does_not_is_flushed() {
    let mut played = Played::default();
    write(&mut played, 0..8_000, start());
    played.echoed(160, 0);
    let mut cleared = cleared(played);
    assert_eq!(cleared.echoed(960, 800), Late::Played(960));
    assert_eq!(cleared.echoed(960, 960), Late::Unclear, "it was played already");
    assert_eq!(cleared.echoed(1_760, 1_120), Late::Over(Some(1_280)));
}

#[test]
fn the_first_mark_after_silence_is_believed_once_twilio_has_gone_on() {
    let begun = || {
        let mut played = Played::default();
        write(&mut played, 0..8_000, start());
        cleared(played)
    };
    let mut flushed = begun();
    assert_eq!(flushed.echoed(160, 800), Late::Unclear);
    assert_eq!(flushed.echoed(960, 800), Late::Over(None), "they came together");
    let mut went_on = begun();
    assert_eq!(went_on.echoed(160, 800), Late::Unclear);
    assert_eq!(went_on.echoed(960, 1_120), Late::Over(Some(480)));
    let mut went_on = begun();
    assert_eq!(went_on.echoed(160, 800), Late::Unclear);
    assert_eq!(went_on.echoed(960, 1_600), Late::Played(960));
    assert_eq!(went_on.flushed(1_760), Late::Over(Some(1_120)));
    let mut alone = begun();
    assert_eq!(alone.echoed(160, 800), Late::Unclear);
    assert_eq!(alone.flushed(800), Late::Over(None));
}

#[test]
fn a_mark_that_is_a_frame_early_is_believed_once_twilio_has_gone_on() {
    let early = || {
        let mut played = Played::default();
        write(&mut played, 0..8_000, start());
        played.echoed(160, 0);
        let mut cleared = cleared(played);
        assert_eq!(cleared.echoed(960, 640), Late::Unclear);
        cleared
    };
    assert_eq!(early().echoed(1_760, 640), Late::Over(Some(800)), "the marks came together");
    assert_eq!(early().echoed(1_760, 1_600), Late::Played(1_760));
    assert_eq!(early().flushed(800), Late::Over(Some(960)));
}

#[test]
fn seams_that_nothing_is_ever_heard_of_do_not_gather_without_end() {
    let (mut played, mut now) = (Played::default(), start());
    for nth in 0..10_000 {
        write(&mut played, nth * 80..(nth + 1) * 80, now);
        now += 10 * MS;
    }
    assert_eq!(played.seams.len(), SEAMS);
}
