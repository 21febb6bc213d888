//! What a run shows while it lasts: a bar of its seconds, and how many calls are up, over and failed.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar. It is gone when this is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// On standard error, if that is a terminal.
    pub(super) fn on_terminal(expected: Duration) -> Self {
        Self::on(ProgressDrawTarget::stderr(), expected)
    }

    fn on(target: ProgressDrawTarget, expected: Duration) -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} s  {msg}").expect("the template is one");
        Self(ProgressBar::with_draw_target(Some(expected.as_secs()), target).with_style(style))
    }

    /// The run has lasted so long, and its calls have come so far.
    pub(super) fn show(&self, lasted: Duration, up: usize, over: usize, failed: usize) {
        self.0.set_position(lasted.as_secs());
        self.0.set_message(format!("{up} up, {over} over, {failed} failed"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use indicatif::TermLike;

    use super::*;

    /// A terminal of one line, as it was each time that something was written.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<Vec<String>>>);

    impl Paper {
        fn write(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.trim_end().to_owned());
            Ok(())
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.write(text)
        }

        fn clear_line(&self) -> io::Result<()> {
            self.write("")
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_says_how_long_the_run_has_lasted_and_how_far_its_calls_are_and_goes_away() {
        let paper = Paper::default();
        // As often as it changes.
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(paper.clone()), 255);
        let progress = Progress::on(target, Duration::from_secs(4));
        progress.show(Duration::from_millis(2500), 3, 2, 1);
        progress.0.force_draw();
        let shown = paper.0.lock().unwrap().iter().rfind(|line| !line.is_empty()).cloned().unwrap();
        assert!(shown.starts_with("████████████████████░░░░░░░░░░░░░░░░░░░░ 2/4 s  3 up, 2 over, 1 failed"), "{shown}");
        drop(progress);
        assert_eq!(paper.0.lock().unwrap().last().map(String::as_str), Some(""));
    }
}
