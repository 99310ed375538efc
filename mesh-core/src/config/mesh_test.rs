#![expect(
    missing_docs,
    reason = "fields of the same names are explained at `mesh::MeshTest`"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use super::Span;

/// Calls, and what is expected to become of them (`mesh.local/v1alpha1` `MeshTest`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshTest {
    pub feature: String,
    pub problems: Vec<String>,
    pub cases: Vec<MeshTestCase>,
}

/// One call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshTestCase {
    pub name: String,
    pub documented: String,
    pub from: Option<String>,
    pub gateway: Option<String>,
    pub call: String,
    pub headers: BTreeMap<String, Texts>,
    pub claims: Option<BTreeMap<String, serde_json::Value>>,
    pub token: Option<String>,
    pub time: Option<String>,
    pub seed: u64,
    pub ext_authz: ProviderAnswer,
    pub expect: Option<Expectation>,
}

/// What providers of CUSTOM policies say when they are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderAnswer {
    #[default]
    Deny,
    Allow,
}

/// What is expected; what is not given is not compared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Expectation {
    pub outcome: Option<ExpectedOutcome>,
    pub status: Option<u16>,
    pub flags: Option<String>,
    pub destination: Option<String>,
    pub subset: Option<String>,
    pub weights: Option<BTreeMap<String, u32>>,
    pub cluster: Option<String>,
    pub endpoints: Option<Vec<String>>,
    pub endpoint: Option<String>,
    pub mtls: Option<bool>,
    pub identity: Option<Texts>,
    pub route: Option<String>,
    pub rule: Option<String>,
    pub path: Option<String>,
    pub authority: Option<String>,
    pub request_headers: BTreeMap<String, Option<String>>,
    pub response_headers: BTreeMap<String, Option<String>>,
    pub location: Option<String>,
    pub timeout: Option<Span>,
    pub retries: Option<ExpectedRetries>,
    pub mirrors: Option<Vec<ExpectedMirror>>,
    pub fault: Option<ExpectedFault>,
    pub denied_by: Option<String>,
    pub reason: Option<String>,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedOutcome {
    Forwarded,
    Redirected,
    Answered,
    Denied,
    Refused,
    Unavailable,
}

/// When a call is tried again.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExpectedRetries {
    pub attempts: Option<u32>,
    pub per_try_timeout: Option<Span>,
    pub retry_on: Option<String>,
}

/// Where copies go.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExpectedMirror {
    pub to: String,
    pub percent: Option<f64>,
}

/// What is injected.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExpectedFault {
    pub delay: Option<Span>,
    pub abort: Option<u16>,
}

/// One text, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Texts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Texts, E> {
                Ok(Texts(vec![number.to_string()]))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Texts, E> {
                Ok(Texts(vec![value.to_string()]))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Texts, E> {
                Ok(Texts::default())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
