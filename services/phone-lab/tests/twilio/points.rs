//! The table of points in the documentation is complete, and every test it names exists. So is the table of codes.

use std::{collections::BTreeSet, fs, path::Path};

const POINTS: u8 = 29;

struct Row {
    number: u8,
    places: Vec<String>,
    tests: Vec<String>,
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn section(title: &str) -> String {
    let page = read("../../docs/phone-lab.md");
    let found = page.split("\n## ").find(|section| section.starts_with(&format!("{title}\n")));
    found.unwrap_or_else(|| panic!("no section {title:?}")).to_owned()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
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

/// All Rust text below this folder of the crate.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The names of all tests of the simulated Twilio.
fn tests() -> BTreeSet<String> {
    let mut text = String::new();
    for folder in ["src/twilio", "tests/twilio"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut text);
    }
    let mut names = BTreeSet::new();
    for attribute in ["#[test]\n", "#[tokio::test(start_paused = true)]\n"] {
        for code in text.split(attribute).skip(1) {
            let function = code.trim_start().trim_start_matches("async ").strip_prefix("fn ");
            names.extend(function.and_then(|function| function.split('(').next()).map(str::to_owned));
        }
    }
    names
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
