//! YAML text to a JSON value, by YAML's core schema.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 128;
/// The most values, those that aliases repeat counted every time.
const MAX_VALUES: usize = 2_000_000;

/// Reads the only document of a text.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        builder
            .event(event)
            .map_err(|reason| format!("{reason} in line {}", span.start.line()))?;
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Value>,
    anchors: HashMap<usize, Value>,
    values: usize,
}

struct Open {
    anchor: usize,
    key: Option<String>,
    value: Value,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if plain {
                    plain_scalar(&text)
                } else {
                    Value::String(text.into_owned())
                };
                self.add(anchor, value)
            }
            Event::SequenceStart(anchor, ..) => self.open(anchor, Value::Array(Vec::new())),
            Event::MappingStart(anchor, ..) => self.open(anchor, Value::Object(Map::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { anchor, value, .. }) => self.add(anchor, value),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().ok_or("unknown alias")?;
                self.add(0, value)
            }
            Event::DocumentStart(_) if self.root.is_some() => Err("a second document".into()),
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, value: Value) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(Open {
            anchor,
            key: None,
            value,
        });
        Ok(())
    }

    fn add(&mut self, anchor: usize, value: Value) -> Result<(), String> {
        self.values += size(&value);
        if self.values > MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        match (&mut parent.value, parent.key.take()) {
            (Value::Array(items), _) => items.push(value),
            (Value::Object(fields), Some(key)) => {
                if fields.contains_key(&key) {
                    return Err(format!("a second {key:?}"));
                }
                fields.insert(key, value);
            }
            (_, None) => {
                parent.key = Some(match value {
                    Value::String(key) => key,
                    Value::Array(_) | Value::Object(_) => {
                        return Err("a key that is no text".into());
                    }
                    other => other.to_string(),
                });
            }
            (_, Some(_)) => {}
        }
        Ok(())
    }
}

/// Values that are new with this one: a container's content was counted as it came.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.len(),
        Value::Object(fields) => 1 + fields.len(),
        _ => 1,
    }
}

fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    let hexadecimal = text
        .strip_prefix("0x")
        .map(|digits| u64::from_str_radix(digits, 16));
    if let Some(Ok(whole)) = hexadecimal {
        return Some(whole.into());
    }
    let real: f64 = text.parse().ok()?;
    serde_json::Number::from_f64(real).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents() {
        for (text, want) in [
            ("", json!(null)),
            (
                "a: 1\nb: [x, \"2\", 1.5, true, ~]",
                json!({"a": 1, "b": ["x", "2", 1.5, true, null]}),
            ),
            (
                "a: &x {b: 0x10}\nc: *x",
                json!({"a": {"b": 16}, "c": {"b": 16}}),
            ),
            ("t: 10s\nu: 1.2.3.4", json!({"t": "10s", "u": "1.2.3.4"})),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for bad in ["a: [", "a: 1\na: 2", "[a]: 1", "a\n---\nb"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
