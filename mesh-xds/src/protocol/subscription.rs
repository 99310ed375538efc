use std::collections::BTreeSet;

use mesh_core::dataplane::{Name, ResourceType};

/// The most names a client may ask for of one type.
pub const MAX_NAMES: usize = 100_000;

/// Which resources of a type a client wants (xDS protocol, "How the client specifies what
/// resources to return").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    all: bool,
    names: BTreeSet<Name>,
    explicit: bool,
}

/// A client asked for more than [`MAX_NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_NAMES} names of one type")]
pub struct TooManyNames;

impl Subscription {
    /// Takes the full list of a new request and returns the names that were not wanted before.
    ///
    /// A client that has never given a name wants every listener and cluster; the first name ends
    /// that for good, unless it is `*`.
    ///
    /// # Errors
    ///
    /// A list that is too long; nothing changes then.
    pub fn update(
        &mut self,
        resource_type: ResourceType,
        names: &BTreeSet<Name>,
    ) -> Result<BTreeSet<Name>, TooManyNames> {
        if names.len() > MAX_NAMES {
            return Err(TooManyNames);
        }
        self.explicit |= !names.is_empty();
        let has_wildcard = matches!(
            resource_type,
            ResourceType::Cluster | ResourceType::Listener
        );
        self.all = names.contains("*") || (has_wildcard && !self.explicit);
        let names: BTreeSet<Name> = names
            .iter()
            .filter(|name| &***name != "*")
            .cloned()
            .collect();
        let new = names.difference(&self.names).cloned().collect();
        self.names = names;
        Ok(new)
    }

    /// Whether a resource is wanted.
    pub fn wants(&self, name: &Name) -> bool {
        self.all || self.names.contains(name)
    }

    /// Whether everything is wanted.
    pub fn is_wildcard(&self) -> bool {
        self.all
    }

    /// The names that were asked for one by one.
    pub fn names(&self) -> &BTreeSet<Name> {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wildcard_comes_and_goes() {
        use ResourceType::{Cluster, Endpoints};
        type Case = (
            ResourceType,
            &'static [&'static [&'static str]],
            bool,
            &'static [&'static str],
        );
        let cases: [Case; 8] = [
            (Cluster, &[&[]], true, &[]),
            (Cluster, &[&[], &[]], true, &[]),
            (Cluster, &[&[], &["*", "a"]], true, &["a"]),
            (Cluster, &[&[], &["*", "a"], &["a"]], false, &["a"]),
            (Cluster, &[&[], &["a"], &[]], false, &[]),
            (Cluster, &[&["a"]], false, &["a"]),
            (Endpoints, &[&[]], false, &[]),
            (Endpoints, &[&["*"]], true, &[]),
        ];
        for (resource_type, requests, all, names) in cases {
            let mut subscription = Subscription::default();
            for request in requests {
                let request = request.iter().map(|&name| name.into()).collect();
                subscription.update(resource_type, &request).unwrap();
            }
            assert_eq!(subscription.is_wildcard(), all, "{requests:?}");
            assert!(
                subscription
                    .names()
                    .iter()
                    .map(|n| &**n)
                    .eq(names.iter().copied())
            );
        }
    }
}
