//! Lists and mappings.

use std::borrow::Cow;

use serde::de::{self, Visitor};

use super::{Cursor, DecodeError, Path, Unread, camel_case};
use crate::config::{
    near::nearest,
    tree::{Node, Value},
};

pub(super) struct Items<'a> {
    pub(super) at: Cursor<'a>,
    pub(super) items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let cursor = Cursor {
            node,
            path: Path::Index(&self.at.path, index),
            unread: self.at.unread,
        };
        cursor.within(|at| seed.deserialize(at)).map(Some)
    }
}

/// Entries of a mapping. With `fields` it is a struct, whose other entries are noted and skipped.
pub(super) struct Entries<'a> {
    at: Cursor<'a>,
    fields: Option<&'static [&'static str]>,
    entries: std::slice::Iter<'a, (Node, Node)>,
    value: Option<(Cow<'a, str>, &'a Node)>,
}

impl<'a> Entries<'a> {
    pub(super) fn visit<'de, V: Visitor<'de>>(
        at: Cursor<'a>,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match at.node.value {
            Value::Mapping(_) | Value::Null => visitor.visit_map(Entries {
                at,
                fields,
                entries: at.node.entries().iter(),
                value: None,
            }),
            _ => Err(at.expected("a mapping")),
        }
    }

    /// Whether the struct has this field; if not, notes it.
    fn is_field(&self, name: &str, key: &Node) -> bool {
        let Some(fields) = self.fields else {
            return true;
        };
        let known = fields.contains(&name);
        if !known {
            self.at.unread.borrow_mut().push(Unread {
                field: Path::Key(&self.at.path, name).to_string(),
                line: key.line,
                similar: nearest(name, fields.iter().copied()),
            });
        }
        known
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        while let Some((key, value)) = self.entries.next() {
            let text = key.text().unwrap_or_default();
            let name = match self.fields {
                Some(_) => camel_case(text),
                None => text.into(),
            };
            let absent = self.fields.is_some() && matches!(value.value, Value::Null);
            if !self.is_field(&name, key) || absent {
                continue;
            }
            let node = Node {
                line: key.line,
                merged: false,
                value: Value::Scalar {
                    text: (&*name).into(),
                    plain: false,
                },
            };
            let cursor = Cursor {
                node: &node,
                path: Path::Key(&self.at.path, text),
                unread: self.at.unread,
            };
            let read = cursor.within(|at| seed.deserialize(at))?;
            self.value = Some((name, value));
            return Ok(Some(read));
        }
        Ok(None)
    }

    fn next_value_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        let (name, node) = self
            .value
            .take()
            .expect("serde asks for a value after its key");
        let cursor = Cursor {
            node,
            path: Path::Key(&self.at.path, &name),
            unread: self.at.unread,
        };
        cursor.within(|at| seed.deserialize(at))
    }
}
