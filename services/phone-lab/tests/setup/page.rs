//! The page: its steps, and the blocks of shell in each.

use std::{fs, path::Path};

pub(crate) struct Page(String);

impl Page {
    pub(crate) fn read() -> Self {
        Self(fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/twilio-setup.md")).unwrap())
    }

    /// What stands under `## N. `.
    fn step(&self, step: usize) -> &str {
        let found = self.0.split("\n## ").find(|section| section.starts_with(&format!("{step}. ")));
        found.unwrap_or_else(|| panic!("the page has no step {step}"))
    }

    /// The blocks of a step, in order.
    pub(crate) fn blocks(&self, step: usize) -> Vec<String> {
        let blocks = self.step(step).split("\n```bash\n").skip(1);
        let blocks: Vec<_> = blocks.map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect();
        assert!(!blocks.is_empty(), "step {step} has nothing to run");
        blocks
    }

    pub(crate) fn block(&self, step: usize, nth: usize) -> String {
        self.blocks(step)[nth].clone()
    }

    /// The variables that the reader is told to fill in: what stands in backquotes in the first column of step 1.
    pub(crate) fn to_fill_in(&self) -> Vec<String> {
        let rows = self.step(1).lines().filter(|line| line.starts_with("| `"));
        let first = rows.map(|row| row.split('|').nth(1).unwrap());
        first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
    }
}
