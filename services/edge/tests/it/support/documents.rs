//! Documents as they were recorded: `tests/documents/NAME.xml`, a tag a line. The lab reads the same files as strictly as
//! Twilio does.

use std::path::PathBuf;

use offhook_hosting::env::Env;

/// Set it to any value to record what the edge says now, then look at what has changed.
const RECORD: &str = "RECORD_DOCUMENTS";
/// Stands for what is different in each run.
const TICKET: &str = "TICKET";

/// Holds a document against the recorded one, whole.
pub(crate) fn assert_recorded(name: &str, document: &str) {
    let (path, said) = (folder().join(format!("{name}.xml")), shown(document));
    if Env::of_process().value(RECORD).is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(said, recorded, "{name}.xml is not what the edge says: with {RECORD}=1 this test records it");
}

/// Where the documents are.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/documents")
}

fn shown(document: &str) -> String {
    let mut shown = document.replace("><", ">\n<");
    let tickets: Vec<String> =
        shown.split("/media-stream/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    for ticket in tickets {
        shown = shown.replace(&ticket, TICKET);
    }
    shown + "\n"
}
