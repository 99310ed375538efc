//! How an instance is chosen, and how its place counts.

use std::{sync::Arc, time::Duration};

use crate::{mesh::PerMillion, name::Locality};

/// How an instance is chosen. Whoever gives one gives all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadPolicy {
    /// Among instances that are as near; none for the mesh's default, the less busy of two.
    pub choice: Option<Balancing>,
    /// Instances that have just come get little at first.
    pub warmup: Option<Warmup>,
    /// How places count; none for what holds otherwise.
    pub locality: Option<LocalityPolicy>,
}

/// Instances that have just come get little at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmup {
    /// How long until they get their full share.
    pub window: Duration,
    /// How steeply, in thousandths; a thousand grows evenly.
    pub aggression: u32,
    /// The share of their weight they have at once.
    pub start: PerMillion,
}

/// How the places of instances count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalityPolicy {
    /// Not at all.
    Off,
    /// Each place of callers has shares for places of instances.
    Distribute(Vec<Distribution>),
    /// Nearer instances first, as long as they are well.
    Failover {
        /// Labels by which instances are near: the more of them agree, in order, the nearer. By
        /// region, zone and sub-zone where there are none.
        labels: Vec<LocalityLabel>,
        /// Which region takes over from which.
        regions: Vec<RegionFailover>,
    },
    /// Instances of the region first; within it all alike.
    Zones {
        /// As for [`LocalityPolicy::Failover`]; they count before the region does.
        labels: Vec<LocalityLabel>,
        /// Which region takes over from which.
        regions: Vec<RegionFailover>,
    },
}

/// What share of a place's requests goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The callers' place.
    pub from: Place,
    /// Instances' places, the most specific first, with their shares in percent.
    pub to: Vec<(Place, u32)>,
}

/// A label by which instances are near.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalityLabel {
    /// The label.
    pub key: Arc<str>,
    /// What is near; none for what the caller itself carries.
    pub value: Option<Arc<str>>,
}

impl LocalityLabel {
    /// Near is what carries the same as the caller.
    pub fn of_caller(key: &str) -> Self {
        Self {
            key: key.into(),
            value: None,
        }
    }
}

impl LocalityPolicy {
    /// The labels of callers by which instances are near.
    pub(in crate::mesh) fn labels_of_callers(&self) -> impl Iterator<Item = &str> {
        let labels: &[LocalityLabel] = match self {
            Self::Failover { labels, .. } | Self::Zones { labels, .. } => labels,
            Self::Off | Self::Distribute(_) => &[],
        };
        let of_callers = labels.iter().filter(|label| label.value.is_none());
        of_callers.map(|label| &*label.key)
    }
}

/// The region that takes over from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionFailover {
    /// Where callers are.
    pub from: String,
    /// Whose instances they call next.
    pub to: String,
}

/// Places that begin alike: `us-west/zone1/*`. Ordered with the most specific first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Vec<String>);

impl Place {
    /// Reads a place; none if it has an empty part, more than three, or a `*` that is not its last.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        if parts.last().is_some_and(|last| last == "*") {
            parts.pop();
        }
        let fits = parts.len() <= 3 && parts.iter().all(|p| !p.is_empty() && !p.contains('*'));
        fits.then_some(Self(parts))
    }

    /// Whether a locality is one of them.
    pub fn covers(&self, locality: &Locality) -> bool {
        let parts = [&locality.region, &locality.zone, &locality.sub_zone];
        self.0.iter().zip(parts).all(|(own, other)| own == other)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let longer_first = other.0.len().cmp(&self.0.len());
        longer_first.then_with(|| self.0.cmp(&other.0))
    }
}

/// How an instance is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Balancing {
    /// Any.
    Random,
    /// In turn.
    RoundRobin,
    /// The less busy of two.
    LeastRequest,
    /// The one the caller meant.
    Passthrough,
    /// The same for the same key.
    Hash {
        /// What requests must have in common.
        key: HashKey,
        /// How keys are assigned.
        table: HashTable,
    },
}

/// What requests must have in common to go to the same instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header's value.
    Header(String),
    /// A cookie's value.
    Cookie {
        /// The cookie's name.
        name: String,
        /// Its path, perhaps empty.
        path: String,
        /// Its lifetime, if the proxy is to make one.
        ttl: Option<Duration>,
        /// Further words about one that the proxy makes, by name and value.
        attributes: Vec<(String, String)>,
    },
    /// The caller's address.
    SourceIp,
    /// A query parameter's value.
    QueryParameter(String),
}

/// How keys are assigned to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashTable {
    /// By a ring with at least so many slots.
    Ring(u64),
    /// By a Maglev table of this size, a prime.
    Maglev(u64),
}
