//! Expressions over the attributes of requests and connections, in the Common Expression Language
//! (CEL) as Istio's telemetry uses it: tags of metrics and filters of access logs.
//!
//! An [`Expression`] is parsed, looked up and typed once, where it is written; what can be said
//! against it is said there. What is left can be evaluated in a time that grows with its size and
//! nothing else: there are no loops (Envoy has them off too), patterns are compiled beforehand.

mod attribute;
mod lower;

#[cfg(test)]
mod tests;

pub use attribute::Attribute;

use std::{fmt, sync::Arc, time::Duration};

use cel::parser::PrattParser;
use serde::{Serialize, Serializer};

/// An expression that is known to make sense.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    root: Arc<Term>,
    kind: Kind,
}

/// What a term comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Double,
    /// Text.
    Text,
    /// A span of time.
    Duration,
    /// Texts by name.
    Map,
    /// Nothing.
    Null,
    /// Known only when it is evaluated.
    Unknown,
}

/// A part of an expression.
#[derive(Debug, Clone)]
pub enum Term {
    /// True or false, as written.
    Bool(bool),
    /// A whole number, as written.
    Int(i64),
    /// A number with a fraction, as written.
    Double(f64),
    /// A text, as written.
    Text(Arc<str>),
    /// A span of time, as in `duration('1s')`.
    Duration(Duration),
    /// `null`.
    Null,
    /// What an attribute holds.
    Attribute(Attribute),
    /// Whether an attribute holds anything.
    HasAttribute(Attribute),
    /// The text a map attribute has under a key.
    Key(Attribute, Box<Self>),
    /// Whether a map attribute has a key.
    HasKey(Attribute, Box<Self>),
    /// Whether a value is among others.
    OneOf(Box<Self>, Vec<Self>),
    /// The opposite.
    Not(Box<Self>),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// Either.
    Or(Box<Self>, Box<Self>),
    /// The second if the first holds, else the third.
    Choose(Box<[Self; 3]>),
    /// Two values compared.
    Compare(Comparison, Box<Self>, Box<Self>),
    /// Two numbers reckoned with, or two texts joined.
    Reckon(Reckoning, Box<Self>, Box<Self>),
    /// A text tested against another: receiver and argument.
    Test(TextTest, Box<Self>, Box<Self>),
    /// Whether a pattern is found in a text.
    Matches(Box<Self>, regex::Regex),
    /// The same value as another kind.
    Convert(Kind, Box<Self>),
    /// The characters of a text, or the entries of a map.
    Size(Box<Self>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reckoning {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// How a text is tested against another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// It is longer, deeper or has more parts than an [`Expression`] may.
    #[error(
        "is too large: at most {} bytes, {} levels and {} parts",
        Expression::MAX_BYTES,
        Expression::MAX_DEPTH,
        Expression::MAX_TERMS
    )]
    TooLarge,
    /// It does not parse.
    #[error("does not parse: {0}")]
    Syntax(String),
    /// It names what no request and no connection has.
    #[error("{name} is no attribute{}", similar.map(|it| format!("; did you mean {it}?"))
        .unwrap_or_default())]
    Attribute {
        /// The name as written.
        name: String,
        /// One that is much like it.
        similar: Option<&'static str>,
    },
    /// It names what Envoy knows and this mesh does not.
    #[error("{0} is not supported yet")]
    NotYet(String),
    /// Its parts do not go together.
    #[error("{0}")]
    Kind(String),
}

impl Expression {
    /// The longest expression, in bytes.
    pub const MAX_BYTES: usize = 4096;
    /// The deepest nesting of whatever kind.
    pub const MAX_DEPTH: usize = 48;
    /// The most parts: what bounds the cost of one evaluation.
    pub const MAX_TERMS: usize = 256;

    /// Parses an expression and checks that it makes sense.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > Self::MAX_BYTES {
            return Err(ExpressionError::TooLarge);
        }
        let depth = u16::try_from(Self::MAX_DEPTH).unwrap_or(u16::MAX);
        // The parser that the crate generates from a grammar takes 100 KiB of stack a level.
        let parsed = PrattParser::new()
            .max_recursion_depth(depth)
            .max_expression_node_count(Self::MAX_TERMS)
            .error_recovery_limit(1)
            .parse(text);
        let parsed = parsed.map_err(|errors| {
            let first = errors.errors.first();
            ExpressionError::Syntax(first.map(|error| error.msg.clone()).unwrap_or_default())
        })?;
        let (root, kind) = lower::lower(&parsed)?;
        Ok(Self {
            text: text.into(),
            root: Arc::new(root),
            kind,
        })
    }

    /// The same, of an expression that must come to true or false.
    pub fn parse_condition(text: &str) -> Result<Self, ExpressionError> {
        let parsed = Self::parse(text)?;
        match parsed.kind {
            Kind::Bool | Kind::Unknown => Ok(parsed),
            other => Err(ExpressionError::Kind(format!(
                "comes to {other}, where true or false is asked for"
            ))),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it comes to.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole of it.
    pub fn root(&self) -> &Term {
        &self.root
    }

    /// The first attribute it asks for that is not among those that are known. A map is known by
    /// its keys: whoever asks for all of it, or for a key that is only known later, asks for more.
    pub fn unknown_to(&self, knows: impl Fn(Attribute) -> bool) -> Option<Attribute> {
        let mut open = vec![self.root()];
        while let Some(term) = open.pop() {
            let (asked, is_known) = match term {
                Term::Attribute(asked) | Term::HasAttribute(asked) => {
                    (*asked, asked.kind() != Kind::Map && knows(*asked))
                }
                Term::Key(asked, key) | Term::HasKey(asked, key) => {
                    (*asked, matches!(**key, Term::Text(_)) && knows(*asked))
                }
                _ => {
                    open.extend(term.parts());
                    continue;
                }
            };
            if !is_known {
                return Some(asked);
            }
        }
        None
    }

    /// The keys it looks up in a map, as far as they are written in place.
    pub fn keys_of(&self, map: Attribute) -> Vec<&str> {
        let mut found = Vec::new();
        let mut open = vec![self.root()];
        while let Some(term) = open.pop() {
            if let Term::Key(of, key) | Term::HasKey(of, key) = term
                && let (true, Term::Text(key)) = (*of == map, &**key)
            {
                found.push(&**key);
            }
            open.extend(term.parts());
        }
        found
    }
}

impl Term {
    /// The terms it is made of.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Duration(_)
            | Self::Null
            | Self::Attribute(_)
            | Self::HasAttribute(_) => Vec::new(),
            Self::Key(_, part)
            | Self::HasKey(_, part)
            | Self::Not(part)
            | Self::Matches(part, _)
            | Self::Convert(_, part)
            | Self::Size(part) => vec![part],
            Self::And(a, b)
            | Self::Or(a, b)
            | Self::Compare(_, a, b)
            | Self::Reckon(_, a, b)
            | Self::Test(_, a, b) => vec![a, b],
            Self::OneOf(value, among) => std::iter::once(&**value).chain(among).collect(),
            Self::Choose(parts) => parts.iter().collect(),
        }
    }
}

/// Two expressions are one if they are written alike.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Double => "a number",
            Self::Text => "text",
            Self::Duration => "a duration",
            Self::Map => "a map",
            Self::Null => "null",
            Self::Unknown => "anything",
        })
    }
}
