//! From a syntax tree to terms: names looked up, kinds checked, patterns compiled.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue, SelectExpr, operators as op},
};

use super::{Attribute, Comparison, Expression, ExpressionError, Kind, Reckoning, Term, TextTest};
use crate::{config::Span, name::Pattern};

type Lowered = Result<(Term, Kind), ExpressionError>;

/// Lowers a whole expression.
pub(super) fn lower(expression: &IdedExpr) -> Lowered {
    let mut lowering = Lowering { terms: 0, depth: 0 };
    lowering.term(expression)
}

struct Lowering {
    terms: usize,
    depth: usize,
}

fn kind_error<T>(reason: impl Into<String>) -> Result<T, ExpressionError> {
    Err(ExpressionError::Kind(reason.into()))
}

fn not_yet<T>(what: impl Into<String>) -> Result<T, ExpressionError> {
    Err(ExpressionError::NotYet(what.into()))
}

impl Lowering {
    fn term(&mut self, expression: &IdedExpr) -> Lowered {
        self.terms += 1;
        self.depth += 1;
        if self.terms > Expression::MAX_TERMS || self.depth > Expression::MAX_DEPTH {
            return Err(ExpressionError::TooLarge);
        }
        let lowered = self.any(&expression.expr);
        self.depth -= 1;
        lowered
    }

    fn any(&mut self, expression: &Expr) -> Lowered {
        match expression {
            Expr::Literal(literal) => written(literal),
            Expr::Ident(name) => attribute(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(_) => kind_error("a list can only stand after `in`"),
            Expr::Comprehension(_) => not_yet("a loop (all, exists, exists_one, map, filter)"),
            Expr::Map(_) => not_yet("a map in braces"),
            Expr::Struct(_) => not_yet("a message in braces"),
            Expr::Unspecified => Err(ExpressionError::Syntax("nothing is written".into())),
        }
    }

    /// `request.path`, `request.headers.host`, and either in `has(…)`.
    fn select(&mut self, select: &SelectExpr) -> Lowered {
        let Some(above) = path(&select.operand.expr) else {
            return kind_error(format!("only a map has a field {}", select.field));
        };
        let name = format!("{above}.{}", select.field);
        if let Some(found) = Attribute::of_name(&name) {
            return Ok(match select.test {
                true => (Term::HasAttribute(found), Kind::Bool),
                false => (Term::Attribute(found), found.kind()),
            });
        }
        match Attribute::of_name(&above).filter(|above| above.kind() == Kind::Map) {
            Some(map) => {
                let key = Box::new(Term::Text(select.field.as_str().into()));
                Ok(match select.test {
                    true => (Term::HasKey(map, key), Kind::Bool),
                    false => (Term::Key(map, key), Kind::Text),
                })
            }
            None => attribute(&name),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Lowered {
        match (&*call.func_name, &call.target, &*call.args) {
            (op::LOGICAL_NOT, None, [only]) => {
                let only = self.condition(only)?;
                Ok((Term::Not(only), Kind::Bool))
            }
            (op::LOGICAL_AND, None, parts) => self.junction(parts, Term::And),
            (op::LOGICAL_OR, None, parts) => self.junction(parts, Term::Or),
            (op::CONDITIONAL, None, [condition, then, other]) => {
                let condition = self.condition(condition)?;
                let ((then, a), (other, b)) = (self.term(then)?, self.term(other)?);
                let kind = if a == b { a } else { Kind::Unknown };
                Ok((Term::Choose(Box::new([*condition, then, other])), kind))
            }
            (op::IN, None, [value, among]) => self.among(value, among),
            (op::INDEX, None, [map, key]) => self.key(map, key),
            (op::NEGATE, None, [number]) => self.negated(number),
            (name, None, [a, b]) => self.infix(name, a, b),
            (name, Some(target), [argument]) => self.test(name, target, argument),
            (name, None, [only]) => self.function(name, only),
            (name, Some(target), []) if name == "size" => self.function(name, target),
            (name, ..) => not_yet(format!("the function {name}")),
        }
    }

    fn junction(&mut self, parts: &[IdedExpr], join: fn(Box<Term>, Box<Term>) -> Term) -> Lowered {
        let mut terms = Vec::with_capacity(parts.len());
        for part in parts {
            terms.push(self.condition(part)?);
        }
        let whole = terms.into_iter().reduce(|a, b| Box::new(join(a, b)));
        match whole {
            Some(whole) => Ok((*whole, Kind::Bool)),
            None => Err(ExpressionError::Syntax("nothing is joined".into())),
        }
    }

    fn condition(&mut self, expression: &IdedExpr) -> Result<Box<Term>, ExpressionError> {
        let (term, kind) = self.term(expression)?;
        match kind {
            Kind::Bool | Kind::Unknown => Ok(Box::new(term)),
            other => kind_error(format!("{other} stands where a condition must")),
        }
    }

    fn among(&mut self, value: &IdedExpr, among: &IdedExpr) -> Lowered {
        let (value, kind) = self.term(value)?;
        if let Expr::List(list) = &among.expr {
            let mut terms = Vec::with_capacity(list.elements.len());
            for element in &list.elements {
                let (element, other) = self.term(element)?;
                comparable(Comparison::Equal, kind, other)?;
                terms.push(element);
            }
            return Ok((Term::OneOf(Box::new(value), terms), Kind::Bool));
        }
        match (self.term(among)?, kind) {
            ((Term::Attribute(map), Kind::Map), Kind::Text | Kind::Unknown) => {
                Ok((Term::HasKey(map, Box::new(value)), Kind::Bool))
            }
            ((_, Kind::Map), _) => kind_error("the keys of a map are text"),
            _ => kind_error("only a list or a map can stand after `in`"),
        }
    }

    fn key(&mut self, map: &IdedExpr, key: &IdedExpr) -> Lowered {
        let ((map, kind), (key, key_kind)) = (self.term(map)?, self.term(key)?);
        match (map, kind, key_kind) {
            (Term::Attribute(map), Kind::Map, Kind::Text | Kind::Unknown) => {
                Ok((Term::Key(map, Box::new(key)), Kind::Text))
            }
            (_, Kind::Map, _) => kind_error("the keys of a map are text"),
            (_, other, _) => kind_error(format!("{other} has no keys")),
        }
    }

    fn negated(&mut self, number: &IdedExpr) -> Lowered {
        let (number, kind) = self.term(number)?;
        let nothing = match kind {
            Kind::Double => Term::Double(0.0),
            Kind::Int | Kind::Unknown => Term::Int(0),
            other => return kind_error(format!("{other} has no negative")),
        };
        let negated = Term::Reckon(Reckoning::Subtract, nothing.into(), number.into());
        Ok((negated, kind))
    }

    fn infix(&mut self, name: &str, a: &IdedExpr, b: &IdedExpr) -> Lowered {
        let comparison = match name {
            op::EQUALS => Some(Comparison::Equal),
            op::NOT_EQUALS => Some(Comparison::NotEqual),
            op::LESS => Some(Comparison::Less),
            op::LESS_EQUALS => Some(Comparison::LessOrEqual),
            op::GREATER => Some(Comparison::Greater),
            op::GREATER_EQUALS => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        let reckoning = match name {
            op::ADD => Some(Reckoning::Add),
            op::SUBSTRACT => Some(Reckoning::Subtract),
            op::MULTIPLY => Some(Reckoning::Multiply),
            op::DIVIDE => Some(Reckoning::Divide),
            op::MODULO => Some(Reckoning::Remainder),
            _ => None,
        };
        if comparison.is_none() && reckoning.is_none() {
            return not_yet(format!("the function {name}"));
        }
        let ((a, first), (b, second)) = (self.term(a)?, self.term(b)?);
        let (a, b) = (Box::new(a), Box::new(b));
        match (comparison, reckoning) {
            (Some(comparison), _) => {
                comparable(comparison, first, second)?;
                Ok((Term::Compare(comparison, a, b), Kind::Bool))
            }
            (None, Some(reckoning)) => {
                let kind = reckoned(reckoning, first, second)?;
                Ok((Term::Reckon(reckoning, a, b), kind))
            }
            (None, None) => not_yet(format!("the function {name}")),
        }
    }

    fn test(&mut self, name: &str, target: &IdedExpr, argument: &IdedExpr) -> Lowered {
        let test = match name {
            "startsWith" => Some(TextTest::StartsWith),
            "endsWith" => Some(TextTest::EndsWith),
            "contains" => Some(TextTest::Contains),
            "matches" => None,
            _ => return not_yet(format!("the function {name}")),
        };
        let target = self.text(target)?;
        let Some(test) = test else {
            let Expr::Literal(LiteralValue::String(pattern)) = &argument.expr else {
                return not_yet("a pattern that is not written in place");
            };
            return match Pattern::compile_search(pattern.inner()) {
                Ok(pattern) => Ok((Term::Matches(target, pattern), Kind::Bool)),
                Err(error) => kind_error(error.to_string()),
            };
        };
        let argument = self.text(argument)?;
        Ok((Term::Test(test, target, argument), Kind::Bool))
    }

    fn text(&mut self, expression: &IdedExpr) -> Result<Box<Term>, ExpressionError> {
        let (term, kind) = self.term(expression)?;
        match kind {
            Kind::Text | Kind::Unknown => Ok(Box::new(term)),
            other => kind_error(format!("{other} stands where text must")),
        }
    }

    fn function(&mut self, name: &str, only: &IdedExpr) -> Lowered {
        if name == "duration" {
            return match &only.expr {
                Expr::Literal(LiteralValue::String(text)) => match Span::parse(text.inner()) {
                    Some(span) => Ok((Term::Duration(span.0), Kind::Duration)),
                    None => kind_error(format!("{:?} is no duration", text.inner())),
                },
                _ => not_yet("a duration that is not written in place"),
            };
        }
        let to = match name {
            "string" => Kind::Text,
            "int" => Kind::Int,
            "double" => Kind::Double,
            "size" => Kind::Unknown,
            _ => return not_yet(format!("the function {name}")),
        };
        let (term, kind) = self.term(only)?;
        let term = Box::new(term);
        match (to, kind) {
            (Kind::Unknown, Kind::Text | Kind::Map | Kind::Unknown) => {
                Ok((Term::Size(term), Kind::Int))
            }
            (Kind::Unknown, other) => kind_error(format!("{other} has no size")),
            (_, Kind::Map | Kind::Null) => kind_error(format!("{name}() takes no {kind}")),
            (Kind::Int | Kind::Double, Kind::Bool | Kind::Duration) => {
                kind_error(format!("{name}() takes no {kind}"))
            }
            (to, _) => Ok((Term::Convert(to, term), to)),
        }
    }
}

fn written(literal: &LiteralValue) -> Lowered {
    Ok(match literal {
        LiteralValue::Boolean(value) => (Term::Bool(*value.inner()), Kind::Bool),
        LiteralValue::Int(value) => (Term::Int(*value.inner()), Kind::Int),
        LiteralValue::UInt(value) => match i64::try_from(*value.inner()) {
            Ok(value) => (Term::Int(value), Kind::Int),
            Err(_) => return not_yet("a number beyond 63 bits"),
        },
        LiteralValue::Double(value) => (Term::Double(*value.inner()), Kind::Double),
        LiteralValue::String(value) => (Term::Text(value.inner().into()), Kind::Text),
        LiteralValue::Null => (Term::Null, Kind::Null),
        LiteralValue::Bytes(_) => return not_yet("a literal of bytes"),
    })
}

fn attribute(name: &str) -> Lowered {
    match Attribute::of_name(name) {
        Some(found) => Ok((Term::Attribute(found), found.kind())),
        None if Attribute::is_known_elsewhere(name) => not_yet(format!("the attribute {name}")),
        None => Err(ExpressionError::Attribute {
            name: name.into(),
            similar: Attribute::similar(name),
        }),
    }
}

/// `request.headers` of its syntax tree; none for what is no plain name.
fn path(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            let above = path(&select.operand.expr)?;
            Some(format!("{above}.{}", select.field))
        }
        _ => None,
    }
}

fn comparable(comparison: Comparison, a: Kind, b: Kind) -> Result<(), ExpressionError> {
    use Kind::{Bool, Double, Duration, Int, Map, Null, Text, Unknown};
    let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let fits = match (a, b) {
        (Map, _) | (_, Map) => false,
        (Unknown, _) | (_, Unknown) => true,
        (Null, _) | (_, Null) => equality,
        (Int | Double, Int | Double) | (Text, Text) | (Duration, Duration) | (Bool, Bool) => true,
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => kind_error(format!("{a} cannot be compared with {b}")),
    }
}

fn reckoned(reckoning: Reckoning, a: Kind, b: Kind) -> Result<Kind, ExpressionError> {
    use Kind::{Double, Duration, Int, Text, Unknown};
    match (reckoning, a, b) {
        (_, Int, Int) => Ok(Int),
        (Reckoning::Remainder, Double, _) | (Reckoning::Remainder, _, Double) => {
            kind_error("only whole numbers have a remainder")
        }
        (_, Double, Double) => Ok(Double),
        (Reckoning::Add, Text, Text) => Ok(Text),
        (Reckoning::Add | Reckoning::Subtract, Duration, Duration) => Ok(Duration),
        (_, Unknown, _) | (_, _, Unknown) => Ok(Unknown),
        _ => kind_error(format!("{a} and {b} cannot be reckoned with")),
    }
}
