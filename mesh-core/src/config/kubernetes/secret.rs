#![expect(
    missing_docs,
    reason = "fields and values are Kubernetes'; its API reference explains them"
)]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::Sensitive;

/// Bytes that nobody may see (`v1` `Secret`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    #[serde(rename = "type")]
    pub kind: String,
    pub data: BTreeMap<String, Sensitive>,
    #[serde(deserialize_with = "plain_texts")]
    pub string_data: BTreeMap<String, Sensitive>,
}

/// Settings as text (`v1` `ConfigMap`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    pub data: BTreeMap<String, String>,
}

impl Secret {
    /// The bytes under a key.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        let text = self.string_data.get(key);
        text.or_else(|| self.data.get(key)).map(Sensitive::expose)
    }
}

fn plain_texts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Sensitive>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let hide = |(key, text): (String, String)| (key, Sensitive::new(text.into_bytes()));
    Ok(texts.into_iter().map(hide).collect())
}
