//! The scenarios of half an hour, which nobody waits for here.

use std::{fs, path::Path};

use phone_lab::scenario::Scenario;

#[test]
fn the_long_scenarios_can_be_read_and_are_in_the_documentation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let documentation = include_str!("../../../../docs/phone-lab.md");
    let mut long = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let scenario = Scenario::from_file(&path).unwrap();
        assert!(documentation.contains(&format!("{}.yaml", scenario.name)), "{}", scenario.name);
        long += usize::from(scenario.calls.iter().any(|call| call.expect.continuity.is_some()));
    }
    assert_eq!(long, 5);
}
