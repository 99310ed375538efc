//! Values as people read them in dumps: durations as `250ms`, bodies as text.

use std::time::Duration;

use serde::Serializer;

pub(crate) fn duration<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&format_args!("{value:?}"))
}

pub(crate) fn optional_duration<S: Serializer>(
    value: &Option<Duration>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => duration(value, out),
        None => out.serialize_none(),
    }
}

pub(crate) fn lossy_text<S: Serializer>(value: &[u8], out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&String::from_utf8_lossy(value))
}
