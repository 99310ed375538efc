//! YAML that is no resource: a text inside a value, or a file of settings.

use serde::de::DeserializeOwned;

use super::{decode::decode, yaml};

/// Why a text is not of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {field}{}{reason}", if field.is_empty() { "" } else { ": " })]
pub struct TextError {
    /// Counted from 1 within the text.
    pub line: u32,
    /// The field, empty for the text as a whole.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

/// Reads a YAML text that is no resource, such as what stands inside a ConfigMap, and tells which
/// fields were left unread. An empty text is the type's default.
pub fn decode_text<T: DeserializeOwned + Default>(
    text: &str,
) -> Result<(T, Vec<TextError>), TextError> {
    let node = match yaml::documents(text).next() {
        None => return Ok((T::default(), Vec::new())),
        Some(Ok(node)) => node,
        Some(Err(error)) => {
            return Err(TextError {
                line: error.line,
                field: String::new(),
                reason: error.reason,
            });
        }
    };
    let (value, unread) = decode(&node, "");
    let unread = unread.into_iter().map(|unread| TextError {
        line: unread.line,
        field: unread.field,
        reason: "there is no such field".to_owned(),
    });
    match value {
        Ok(value) => Ok((value, unread.collect())),
        Err(error) => Err(TextError {
            line: error.line,
            field: error.field.unwrap_or_default(),
            reason: error.reason,
        }),
    }
}
