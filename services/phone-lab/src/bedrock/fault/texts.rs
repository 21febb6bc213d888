//! Texts of `validationException` that the real service has been seen to send, by the names that faults have for them.

/// Names and texts. Identifiers in them stand for whatever the service would name.
pub(super) const TEXTS: [(&str, &str); 16] = [
    (
        "idle",
        "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio bytes and \
         interactive content are less than 55 seconds",
    ),
    (
        "idle-295",
        "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio bytes and \
         interactive content are less than 295 seconds",
    ),
    ("531", "InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR"),
    ("532", "InternalErrorCode=532"),
    ("instability", "System instability detected. Please retry your request."),
    ("invalid-input", "Invalid input request, please fix your input and try again."),
    ("tool-response", "Tool Response parsing error"),
    ("unparsable", "Unable to parse input chunk"),
    ("late-history", "Chat history should be sent completely before streaming audio."),
    ("long-history", "Chat history is over max limit. Trim chat history and try again."),
    ("duplicate-system", "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt"),
    ("open-contents", "All contents must be closed before ending prompt"),
    ("empty-content", "Cannot end content [content] as no content data was received"),
    ("no-audio", "Prompt [prompt] must have at least one audio content"),
    ("invalid-voice", "Received invalid id: 'voice'"),
    ("content-filter", CONTENT_FILTER),
];

/// What is told when the filter strikes.
pub(in super::super) const CONTENT_FILTER: &str = "This request has been blocked by our content filters.";
