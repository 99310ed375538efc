//! Trees to typed values, through serde, in the manner of protobuf's JSON mapping: a field may be
//! written `perTryTimeout` or `per_try_timeout`, a number may stand in quotes, and `null` means
//! that a field is not given. Every failure knows its field and line.

mod containers;
mod error;

pub(crate) use error::DecodeError;

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::de::{self, IntoDeserializer, Visitor, value::StrDeserializer};

use self::containers::{Entries, Items};
use super::{
    near::nearest,
    tree::{Node, Value, is_bool},
};

/// A field that the wanted type does not have.
#[derive(Debug, PartialEq)]
pub(crate) struct Unread {
    pub(crate) field: String,
    pub(crate) line: u32,
    /// A field it does have, with a similar name.
    pub(crate) similar: Option<&'static str>,
}

/// Reads a tree that stands at `prefix` of its resource. Also tells what was left unread.
pub(crate) fn decode<T: de::DeserializeOwned>(
    node: &Node,
    prefix: &str,
) -> (Result<T, DecodeError>, Vec<Unread>) {
    let unread = RefCell::new(Vec::new());
    let root = Cursor {
        node,
        path: Path::Root(prefix),
        unread: &unread,
    };
    let value = root.within(|cursor| T::deserialize(cursor));
    (value, unread.into_inner())
}

/// `per_try_timeout` to `perTryTimeout`.
pub(crate) fn camel_case(name: &str) -> Cow<'_, str> {
    if !name.contains('_') {
        return name.into();
    }
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut chars = part.chars();
        camel.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        camel.push_str(chars.as_str());
    }
    camel.into()
}

#[derive(Clone, Copy)]
enum Path<'a> {
    Root(&'a str),
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(prefix) => f.write_str(prefix),
            Self::Key(Path::Root(""), key) => f.write_str(key),
            Self::Key(above, key) if key.contains('.') => write!(f, "{above}[{key}]"),
            Self::Key(above, key) => write!(f, "{above}.{key}"),
            Self::Index(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}

#[derive(Clone, Copy)]
struct Cursor<'a> {
    node: &'a Node,
    path: Path<'a>,
    unread: &'a RefCell<Vec<Unread>>,
}

impl<'a> Cursor<'a> {
    /// Runs a step; a failure that does not know its place yet happened here.
    fn within<T>(
        self,
        step: impl FnOnce(Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        step(self).map_err(|error| match error.field {
            Some(_) => error,
            None => DecodeError {
                field: Some(self.path.to_string()),
                line: self.node.line,
                ..error
            },
        })
    }

    fn expected(self, what: &str) -> DecodeError {
        let found = self.node.kind();
        let quote = what == "a text" && matches!(found, "a number" | "a boolean");
        DecodeError {
            advice: quote.then(|| "write it in quotes".into()),
            ..de::Error::custom(format!("expected {what}, found {found}"))
        }
    }

    fn integer(self) -> Result<i64, DecodeError> {
        let text = self
            .node
            .text()
            .ok_or_else(|| self.expected("a whole number"))?;
        let whole =
            |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
        text.parse::<i64>()
            .ok()
            .or_else(|| i64::from_str_radix(text.strip_prefix("0x")?, 16).ok())
            .or_else(|| i64::from_str_radix(text.strip_prefix("0o")?, 8).ok())
            .or_else(|| text.parse().ok().and_then(whole))
            .ok_or_else(|| self.expected("a whole number"))
    }

    fn text(self) -> Result<&'a str, DecodeError> {
        match &self.node.value {
            Value::Scalar { text, plain } if !plain || !(is_bool(text) || looks_numeric(text)) => {
                Ok(text)
            }
            Value::Null => Ok(""),
            _ => Err(self.expected("a text")),
        }
    }
}

/// Whether YAML's core schema reads a plain scalar as a number. `nan` and `inf`, which Rust's
/// parser takes too, are words here.
fn looks_numeric(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && !text.starts_with('+')
        && text.parse::<f64>().is_ok()
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.within(|at| visitor.visit_i64(at.integer()?))
        }
    )*};
}

macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.within(|at| visitor.visit_str(at.text()?))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Cursor<'_> {
    type Error = DecodeError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    texts! {
        deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_identifier
    }

    /// For types that take several forms, such as a port by number or by name.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Null => self.within(|_| visitor.visit_unit()),
            Value::Scalar { text, plain: true } if is_bool(text) => self.deserialize_bool(visitor),
            Value::Scalar { text, plain: true } if looks_numeric(text) => match self.integer() {
                Ok(number) => self.within(|_| visitor.visit_i64(number)),
                Err(_) => self.deserialize_f64(visitor),
            },
            Value::Scalar { text, .. } => self.within(|_| visitor.visit_str(text)),
            Value::Sequence(_) => self.deserialize_seq(visitor),
            Value::Mapping(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.within(|at| match at.node.text() {
            Some(text) if is_bool(text) => visitor.visit_bool(text.eq_ignore_ascii_case("true")),
            _ => Err(at.expected("true or false")),
        })
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.within(|at| {
            let number = at.node.text().and_then(|text| text.parse::<f64>().ok());
            match number.filter(|number| number.is_finite()) {
                Some(number) => visitor.visit_f64(number),
                None => Err(at.expected("a number")),
            }
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.within(|at| visitor.visit_newtype_struct(at))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.within(|at| match &at.node.value {
            Value::Sequence(items) => visitor.visit_seq(Items {
                at,
                items: items.iter().enumerate(),
            }),
            Value::Null => visitor.visit_seq(Items {
                at,
                items: [].iter().enumerate(),
            }),
            _ => Err(at.expected("a list")),
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.within(|at| Entries::visit(at, None, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.within(|at| Entries::visit(at, Some(fields), visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.within(|at| {
            let text = at.node.text().ok_or_else(|| at.expected("a text"))?;
            if variants.contains(&text) {
                let variant: StrDeserializer<'_, DecodeError> = text.into_deserializer();
                return visitor.visit_enum(variant);
            }
            let advice = match nearest(text, variants.iter().copied()) {
                Some(similar) => format!("did you mean {similar}?"),
                None => format!("possible are {}", variants.join(", ")),
            };
            Err(DecodeError {
                advice: Some(advice),
                ..de::Error::custom(format!("{text:?} is no possible value"))
            })
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_i64(visitor)
    }
}
