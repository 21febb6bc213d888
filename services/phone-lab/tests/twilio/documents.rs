//! The documents that the edge's own tests have recorded, read as strictly as Twilio reads them.

use std::{collections::BTreeMap, fs, path::Path};

use phone_lab::twilio::twiml::{Verb, parse};

/// The end of what is asked of a human: only an empty document connects them (Twilio docs, `<Number>`, `url`).
const TAKEN: &str = "whisper-taken";

/// As they were on the wire: the records have a tag a line.
fn recorded() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tests/documents");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let named = files.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), text.trim_end().replace(">\n<", "><"))
    });
    named.collect()
}

#[test]
fn every_document_of_the_edge_is_twiml_to_the_last_attribute() {
    let documents = recorded();
    assert!(documents.len() >= 15, "there is something to read: {}", documents.len());
    for (name, text) in &documents {
        let document = parse(text).unwrap_or_else(|finding| panic!("{name}: {finding:?}"));
        assert!(document.findings.is_empty(), "{name}: {:?}", document.findings);
        assert_eq!(document.verbs.is_empty(), name == TAKEN, "{name} says nothing");
    }
}

#[test]
fn every_document_ends_the_call_but_those_that_reject_it_or_are_heard_in_a_queue() {
    for (name, text) in &recorded() {
        let document = parse(text).unwrap();
        let Some(last) = document.verbs.last() else { continue };
        let queue = ["queue-first", "queue-again", "queue-place", "queue-too-long"].contains(&name.as_str());
        let ends = matches!(last, Verb::Hangup | Verb::Reject { .. });
        assert!(ends || queue, "{name} would leave the caller on a silent line");
    }
}
