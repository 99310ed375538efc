use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Labels of a workload or service, sorted by key. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(Arc<BTreeMap<String, String>>);

/// Labels that a workload must carry to be meant. An empty selector means every workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selector(pub Labels);

impl Labels {
    /// The value under a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Every key and value, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `app` by Kubernetes' recommended labels, as Istio's canonical service name:
    /// `service.istio.io/canonical-name`, `app.kubernetes.io/name`, `app`.
    pub fn canonical_name(&self) -> Option<&str> {
        self.first(&[
            "service.istio.io/canonical-name",
            "app.kubernetes.io/name",
            "app",
        ])
    }

    /// Istio's canonical revision: `service.istio.io/canonical-revision`,
    /// `app.kubernetes.io/version`, `version`, else `latest`.
    pub fn canonical_revision(&self) -> &str {
        self.first(&[
            "service.istio.io/canonical-revision",
            "app.kubernetes.io/version",
            "version",
        ])
        .unwrap_or("latest")
    }

    fn first(&self, keys: &[&str]) -> Option<&str> {
        keys.iter()
            .find_map(|key| self.value(key))
            .filter(|value| !value.is_empty())
    }
}

impl Selector {
    /// Whether a workload with these labels is meant.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0
            .iter()
            .all(|(key, value)| labels.value(key) == Some(value))
    }

    /// Whether it means every workload.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(Arc::new(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        ))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Selector {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter()).finish()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selecting() {
        let labels: Labels = [("app", "reviews"), ("version", "v2")]
            .into_iter()
            .collect();
        for (selector, want) in [
            (vec![], true),
            (vec![("app", "reviews")], true),
            (vec![("app", "reviews"), ("version", "v2")], true),
            (vec![("version", "v1")], false),
            (vec![("tier", "web")], false),
        ] {
            assert_eq!(
                selector
                    .iter()
                    .copied()
                    .collect::<Selector>()
                    .matches(&labels),
                want
            );
        }
    }

    #[test]
    fn canonical_names() {
        let labels: Labels = [("app", "a"), ("app.kubernetes.io/name", "b")]
            .into_iter()
            .collect();
        assert_eq!(labels.canonical_name(), Some("b"));
        assert_eq!(labels.canonical_revision(), "latest");
    }
}
