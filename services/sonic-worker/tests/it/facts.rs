//! The tables beside the model's code and beside Twilio's are complete, and what they name is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Beside the model's code.
const MODEL: &str = "sonic-worker/src/nova/README.md";
/// Beside Twilio's.
const TWILIO: &str = "edge/src/twilio/README.md";
/// Tables whose rows are numbered, and how many there are.
const NUMBERED: [(&str, &str, usize); 3] = [(MODEL, "Rules", 55), (MODEL, "Pitfalls", 37), (TWILIO, "Pitfalls", 30)];
const CANNOT: &str = "cannot concern us: ";

/// The folder of all services.
fn services() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of the table under this heading of a page, without its head.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(services().join(page)).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n"))).unwrap();
    let row = |line: &str| {
        let row = line.strip_prefix("| ")?.strip_suffix('|')?;
        Some(row.split('|').map(|cell| cell.trim().to_owned()).collect())
    };
    section.lines().filter_map(row).skip(1).collect()
}

/// What stands between backquotes, with what stands in brackets right behind it.
fn quoted(cell: &str) -> Vec<(&str, Option<&str>)> {
    let parts: Vec<_> = cell.split('`').collect();
    let behind = |at: usize| Some(parts.get(at)?.strip_prefix(" (")?.split_once(')')?.0);
    (1..parts.len()).step_by(2).map(|at| (parts[at], behind(at + 1))).collect()
}

/// The names of all tests below a folder.
fn tests_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(tests_of(&fs::read_to_string(path).unwrap()));
        }
    }
}

fn tests_of(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(function) = line.trim_start_matches("async ").strip_prefix("fn ") {
            names.extend(is_test.then(|| function.split('(').next().map(str::to_owned)).flatten());
            is_test = false;
        }
    }
    names
}

/// The service that a page is about.
fn service(page: &str) -> PathBuf {
    services().join(page.split('/').next().unwrap())
}

/// Where the tests of a name in brackets are.
fn folder(page: &str, target: Option<&str>) -> PathBuf {
    match target {
        None => service(page).join("src"),
        Some("it") => service(page).join("tests/it"),
        Some("edge") => services().join("edge/src"),
        Some(target) => services().join("phone-lab/tests").join(target),
    }
}

#[test]
fn each_rule_and_each_pitfall_has_one_row_that_names_a_test_or_says_why_there_is_none() {
    for (page, heading, most) in NUMBERED {
        let rows = table(page, heading);
        let numbers: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
        assert_eq!(numbers, (1..=most).map(|number| number.to_string()).collect::<Vec<_>>(), "{heading}");
        for row in rows {
            let [_, matter, honoured, tests] = &row[..] else { panic!("{heading}: not four cells: {row:?}") };
            assert!(!matter.is_empty(), "{heading}: {row:?}");
            match tests.strip_prefix(CANNOT) {
                Some(why) => assert!(!why.is_empty() && honoured.is_empty(), "{heading}: {row:?}"),
                None => assert!(!quoted(tests).is_empty() && !honoured.is_empty(), "{heading}: {row:?}"),
            }
        }
    }
}

#[test]
fn every_test_that_the_tables_name_is_there() {
    let mut known = BTreeMap::<PathBuf, BTreeSet<String>>::new();
    let tables = NUMBERED.map(|(page, heading, _)| (page, heading)).into_iter().chain([(MODEL, "Facts")]);
    for (page, heading) in tables {
        let rows = table(page, heading);
        assert!(rows.len() > 20, "{heading}: {rows:?}");
        for row in rows.iter().filter(|row| !row[row.len() - 1].starts_with(CANNOT)) {
            let tests = quoted(&row[row.len() - 1]);
            assert!(!tests.is_empty(), "{heading}: {row:?}");
            for (test, target) in tests {
                let folder = folder(page, target);
                let names = known.entry(folder.clone()).or_insert_with(|| {
                    let mut names = BTreeSet::new();
                    tests_in(&folder, &mut names);
                    names
                });
                assert!(names.contains(test), "{heading}: there is no test {test} in {}: {row:?}", folder.display());
            }
        }
    }
}

#[test]
fn every_test_that_is_named_for_what_is_relied_on_of_twilio_is_there() {
    let page = fs::read_to_string(services().join(TWILIO)).unwrap();
    let facts = quoted(page.split("\n## ").next().unwrap());
    let named: Vec<_> = facts.into_iter().filter_map(|(test, _)| test.rsplit_once("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    let mut names = BTreeSet::new();
    ["src", "tests/it"].iter().for_each(|folder| tests_in(&service(TWILIO).join(folder), &mut names));
    for (module, test) in named {
        assert!(names.contains(test), "there is no test {module}::{test}");
    }
}

#[test]
fn every_file_that_the_tables_name_is_there() {
    for (page, heading, _) in NUMBERED {
        for row in table(page, heading) {
            for (file, _) in quoted(&row[2]).into_iter().filter(|(name, _)| name.ends_with(".rs")) {
                let found = [service(page).join("src"), services()].iter().any(|at| at.join(file).is_file());
                assert!(found, "{heading}: there is no file {file}: {row:?}");
            }
        }
    }
}
