use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

use crate::name::ResourceRef;

/// The written resource a planned rule came from, so that logs, metrics and refusals name what the
/// user wrote.
///
/// The resource travels as Istio's `filter_metadata.istio.config`, a path like
/// `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`; the field beside it.
/// File and line are looked up in what is written, so that moving a rule changes no plan.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The resource.
    pub resource: ResourceRef,
    /// The field of it, such as `spec.http[2]`, where that is known.
    pub field: Option<Arc<str>>,
}

impl Origin {
    /// A resource as a whole.
    pub fn of(resource: ResourceRef) -> Self {
        Self {
            resource,
            field: None,
        }
    }

    /// The same resource, at this field.
    #[must_use]
    pub fn at(self, field: impl Into<Arc<str>>) -> Self {
        Self {
            field: Some(field.into()),
            ..self
        }
    }

    /// The path form, which says nothing of the field.
    pub fn path(&self) -> String {
        let ResourceRef {
            group,
            kind,
            namespace,
            name,
        } = &self.resource;
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
            .then(|| Self::of(ResourceRef::new(group, &camel(kind), namespace, name)))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.resource, f)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.resource, f)?;
        match &self.field {
            Some(field) => write!(f, " {field}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{self:?}"))
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
        let origin = Origin::of(ResourceRef::new(
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
