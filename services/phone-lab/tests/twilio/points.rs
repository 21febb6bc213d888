//! The table of points in the documentation is complete, and every test it names exists. So is the table of codes.

use std::{collections::BTreeSet, path::Path};

use crate::documentation::{self, quoted, read, section};

const POINTS: u8 = 29;

struct Row {
    number: u8,
    places: Vec<String>,
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let number = cells.get(1)?.parse().ok()?;
        let [_, _, _, place, test, _] = cells[..] else { panic!("not four cells: {line}") };
        Some(Row { number, places: quoted(place), tests: quoted(test) })
    };
    section("Point by point").lines().filter_map(row).collect()
}

/// The names of all tests of the simulated Twilio.
fn tests() -> BTreeSet<String> {
    documentation::tests(["src/twilio", "tests/twilio"], ["#[test]\n", "#[tokio::test(start_paused = true)]\n"])
}

#[test]
fn the_table_has_every_point_once_and_in_order() {
    let numbers: Vec<_> = rows().iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=POINTS).collect::<Vec<_>>());
}

#[test]
fn every_point_has_a_place_and_a_test_that_exist() {
    let tests = tests();
    assert!(tests.contains("every_point_has_a_place_and_a_test_that_exist"), "this test finds itself");
    let twilio = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/twilio");
    for Row { number, places, tests: named } in rows() {
        assert!(!places.is_empty() && !named.is_empty(), "point {number} has no place or no test");
        for place in places {
            let exists = twilio.join(format!("{place}.rs")).exists();
            assert!(exists, "point {number}: there is no module {place}");
        }
        for test in named {
            assert!(tests.contains(&test), "point {number}: there is no test {test}");
        }
    }
}

#[test]
fn every_code_of_the_simulated_twilio_is_in_the_documentation() {
    let page = section("Codes of the simulated Twilio");
    let cells = page.lines().filter_map(|line| line.split('|').nth(1));
    let listed: BTreeSet<u32> =
        cells.flat_map(|cell| cell.split(',')).filter_map(|code| code.trim().parse().ok()).collect();
    let codes = read("src/twilio/codes.rs");
    let defined = codes.lines().filter_map(|line| line.strip_prefix("pub const ")?.split("= ").nth(1));
    let defined: BTreeSet<u32> = defined.map(|code| code.trim_end_matches(';').parse().unwrap()).collect();
    assert_eq!(listed, defined);
}
