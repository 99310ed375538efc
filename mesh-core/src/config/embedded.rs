//! YAML that stands inside a value.

use serde::de::DeserializeOwned;

use super::{decode::decode, yaml};

/// Why an embedded text is not of the wanted type.
pub(crate) struct TextError {
    /// Counted from 1 within the text.
    pub(crate) line: u32,
    pub(crate) field: String,
    pub(crate) reason: String,
}

/// Reads a YAML text that stands inside a value, such as a ConfigMap's.
pub(crate) fn decode_text<T: DeserializeOwned + Default>(text: &str) -> Result<T, TextError> {
    let node = match yaml::documents(text).next() {
        None => return Ok(T::default()),
        Some(Ok(node)) => node,
        Some(Err(error)) => {
            return Err(TextError {
                line: error.line,
                field: String::new(),
                reason: error.reason,
            });
        }
    };
    decode(&node, "").0.map_err(|error| TextError {
        line: error.line,
        field: error.field.unwrap_or_default(),
        reason: error.reason,
    })
}
