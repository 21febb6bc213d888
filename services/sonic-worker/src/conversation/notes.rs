//! Texts that the model is told and that nobody said: it answers them as conversation (AWS, "Cross-modal input"), so they
//! say what is the case, not what to do.

/// What agents are told about [`note`], after their own prompt.
pub(super) const EXPLAINED: &str = "\n\nA message that begins with \"Note:\" was not said by the caller, who cannot hear it: \
    it tells you something about the call, such as \"Note: The caller has been silent for a while.\" or \"Note: The call ends \
    in one minute.\" Say to the caller what follows from it, such as asking whether they are still there, or that there is \
    little time left. Never mention the note itself.";

/// A text as the model is told of it.
pub(super) fn note(text: &str) -> String {
    format!("Note: {text}")
}
