//! Expressions: what they come to, case by case, and against the interpreter of another crate.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use mesh_core::expression::{Attribute, Expression};
use mesh_routing::expression::{Attributes, MAX_TEXT_BYTES, Value, evaluate, holds, tag};
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    expression: String,
    /// What it comes to, as a tag would say it; nothing where it cannot be told.
    comes_to: Option<String>,
    #[serde(default)]
    logs: Option<bool>,
    documented: String,
}

/// A request that failed, by a caller of the mesh.
struct Sample {
    headers: BTreeMap<&'static str, &'static str>,
}

impl Sample {
    fn new() -> Self {
        let headers = [
            ("x-team", "shop"),
            ("user-agent", "curl/8"),
            ("x-empty", ""),
        ];
        Self {
            headers: headers.into(),
        }
    }
}

impl Attributes for Sample {
    fn value(&self, attribute: Attribute) -> Option<Value<'_>> {
        let text = |text| Some(Value::Text(Cow::Borrowed(text)));
        match attribute {
            Attribute::RequestPath => text("/reviews/0?page=2"),
            Attribute::RequestUrlPath => text("/reviews/0"),
            Attribute::RequestHost => text("reviews:9080"),
            Attribute::RequestMethod => text("GET"),
            Attribute::ResponseCode => Some(Value::Int(503)),
            Attribute::RequestSize => Some(Value::Int(0)),
            Attribute::RequestDuration => Some(Value::Duration(Duration::from_millis(1500))),
            Attribute::ConnectionMtls => Some(Value::Bool(true)),
            Attribute::DestinationPort => Some(Value::Int(9080)),
            Attribute::UpstreamPeerWorkload => text("reviews-v1"),
            Attribute::DownstreamPeerNamespace => text(""),
            _ => None,
        }
    }

    fn key(&self, attribute: Attribute, key: &str) -> Option<Cow<'_, str>> {
        let headers = (attribute == Attribute::RequestHeaders).then_some(&self.headers)?;
        headers.get(key).map(|text| Cow::Borrowed(*text))
    }

    fn entries(&self, attribute: Attribute) -> Option<usize> {
        (attribute == Attribute::RequestHeaders).then_some(self.headers.len())
    }
}

#[test]
fn cases() {
    let text = include_str!("../../testdata/expressions.toml");
    let cases: Cases = toml::from_str(text).unwrap();
    assert!(cases.case.len() > 40);
    for case in cases.case {
        let expression = Expression::parse(&case.expression)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(!case.documented.is_empty(), "{}", case.name);
        let sample = Sample::new();
        let found = evaluate(&expression, &sample).map(|_| tag(&expression, &sample));
        assert_eq!(found.as_deref(), case.comes_to.as_deref(), "{}", case.name);
        if let Some(logs) = case.logs {
            assert_eq!(holds(&expression, &sample), logs, "{}", case.name);
        }
    }
}

#[test]
fn texts_do_not_grow_without_bound() {
    struct Long(String);
    impl Attributes for Long {
        fn value(&self, _: Attribute) -> Option<Value<'_>> {
            Some(Value::Text(Cow::Borrowed(&self.0)))
        }
        fn key(&self, _: Attribute, _: &str) -> Option<Cow<'_, str>> {
            None
        }
        fn entries(&self, _: Attribute) -> Option<usize> {
            None
        }
    }
    let long = Long("a".repeat(MAX_TEXT_BYTES / 2));
    let twice = Expression::parse("request.path + request.path").unwrap();
    assert!(evaluate(&twice, &long).is_some());
    let thrice = Expression::parse("request.path + request.path + request.path").unwrap();
    assert_eq!(evaluate(&thrice, &long), None);
    assert_eq!(tag(&thrice, &long), "unknown");
}
