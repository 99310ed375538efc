//! How the places of instances count: which are called first, and how much each place gets.

use std::collections::BTreeMap;

use super::view::View;
use crate::{
    dataplane::Node,
    mesh::{
        CallPolicy, Distribution, Endpoint, LocalityLabel, LocalityPolicy, Mesh, RegionFailover,
        Service, TrafficDistribution,
    },
    name::{
        Labels, Locality,
        topology::{CLUSTER, HOSTNAME, NETWORK, REGION, SUB_ZONE, ZONE},
    },
};

/// How many distances there are between a caller and an instance, by place alone.
const DISTANCES: u32 = 5;
/// How many there are where only regions count.
const REGIONS: u32 = 3;

/// Instances of one place and priority.
pub(super) struct Group<'a> {
    pub(super) locality: &'a Locality,
    pub(super) priority: u32,
    pub(super) weight: u32,
    pub(super) members: Vec<&'a Endpoint>,
}

/// What counts for a destination: what its rule says, else what the service does, else the mesh.
///
/// Failing over takes somebody who finds failing instances out: without outlier detection places do
/// not count, unless the service itself prefers near instances.
pub(super) fn in_effect(view: &View<'_>, service: &Service, policy: &CallPolicy) -> LocalityPolicy {
    let load = policy.load.as_ref();
    let written = match load.and_then(|load| load.locality.as_ref()) {
        Some(written) => written,
        None => match preferred(service.distribution) {
            Some(preferred) => return preferred,
            None => &view.mesh.defaults().locality,
        },
    };
    match written {
        LocalityPolicy::Failover { .. } if policy.outlier.is_none() => LocalityPolicy::Off,
        LocalityPolicy::Distribute(shares)
            if !shares
                .iter()
                .any(|share| share.from.covers(&view.node.locality)) =>
        {
            LocalityPolicy::Off
        }
        written => written.clone(),
    }
}

fn preferred(distribution: TrafficDistribution) -> Option<LocalityPolicy> {
    let labels = distribution.labels();
    (!labels.is_empty()).then(|| LocalityPolicy::Failover {
        labels: labels
            .iter()
            .map(|key| LocalityLabel::of_caller(key))
            .collect(),
        regions: Vec::new(),
    })
}

/// Whether places take the shares of their weights. Elsewhere all instances that are as near are
/// alike, so that the less busy is found among all of them.
pub(super) fn take_shares(places: &LocalityPolicy) -> bool {
    match places {
        LocalityPolicy::Off | LocalityPolicy::Zones { .. } => false,
        LocalityPolicy::Distribute(_) => true,
        LocalityPolicy::Failover { labels, regions } => !labels.is_empty() || !regions.is_empty(),
    }
}

/// Gives each place its priority and weight. Priorities start at 0 and leave none out: whoever
/// balances counts on that.
pub(super) fn arrange<'a>(
    view: &View<'_>,
    places: &LocalityPolicy,
    groups: BTreeMap<&'a Locality, Vec<&'a Endpoint>>,
) -> Vec<Group<'a>> {
    let alike = groups.into_iter().map(|(locality, members)| Group {
        locality,
        priority: 0,
        weight: weight_of(&members),
        members,
    });
    let alike: Vec<_> = alike.collect();
    let own = &view.node.locality;
    let mut groups = match places {
        LocalityPolicy::Off => alike,
        LocalityPolicy::Distribute(shares) => distribute(own, shares, alike),
        LocalityPolicy::Failover { labels, regions } => {
            let mut groups = by_labels(view, labels, alike);
            if labels.is_empty() || !regions.is_empty() {
                for group in &mut groups {
                    let distance = distance(own, group.locality, regions);
                    group.priority = group.priority * DISTANCES + distance;
                }
            }
            groups
        }
        LocalityPolicy::Zones { labels, regions } => {
            let mut groups = by_labels(view, labels, alike);
            for group in &mut groups {
                let region = distance(own, group.locality, regions).saturating_sub(2);
                group.priority = group.priority * REGIONS + region;
            }
            groups
        }
    };
    without_gaps(&mut groups);
    groups
}

/// Instances of places that nothing is said of get nothing.
fn distribute<'a>(
    own: &Locality,
    shares: &[Distribution],
    mut groups: Vec<Group<'a>>,
) -> Vec<Group<'a>> {
    let Some(shares) = shares.iter().find(|share| share.from.covers(own)) else {
        return groups;
    };
    let mut found = Vec::new();
    for (place, share) in &shares.to {
        let (mut here, elsewhere): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|group| place.covers(group.locality));
        groups = elsewhere;
        // Several places under one share divide it by what they weigh.
        let whole: u64 = here.iter().map(|group| u64::from(group.weight)).sum();
        for group in &mut here {
            let part = u64::from(group.weight) * u64::from(*share);
            let part = part.div_ceil(whole.max(1)).max(1);
            group.weight = u32::try_from(part).unwrap_or(u32::MAX);
        }
        found.extend(here);
    }
    found.sort_by_key(|group| group.locality);
    found
}

/// Divides places by how many labels of their instances agree with the caller's, from the first on.
fn by_labels<'a>(
    view: &View<'_>,
    labels: &[LocalityLabel],
    groups: Vec<Group<'a>>,
) -> Vec<Group<'a>> {
    if labels.is_empty() {
        return groups;
    }
    let wanted: Vec<&str> = labels
        .iter()
        .map(|label| match &label.value {
            Some(value) => value,
            None => own_value(view, &label.key),
        })
        .collect();
    let all = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let mut divided = Vec::new();
    for group in groups {
        let mut by_priority: BTreeMap<u32, Vec<&Endpoint>> = BTreeMap::new();
        for member in group.members {
            let agree = labels.iter().zip(&wanted);
            let agree =
                agree.take_while(|(label, value)| value_of(view, member, &label.key) == **value);
            let agree = u32::try_from(agree.count()).unwrap_or(u32::MAX);
            by_priority.entry(all - agree).or_default().push(member);
        }
        divided.extend(by_priority.into_iter().map(|(priority, members)| Group {
            locality: group.locality,
            priority,
            weight: weight_of(&members),
            members,
        }));
    }
    divided
}

/// The node's labels, and those that tell its machine and its network, where some destination's
/// places are told by these.
pub(super) fn with_own_place(mesh: &Mesh, node: &Node) -> Labels {
    let by_place = [HOSTNAME, NETWORK].into_iter();
    let asked: Vec<_> = by_place.filter(|key| mesh.places_by(key)).collect();
    let own = match asked.is_empty() {
        true => None,
        false => mesh.endpoints().workload(&node.namespace, &node.name),
    };
    let Some(own) = own else {
        return node.labels.clone();
    };
    let known = asked.into_iter().map(|key| match key {
        HOSTNAME => (key, &*own.node_name),
        _ => (key, &*own.network),
    });
    let known = known.filter(|(_, value)| !value.is_empty());
    node.labels.iter().chain(known).collect()
}

/// What the caller carries under a label; empty for nothing.
fn own_value<'a>(view: &View<'a>, key: &str) -> &'a str {
    let place = Place {
        locality: &view.node.locality,
        labels: &view.node.labels,
        network: "",
        machine: "",
        cluster: &view.node.cluster_id,
    };
    place.value(key)
}

/// What an instance carries under a label; empty for nothing.
fn value_of<'a>(view: &View<'a>, instance: &'a Endpoint, key: &str) -> &'a str {
    let workload = &instance.workload;
    let place = Place {
        locality: &workload.locality,
        labels: &workload.labels,
        network: &workload.network,
        machine: &workload.node_name,
        cluster: &view.node.cluster_id,
    };
    place.value(key)
}

/// Where somebody runs, as labels tell it.
struct Place<'a> {
    locality: &'a Locality,
    labels: &'a Labels,
    network: &'a str,
    machine: &'a str,
    cluster: &'a str,
}

impl<'a> Place<'a> {
    /// What is known of the place counts before what is written on it.
    fn value(&self, key: &str) -> &'a str {
        let known = match key {
            REGION => &self.locality.region,
            ZONE => &self.locality.zone,
            SUB_ZONE => &self.locality.sub_zone,
            NETWORK => self.network,
            CLUSTER => self.cluster,
            HOSTNAME => self.machine,
            _ => "",
        };
        match known {
            "" => self.labels.value(key).unwrap_or_default(),
            known => known,
        }
    }
}

/// 0 in the same sub-zone, 1 in the same zone, 2 in the same region, 3 in another region, 4 in one
/// that is not to take over from the caller's.
fn distance(own: &Locality, other: &Locality, regions: &[RegionFailover]) -> u32 {
    if own.region != other.region {
        let next = regions.iter().find(|region| region.from == own.region);
        return match next {
            Some(next) if next.to != other.region => 4,
            _ => 3,
        };
    }
    let zone = own.zone == other.zone;
    let sub_zone = zone && own.sub_zone == other.sub_zone;
    2 - u32::from(zone) - u32::from(sub_zone)
}

fn weight_of(members: &[&Endpoint]) -> u32 {
    let weights = members.iter().map(|member| member.workload.weight.max(1));
    weights.fold(0, u32::saturating_add)
}

fn without_gaps(groups: &mut [Group<'_>]) {
    let mut used: Vec<u32> = groups.iter().map(|group| group.priority).collect();
    used.sort_unstable();
    used.dedup();
    for group in groups {
        let rank = used.binary_search(&group.priority).unwrap_or_default();
        group.priority = u32::try_from(rank).unwrap_or(u32::MAX);
    }
}
