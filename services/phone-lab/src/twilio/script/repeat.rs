//! Steps that are done again and again, each time with the next number in what is said.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess},
};

use super::{Sound, Step, Written};

/// Nobody's call has more.
const MOST: usize = 10_000;
/// Where the number stands.
const NUMBER: &str = "{n}";

/// A list of steps, among them `repeat: { times: N, steps: [...] }`.
pub(in super::super) fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    let written = Vec::<Written>::deserialize(deserializer)?;
    Ok(written.into_iter().flat_map(Written::steps).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    times: usize,
    steps: Vec<Step>,
}

/// The steps that the next value of a map repeats.
pub(super) fn repeated<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<Step>, A::Error> {
    let Repeat { times, steps } = map.next_value()?;
    if !(1..=MOST).contains(&times) {
        return Err(A::Error::custom(format!("repeat: times is from 1 to {MOST}")));
    }
    Ok((1..=times).flat_map(|number| steps.iter().map(move |step| numbered(step, number))).collect())
}

fn numbered(step: &Step, number: usize) -> Step {
    let with_number = |sound: &Sound| match sound.text() {
        text if !sound.recorded && text.contains(NUMBER) => Sound::words(&text.replace(NUMBER, &number.to_string())),
        _ => sound.clone(),
    };
    match step {
        Step::Say(sound) => Step::Say(with_number(sound)),
        Step::Interrupt { after, say } => Step::Interrupt { after: *after, say: with_number(say) },
        Step::Hear(words) => Step::Hear(words.replace(NUMBER, &number.to_string())),
        Step::Listen(_) | Step::Press(_) | Step::AwaitKeys(_) | Step::Connected | Step::Wait(_) | Step::HangUp => {
            step.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::CallerScript, *};

    fn steps(steps: &str) -> Result<Vec<Step>, String> {
        let read = CallerScript::from_yaml(&format!("from: a\nto: b\nsteps: {steps}"));
        read.map(|script| script.steps).map_err(|error| error.to_string())
    }

    #[test]
    fn repeated_steps_say_the_next_number() {
        let once = "{ say: 'word {n}' }, { interrupt: { after: 1s, say: '{n}' } }, { hear: 'said {n}' }, { play: yes_please.wav }";
        let read = steps(&format!("[{{ repeat: {{ times: 2, steps: [{once}] }} }}, hang_up]")).unwrap();
        let of = |n: &str| {
            let say = Sound::words(n);
            [
                Step::Say(Sound::words(&format!("word {n}"))),
                Step::Interrupt { after: std::time::Duration::from_secs(1), say },
                Step::Hear(format!("said{n}")),
                Step::Say(Sound::recording("yes_please.wav").unwrap()),
            ]
        };
        assert_eq!(read, [&of("1")[..], &of("2"), &[Step::HangUp]].concat());
    }

    #[test]
    fn what_cannot_be_repeated_is_refused() {
        for (wrong, complaint) in [
            ("[{ repeat: { times: 0, steps: [listen] } }]", "times is from 1 to 10000"),
            ("[{ repeat: { times: 10001, steps: [listen] } }]", "times is from 1 to 10000"),
            ("[{ repeat: { times: 2, steps: [shout] } }]", "unknown variant `shout`"),
            ("[{ repeat: { times: 2, steps: [{ repeat: { times: 2, steps: [listen] } }] } }]", "not in another repeat"),
            ("[{ repeat: { steps: [listen] } }]", "times"),
            ("[{ repeat: { times: 2, steps: [listen] }, listen: {} }]", "begin each with a dash"),
            ("[{ listen: { quiet: 1s }, repeat: { times: 2, steps: [listen] } }]", "begin each with a dash"),
        ] {
            let error = steps(wrong).unwrap_err();
            assert!(error.contains(complaint), "{wrong}: {error}");
        }
    }
}
