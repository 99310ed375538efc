//! A value of a document, with the line it stands on.

/// One value.
#[derive(Clone, PartialEq)]
pub(crate) struct Node {
    /// Counted from 1.
    pub(crate) line: u32,
    /// A key that came in by `<<` and gives way to one written out.
    pub(crate) merged: bool,
    pub(crate) value: Value,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Scalar {
        text: Box<str>,
        /// Neither quoted nor a block: may be read as a number or a boolean.
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// The lines of a value and of everything in it, without the values themselves: what remains of
/// a document once it is parsed, so that a later finding can still point at its line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldLines {
    line: u32,
    named: Vec<(Box<str>, Self)>,
    numbered: Vec<Self>,
}

impl Node {
    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The value under a key of a mapping.
    pub(crate) fn child(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|(name, _)| name.text() == Some(key))
            .map(|(_, value)| value)
    }

    /// Keys and values of a mapping; nothing for anything else.
    pub(crate) fn entries(&self) -> &[(Self, Self)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => "a number",
            Value::Scalar { text, plain: true } if is_bool(text) => "a boolean",
            Value::Scalar { .. } => "a text",
        }
    }

    /// Levels of nesting, 0 for a scalar.
    pub(crate) fn depth(&self) -> usize {
        match &self.value {
            Value::Null | Value::Scalar { .. } => 0,
            Value::Sequence(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Mapping(entries) => {
                1 + entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0)
            }
        }
    }
}

impl FieldLines {
    /// The lines of a tree.
    pub(crate) fn of(node: &Node) -> Self {
        let mut lines = Self {
            line: node.line,
            ..Self::default()
        };
        match &node.value {
            Value::Null | Value::Scalar { .. } => {}
            Value::Sequence(items) => lines.numbered = items.iter().map(Self::of).collect(),
            Value::Mapping(entries) => {
                for (key, value) in entries {
                    let mut below = Self::of(value);
                    // A reader looks for the line of the key.
                    below.line = key.line;
                    lines.named.push((
                        super::decode::camel_case(key.text().unwrap_or("")).into(),
                        below,
                    ));
                }
            }
        }
        lines
    }

    /// The line of a field written as in `spec.http[0].match`, or of its nearest ancestor.
    pub(crate) fn find(&self, field: &str) -> u32 {
        let mut at = self;
        for part in field.split(['.', '[']) {
            let below = match part.strip_suffix(']').and_then(|n| n.parse::<usize>().ok()) {
                Some(index) => at.numbered.get(index),
                None => at
                    .named
                    .iter()
                    .find(|(name, _)| **name == *part)
                    .map(|(_, lines)| lines),
            };
            match below {
                Some(below) => at = below,
                None => break,
            }
        }
        at.line
    }
}

pub(crate) fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")
}
