use std::fmt;

use serde::de;

/// Why a tree is not a value of the wanted type.
#[derive(Debug, PartialEq)]
pub(crate) struct DecodeError {
    pub(crate) field: Option<String>,
    pub(crate) line: u32,
    pub(crate) reason: String,
    pub(crate) advice: Option<String>,
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self {
            field: None,
            line: 0,
            reason: reason.to_string(),
            advice: None,
        }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match found {
            de::Unexpected::Signed(number) => {
                Self::custom(format!("{number} is out of range: expected {expected}"))
            }
            _ => Self::custom(format!("expected {expected}")),
        }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format!("expected {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("{field} is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format!("{field} is given twice"))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DecodeError {}
