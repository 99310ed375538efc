//! What an expression comes to for one request or connection.
//!
//! The cost of one evaluation is bounded by the size of the expression and of the texts it looks
//! at: there are no loops, and texts that are joined stay below [`MAX_TEXT_BYTES`].

use std::{borrow::Cow, cmp::Ordering, time::Duration};

use mesh_core::expression::{Attribute, Comparison, Expression, Kind, Reckoning, Term, TextTest};

/// The longest text that an expression makes, in bytes; a longer one comes to nothing.
pub const MAX_TEXT_BYTES: usize = 4096;

/// What an attribute or an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// A span of time.
    Duration(Duration),
    /// Nothing, as written: `null`.
    Null,
}

/// What is known of a request or a connection.
pub trait Attributes {
    /// What an attribute holds; none where nothing is known, or for a map.
    fn value(&self, attribute: Attribute) -> Option<Value<'_>>;
    /// The text a map attribute has under a key.
    fn key(&self, attribute: Attribute, key: &str) -> Option<Cow<'_, str>>;
    /// How many entries a map attribute has; none where nothing is known.
    fn entries(&self, attribute: Attribute) -> Option<usize>;
}

/// Evaluates an expression. None where it cannot be told: an attribute that nobody knows, a number
/// out of range, values that do not go together.
pub fn evaluate<'a>(expression: &'a Expression, of: &'a dyn Attributes) -> Option<Value<'a>> {
    term(expression.root(), of)
}

/// Whether a condition holds. Where it cannot be told it does not.
pub fn holds(condition: &Expression, of: &dyn Attributes) -> bool {
    evaluate(condition, of) == Some(Value::Bool(true))
}

/// The value of a metric's tag: text as it is, anything else as it is written, `unknown` where it
/// cannot be told.
pub fn tag<'a>(expression: &'a Expression, of: &'a dyn Attributes) -> Cow<'a, str> {
    match evaluate(expression, of) {
        Some(Value::Text(text)) if text.is_empty() => "unknown".into(),
        Some(value) => text(value).unwrap_or_else(|| "unknown".into()),
        None => "unknown".into(),
    }
}

fn term<'a>(part: &'a Term, of: &'a dyn Attributes) -> Option<Value<'a>> {
    Some(match part {
        Term::Bool(value) => Value::Bool(*value),
        Term::Int(value) => Value::Int(*value),
        Term::Double(value) => Value::Double(*value),
        Term::Text(value) => Value::Text(Cow::Borrowed(value)),
        Term::Duration(value) => Value::Duration(*value),
        Term::Null => Value::Null,
        Term::Attribute(attribute) => of.value(*attribute)?,
        Term::HasAttribute(attribute) => Value::Bool(match attribute.kind() {
            Kind::Map => of.entries(*attribute).is_some(),
            _ => of.value(*attribute).is_some(),
        }),
        Term::Key(map, key) => Value::Text(of.key(*map, &self::key(key, of)?)?),
        Term::HasKey(map, key) => Value::Bool(of.key(*map, &self::key(key, of)?).is_some()),
        Term::OneOf(value, among) => one_of(&term(value, of)?, among, of)?,
        Term::Not(part) => Value::Bool(!condition(part, of)?),
        // What decides alone decides, whether or not the other side can be told (CEL's rule).
        Term::And(a, b) => Value::Bool(junction(a, b, of, false)?),
        Term::Or(a, b) => Value::Bool(junction(a, b, of, true)?),
        Term::Choose(parts) => {
            let [condition, then, other] = &**parts;
            match self::condition(condition, of)? {
                true => term(then, of)?,
                false => term(other, of)?,
            }
        }
        Term::Compare(how, a, b) => Value::Bool(compare(*how, &term(a, of)?, &term(b, of)?)?),
        Term::Reckon(how, a, b) => reckon(*how, term(a, of)?, term(b, of)?)?,
        Term::Test(how, text, with) => {
            let (text, with) = (key(text, of)?, key(with, of)?);
            Value::Bool(match how {
                TextTest::StartsWith => text.starts_with(&*with),
                TextTest::EndsWith => text.ends_with(&*with),
                TextTest::Contains => text.contains(&*with),
            })
        }
        Term::Matches(text, pattern) => Value::Bool(pattern.is_match(&key(text, of)?)),
        Term::Convert(kind, part) => convert(*kind, term(part, of)?)?,
        Term::Size(part) => Value::Int(size(part, of)?),
    })
}

fn key<'a>(part: &'a Term, of: &'a dyn Attributes) -> Option<Cow<'a, str>> {
    match term(part, of)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn condition(part: &Term, of: &dyn Attributes) -> Option<bool> {
    match term(part, of)? {
        Value::Bool(value) => Some(value),
        _ => None,
    }
}

fn junction(a: &Term, b: &Term, of: &dyn Attributes, decides: bool) -> Option<bool> {
    let first = condition(a, of);
    if first == Some(decides) {
        return Some(decides);
    }
    match (first, condition(b, of)) {
        (_, Some(second)) if second == decides => Some(decides),
        (Some(_), Some(second)) => Some(second),
        _ => None,
    }
}

fn one_of<'a>(value: &Value<'_>, among: &'a [Term], of: &'a dyn Attributes) -> Option<Value<'a>> {
    let mut is_clear = true;
    for part in among {
        match term(part, of).map(|part| compare(Comparison::Equal, value, &part)) {
            Some(Some(true)) => return Some(Value::Bool(true)),
            Some(Some(false)) => {}
            _ => is_clear = false,
        }
    }
    is_clear.then_some(Value::Bool(false))
}

/// Values of different kinds are not equal, and in no order; numbers are compared as numbers.
fn compare(how: Comparison, a: &Value<'_>, b: &Value<'_>) -> Option<bool> {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
        (Value::Double(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => {
            return match how {
                Comparison::Equal => Some(false),
                Comparison::NotEqual => Some(true),
                _ => None,
            };
        }
    };
    let is = |wanted: fn(Ordering) -> bool| Some(order.is_some_and(wanted));
    match how {
        Comparison::Equal => is(Ordering::is_eq),
        Comparison::NotEqual => Some(!order.is_some_and(Ordering::is_eq)),
        Comparison::Less => is(Ordering::is_lt),
        Comparison::LessOrEqual => is(Ordering::is_le),
        Comparison::Greater => is(Ordering::is_gt),
        Comparison::GreaterOrEqual => is(Ordering::is_ge),
    }
}

fn reckon<'a>(how: Reckoning, a: Value<'a>, b: Value<'a>) -> Option<Value<'a>> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => match how {
            Reckoning::Add => a.checked_add(b),
            Reckoning::Subtract => a.checked_sub(b),
            Reckoning::Multiply => a.checked_mul(b),
            Reckoning::Divide => a.checked_div(b),
            Reckoning::Remainder => a.checked_rem(b),
        }
        .map(Value::Int),
        (Value::Double(a), Value::Double(b)) => match how {
            Reckoning::Add => Some(a + b),
            Reckoning::Subtract => Some(a - b),
            Reckoning::Multiply => Some(a * b),
            Reckoning::Divide => Some(a / b),
            Reckoning::Remainder => None,
        }
        .map(Value::Double),
        (Value::Duration(a), Value::Duration(b)) => match how {
            Reckoning::Add => a.checked_add(b),
            Reckoning::Subtract => a.checked_sub(b),
            _ => None,
        }
        .map(Value::Duration),
        (Value::Text(a), Value::Text(b)) if how == Reckoning::Add => {
            let fits = a.len() + b.len() <= MAX_TEXT_BYTES;
            fits.then(|| Value::Text(a + b))
        }
        _ => None,
    }
}

fn convert<'a>(kind: Kind, value: Value<'a>) -> Option<Value<'a>> {
    match kind {
        Kind::Text => text(value).map(Value::Text),
        Kind::Int => match value {
            Value::Int(value) => Some(Value::Int(value)),
            // Truncated towards zero; what does not fit comes to nothing.
            Value::Double(value) => {
                (value.abs() < 9.2e18).then(|| Value::Int(value.trunc() as i64))
            }
            Value::Text(text) => text.parse().ok().map(Value::Int),
            _ => None,
        },
        Kind::Double => match value {
            Value::Int(value) => Some(Value::Double(value as f64)),
            Value::Double(value) => Some(Value::Double(value)),
            Value::Text(text) => text.parse().ok().map(Value::Double),
            _ => None,
        },
        _ => None,
    }
}

fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    Some(match value {
        Value::Text(text) => text,
        Value::Bool(value) => Cow::Owned(value.to_string()),
        Value::Int(value) => Cow::Owned(value.to_string()),
        Value::Double(value) => Cow::Owned(value.to_string()),
        Value::Duration(value) => Cow::Owned(format!("{}s", value.as_secs_f64())),
        Value::Null => return None,
    })
}

fn size(part: &Term, of: &dyn Attributes) -> Option<i64> {
    let size = match part {
        Term::Attribute(map) if map.kind() == Kind::Map => of.entries(*map)?,
        part => key(part, of)?.chars().count(),
    };
    i64::try_from(size).ok()
}
