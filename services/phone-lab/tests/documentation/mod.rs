//! Reads the lab's page of the documentation, and the crate's own text, for tests that hold one against the other.

use std::{collections::BTreeSet, fs, path::Path};

/// A file of the crate, by its path below the crate's folder.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What stands under this heading.
pub(crate) fn section(title: &str) -> String {
    let page = read("../../docs/phone-lab.md");
    let found = page.split("\n## ").find(|section| section.starts_with(&format!("{title}\n")));
    found.unwrap_or_else(|| panic!("no section {title:?}")).to_owned()
}

/// What stands between backquotes.
pub(crate) fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of all functions below these folders of the crate that stand right under one of these attributes.
pub(crate) fn tests(folders: [&str; 2], attributes: [&str; 2]) -> BTreeSet<String> {
    let mut text = String::new();
    for folder in folders {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut text);
    }
    let name = |code: &str| {
        Some(code.trim_start().trim_start_matches("async ").strip_prefix("fn ")?.split('(').next()?.to_owned())
    };
    attributes.iter().flat_map(|attribute| text.split(attribute).skip(1)).filter_map(name).collect()
}

/// All Rust text below this folder.
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
