//! The services an app may call, and under which names.

/// One service to call: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Name the proxy, or the resolver, knows it by.
    pub host: String,
    /// Port it listens on.
    pub port: u16,
}

impl Neighbour {
    /// `host:port`, as it stands in a `Host` header.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Where the neighbours of every service are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// The details service.
    pub details: Neighbour,
    /// The reviews service.
    pub reviews: Neighbour,
    /// The ratings service.
    pub ratings: Neighbour,
    /// The public catalogue of details v2, without a port (see [`super::BookSource`]).
    pub catalogue: String,
}

impl Default for Neighbours {
    /// Short names on port 9080, as the manifests name them.
    fn default() -> Self {
        let named = |host: &str| Neighbour {
            host: host.to_owned(),
            port: 9080,
        };
        Self {
            details: named("details"),
            reviews: named("reviews"),
            ratings: named("ratings"),
            catalogue: "www.googleapis.com".to_owned(),
        }
    }
}
