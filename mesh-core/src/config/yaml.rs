//! YAML text to trees that know their lines.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::tree::{Node, Value};

/// The longest text that is read, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// The deepest nesting of mappings and sequences in a document.
pub const MAX_DEPTH: usize = 64;
/// The most values in a document, those that aliases repeat counted every time.
pub const MAX_VALUES: usize = 500_000;
/// The most keys of one mapping.
pub const MAX_KEYS: usize = 2_048;

const SYNTAX_ADVICE: &str =
    "look here and just above for a bracket or quote left open, or wrong indentation";

/// Why a document has no tree.
pub(crate) struct YamlError {
    /// Counted from 1.
    pub(crate) line: u32,
    pub(crate) reason: String,
    pub(crate) advice: Option<&'static str>,
    /// A key given twice does not keep us from telling which resource this is.
    pub(crate) tree: Option<Node>,
}

/// The documents of a text. One that is broken does not spoil its neighbours.
pub(crate) fn documents(text: &str) -> impl Iterator<Item = Result<Node, YamlError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    split(text).filter_map(|(line, text)| read(line, text).transpose())
}

/// Cuts before every line that starts with `---`: YAML allows such a line nowhere inside a
/// document, not even in a block of literal text (YAML 1.2.2, section 9.1.2).
fn split(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let (mut rest, mut line) = (text, 0);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (mut end, mut lines) = (0, 0);
        for row in rest.split_inclusive('\n') {
            if end > 0 && is_marker(row) {
                break;
            }
            end += row.len();
            lines += 1;
        }
        let (document, after) = rest.split_at(end);
        let start = line;
        rest = after;
        line += lines;
        Some((start, document))
    })
}

fn is_marker(row: &str) -> bool {
    row.strip_prefix("---")
        .is_some_and(|after| after.is_empty() || after.starts_with(char::is_whitespace))
}

/// Reads one document whose first line is number `above + 1`. None if there is nothing in it.
fn read(above: u32, text: &str) -> Result<Option<Node>, YamlError> {
    let rows = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    let mut builder = Builder {
        above,
        last: above.saturating_add(rows.max(1)),
        ..Builder::default()
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError {
            advice: Some(SYNTAX_ADVICE),
            ..builder.error(error.marker().line(), format!("not YAML: {}", error.info()))
        })?;
        builder.event(event, span)?;
    }
    match (builder.root, builder.duplicate) {
        (tree, Some((line, reason))) => Err(YamlError {
            line,
            reason,
            advice: None,
            tree,
        }),
        (Some(root), None) if !matches!(root.value, Value::Null) => Ok(Some(root)),
        _ => Ok(None),
    }
}

#[derive(Default)]
struct Builder {
    above: u32,
    last: u32,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
    duplicate: Option<(u32, String)>,
}

/// A mapping or sequence whose end has not come yet.
struct Open {
    anchor: usize,
    values_before: usize,
    key: Option<Node>,
    node: Node,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let value = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    text => Value::Scalar {
                        text: text.into(),
                        plain,
                    },
                };
                self.count(line, 1)?;
                let node = self.node(line, value);
                self.close(node, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(line, anchor, Value::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(line, anchor, Value::Mapping(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => {
                    let size = self.values - done.values_before;
                    self.close(done.node, done.anchor, size)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((node, size)) => {
                    self.count(line, size)?;
                    if self.open.len() + node.depth() > MAX_DEPTH {
                        return Err(self.too_deep(line));
                    }
                    self.close(node, 0, size)
                }
                None => Err(self.error(line, "an alias stands inside its own anchor".into())),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, line: usize, anchor: usize, value: Value) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(line));
        }
        let values_before = self.values;
        self.count(line, 1)?;
        self.open.push(Open {
            anchor,
            values_before,
            key: None,
            node: self.node(line, value),
        });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn close(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), YamlError> {
        if anchor > 0 {
            self.count(node.line.saturating_sub(self.above) as usize, size)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        if parent.node.entries().len() >= MAX_KEYS {
            let reason = format!("a mapping of more than {MAX_KEYS} keys");
            return Err(YamlError::new(node.line, reason));
        }
        match &mut parent.node.value {
            Value::Sequence(items) => items.push(node),
            Value::Mapping(entries) => match parent.key.take() {
                None => match &node.value {
                    Value::Scalar { .. } | Value::Null => parent.key = Some(node),
                    _ => return Err(YamlError::new(node.line, "a key is not a text".into())),
                },
                Some(key) if key.text() == Some("<<") => merge(entries, node),
                Some(key) => match entries.iter_mut().find(|(k, _)| k.text() == key.text()) {
                    Some((first, value)) if first.merged => {
                        *first = key;
                        *value = node;
                    }
                    Some((first, _)) => {
                        let name = key.text().unwrap_or("null");
                        let reason =
                            format!("{name:?} is given twice, first on line {}", first.line);
                        self.duplicate.get_or_insert((key.line, reason));
                    }
                    None => entries.push((key, node)),
                },
            },
            Value::Scalar { .. } | Value::Null => {}
        }
        Ok(())
    }

    fn count(&mut self, line: usize, values: usize) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(values);
        if self.values > MAX_VALUES {
            return Err(self.error(
                line,
                format!("more than {MAX_VALUES} values, repetitions by alias counted"),
            ));
        }
        Ok(())
    }

    fn node(&self, line: usize, value: Value) -> Node {
        Node {
            line: self.line(line),
            merged: false,
            value,
        }
    }

    /// The line in the whole text. The parser counts a lone carriage return as an end of line,
    /// and the end of the text as a line of its own; an editor does neither.
    fn line(&self, line: usize) -> u32 {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        self.above.saturating_add(line).min(self.last)
    }

    fn too_deep(&self, line: usize) -> YamlError {
        self.error(line, format!("nested deeper than {MAX_DEPTH} levels"))
    }

    fn error(&self, line: usize, reason: String) -> YamlError {
        YamlError::new(self.line(line), reason)
    }
}

impl YamlError {
    fn new(line: u32, reason: String) -> Self {
        Self {
            line,
            reason,
            advice: None,
            tree: None,
        }
    }
}

/// `<<: *base`: entries of the base that the mapping does not have itself, as far as it has room.
fn merge(entries: &mut Vec<(Node, Node)>, base: Node) {
    match base.value {
        Value::Mapping(more) => {
            for (mut key, value) in more {
                let has_room = entries.len() < MAX_KEYS;
                if has_room && !entries.iter().any(|(own, _)| own.text() == key.text()) {
                    key.merged = true;
                    entries.push((key, value));
                }
            }
        }
        Value::Sequence(bases) => bases.into_iter().for_each(|base| merge(entries, base)),
        Value::Scalar { .. } | Value::Null => {}
    }
}
