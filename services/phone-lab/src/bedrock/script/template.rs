//! Texts with placeholders.

use serde_json::{Map, Value};

use super::ScriptError;

/// Placeholders for a tool's result begin so.
pub(super) const TOOL_FIELD: &str = "tool.";

/// Fails on a placeholder that is none of these; one that ends in a dot stands for all that start with it.
pub(super) fn check_text(place: &str, text: Option<&str>, fills: &[&str]) -> Result<(), ScriptError> {
    let known = |name: &str| fills.iter().any(|fill| name == *fill || fill.ends_with('.') && name.starts_with(fill));
    match text.into_iter().flat_map(placeholders).find(|(_, name)| !known(name)) {
        Some((_, placeholder)) => {
            Err(ScriptError::Placeholder { place: place.into(), placeholder: placeholder.into() })
        }
        None => Ok(()),
    }
}

/// The text between the placeholders: what precedes each, and its name.
fn placeholders(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_inclusive('}').filter_map(|part| part.strip_suffix('}')?.split_once('{'))
}

/// Fills in what was heard, and fields of the first result that has them.
pub(super) fn fill(template: &str, heard: &str, results: &[&Map<String, Value>]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{')
        && let Some((name, after)) = after.split_once('}')
    {
        filled.push_str(before);
        match name.strip_prefix(TOOL_FIELD).map(|field| results.iter().find_map(|result| result.get(field))) {
            None => filled.push_str(heard),
            Some(Some(Value::String(text))) => filled.push_str(text),
            Some(Some(value)) => filled.push_str(&value.to_string()),
            Some(None) => filled.push_str("nothing"),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}
