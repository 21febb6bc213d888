//! The tables of rules and behaviours in the documentation are complete, and say of each what is true.

use std::collections::BTreeSet;

use phone_lab::bedrock::Waived;

use crate::documentation::{self, quoted, read, section};

const RULES: u8 = 55;
const BEHAVIOURS: u8 = 10;

struct Row {
    number: u8,
    confidence: String,
    switches: Vec<String>,
    tests: Vec<String>,
}

/// The cells of a table's rows, headings included.
fn cells(section: &str) -> Vec<Vec<String>> {
    let row = |line: &str| {
        let row = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(row.split('|').map(|cell| cell.trim().to_owned()).collect())
    };
    section.lines().filter_map(row).collect()
}

/// The rows of this section's table that have a number, and the cells after it.
fn table(name: &str) -> Vec<(u8, Vec<String>)> {
    let row = |cells: Vec<String>| Some((cells.first()?.parse().ok()?, cells[1..].to_vec()));
    cells(&section(name)).into_iter().filter_map(row).collect()
}

fn rows() -> Vec<Row> {
    let row = |(number, cells): (u8, Vec<String>)| {
        let [_, _, confidence, switch, test] = &cells[..] else { panic!("not five cells: {number} {cells:?}") };
        Row { number, confidence: confidence.into(), switches: quoted(switch), tests: quoted(test) }
    };
    table("Rules").into_iter().map(row).collect()
}

#[test]
fn the_table_has_every_rule_once_and_in_order() {
    let numbers: Vec<_> = rows().iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=RULES).collect::<Vec<_>>());
}

/// The names of all tests of the simulated Bedrock.
fn tests() -> BTreeSet<String> {
    documentation::tests(["src/bedrock", "tests/bedrock"], ["#[test]\n", "#[tokio::test]\n"])
}

#[test]
fn every_rule_has_its_confidence_and_a_test_that_exists() {
    let known = tests();
    for Row { number, confidence, tests, .. } in rows() {
        assert!(["S", "G", "X", "S/X", "G/X"].contains(&confidence.as_str()), "rule {number}: {confidence}");
        assert!(!tests.is_empty(), "rule {number} has no test");
        for test in tests {
            assert!(known.contains(&test), "rule {number}: there is no test {test}");
        }
    }
}

#[test]
fn every_behaviour_is_there_once_in_order_with_tests_that_exist() {
    let (known, table) = (tests(), table("Behaviours"));
    let numbers: Vec<_> = table.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=BEHAVIOURS).collect::<Vec<_>>());
    for (number, cells) in table {
        let [_, test] = &cells[..] else { panic!("not two cells: {number} {cells:?}") };
        let tests = quoted(test);
        assert!(!tests.is_empty(), "behaviour {number} has no test");
        for test in tests {
            assert!(known.contains(&test), "behaviour {number}: there is no test {test}");
        }
    }
}

#[test]
fn every_doubtful_rule_has_a_switch_and_every_switch_exists() {
    let settings = read("src/bedrock/settings.rs");
    for Row { number, confidence, switches, .. } in rows() {
        let waivable = Waived::NONE.and(number).is_some();
        assert_eq!(switches.contains(&"waive".to_owned()), waivable, "rule {number}");
        // There is no other operation that a request could be for.
        assert!(!confidence.contains('X') || !switches.is_empty() || number == 1, "rule {number} cannot be switched");
        for field in switches.iter().filter(|switch| *switch != "waive") {
            assert!(settings.contains(&format!("    pub {field}: ")), "rule {number}: there is no setting {field}");
        }
    }
}

#[test]
fn every_fault_is_in_the_table_with_tests_that_exist() {
    let (known, mut named) = (tests(), BTreeSet::new());
    let table = cells(&section("Faults of the simulated Bedrock"));
    for row in &table[2..] {
        let [faults, _, test] = &row[..] else { panic!("not three cells: {row:?}") };
        named.extend(quoted(faults).iter().map(|fault| fault.split('=').next().unwrap().to_owned()));
        let tests = quoted(test);
        assert!(!tests.is_empty(), "{faults} has no test");
        tests.iter().for_each(|test| assert!(known.contains(test), "{faults}: there is no test {test}"));
    }
    let source = read("src/bedrock/fault/parse.rs");
    let names = source.split("fn named(").nth(1).unwrap().split("\n}\n").next().unwrap();
    let arm = |line: &str| Some(line.trim().strip_prefix('"')?.split_once('"')?.0.to_owned());
    assert_eq!(named, names.lines().filter_map(arm).collect());
}
