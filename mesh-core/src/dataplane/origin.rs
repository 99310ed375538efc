use std::fmt;

use serde::{Serialize, Serializer};

use crate::name::ResourceRef;

/// The written resource a planned rule came from, so that logs, metrics and refusals name what the
/// user wrote.
///
/// Travels as Istio's `filter_metadata.istio.config`, a path like
/// `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(pub ResourceRef);

impl Origin {
    /// The path form.
    pub fn path(&self) -> String {
        let ResourceRef {
            group,
            kind,
            namespace,
            name,
        } = &self.0;
        format!(
            "/apis/{group}/v1/namespaces/{namespace}/{}/{name}",
            kebab(kind)
        )
    }

    /// Reads the path form; none if it has another shape.
    pub fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/apis/")?.split('/');
        let (group, _version, namespaces) = (parts.next()?, parts.next()?, parts.next()?);
        let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
        (namespaces == "namespaces" && parts.next().is_none())
            .then(|| Self(ResourceRef::new(group, &camel(kind), namespace, name)))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

fn kebab(kind: &str) -> String {
    let mut text = String::with_capacity(kind.len() + 4);
    for c in kind.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

fn camel(kind: &str) -> String {
    kind.split('-')
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            [first.to_uppercase(), rest.to_owned()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_round_trip() {
        let origin = Origin(ResourceRef::new(
            "networking.istio.io",
            "VirtualService",
            "default",
            "reviews",
        ));
        let path = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews";
        assert_eq!(origin.path(), path);
        assert_eq!(Origin::from_path(path), Some(origin));
        for bad in [
            "",
            "/apis/a",
            "/apis/g/v1/other/ns/kind/name",
            "/apis/g/v1/namespaces/n/k/a/b",
        ] {
            assert_eq!(Origin::from_path(bad), None, "{bad}");
        }
    }
}
