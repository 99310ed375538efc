use std::collections::BTreeMap;

use mesh_core::dataplane::{Endpoint, EndpointSet};

use super::{
    Balancer, EndpointIndex, Loads, Policy, is_healthy, maglev::Maglev, ring_hash::Ring,
    weights::Weights,
};
use crate::dice::scale;

/// Healthy instances count for so much more in percent: a priority is as good as whole until less
/// than 100/140 of it is healthy (Envoy's overprovisioning factor).
const OVERPROVISIONING: u64 = 140;

/// The instances of one priority.
#[derive(Debug)]
pub(super) struct Priority {
    /// Those that are healthy.
    pub(super) healthy: Crowd,
    /// All of them, for panic.
    pub(super) all: Crowd,
    pub(super) table: Option<Table>,
    healthy_count: u64,
    count: u64,
}

/// Instances by locality. Localities keep their positions, whoever is in them.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) localities: Weights,
    pub(super) members: Box<[Members]>,
}

/// Instances of one locality.
#[derive(Debug)]
pub(super) struct Members {
    /// The locality's position in the set.
    pub(super) locality: usize,
    pub(super) indices: Box<[EndpointIndex]>,
    pub(super) weights: Weights,
}

#[derive(Debug)]
pub(super) enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

/// A locality as planned, its instances numbered.
type Group<'a> = (usize, u64, Vec<(EndpointIndex, &'a Endpoint)>);

impl Priority {
    /// All priorities, the first used first. Where places do not count, all instances of a priority
    /// stand in one.
    pub(super) fn compile(set: &EndpointSet, policy: Policy, by_locality: bool) -> Box<[Self]> {
        let mut levels: BTreeMap<u32, Vec<Group<'_>>> = BTreeMap::new();
        let mut next = 0;
        for (position, group) in set.localities.iter().enumerate() {
            let members = (next..).map(EndpointIndex).zip(&group.endpoints).collect();
            next += group.endpoints.len() as u32;
            let members: Vec<_> = members;
            let level = levels.entry(group.priority).or_default();
            match level.first_mut() {
                Some((_, _, together)) if !by_locality => together.extend(members),
                _ if by_locality => level.push((position, group.weight.into(), members)),
                _ => level.push((position, 1, members)),
            }
        }
        levels
            .into_values()
            .map(|groups| Self::of(&groups, policy))
            .collect()
    }

    fn of(groups: &[Group<'_>], policy: Policy) -> Self {
        let healthy = Crowd::compile(groups, is_healthy);
        let all = Crowd::compile(groups, |_| true);
        Self {
            table: Table::compile(groups, policy),
            healthy_count: healthy.indices().count() as u64,
            count: all.indices().count() as u64,
            healthy,
            all,
        }
    }

    /// How many instances are healthy and not ejected, and how many there are.
    fn count(&self, loads: &Loads) -> (u64, u64) {
        let ejected = if loads.any_ejected() {
            let ejected = |index: &EndpointIndex| loads.is_ejected(*index);
            self.healthy.indices().filter(ejected).count() as u64
        } else {
            0
        };
        (self.healthy_count - ejected, self.count)
    }

    fn health_percent(&self, loads: &Loads) -> u64 {
        let (healthy, total) = self.count(loads);
        percent(healthy, total)
    }
}

impl Crowd {
    fn compile(groups: &[Group<'_>], belongs: fn(&Endpoint) -> bool) -> Self {
        let members: Box<[Members]> = groups
            .iter()
            .map(|(locality, _, members)| {
                let members = || members.iter().filter(|(_, endpoint)| belongs(endpoint));
                Members {
                    locality: *locality,
                    indices: members().map(|(index, _)| *index).collect(),
                    weights: Weights::new(members().map(|(_, endpoint)| weight(endpoint))),
                }
            })
            .collect();
        let localities = shares(groups).zip(&members).zip(groups);
        let localities = localities.map(|((share, here), (.., planned))| {
            share * percent(here.indices.len() as u64, planned.len() as u64)
        });
        Self {
            localities: Weights::new(localities),
            members,
        }
    }

    fn indices(&self) -> impl Iterator<Item = EndpointIndex> {
        self.members
            .iter()
            .flat_map(|members| members.indices.iter().copied())
    }
}

impl Table {
    fn compile(groups: &[Group<'_>], policy: Policy) -> Option<Self> {
        let all = shares(groups).sum::<u64>() as f64;
        let entries = shares(groups)
            .zip(groups)
            .flat_map(|(share, (.., members))| {
                let sum: u64 = members.iter().map(|(_, endpoint)| weight(endpoint)).sum();
                members
                    .iter()
                    .filter(|(_, endpoint)| is_healthy(endpoint))
                    .map(move |(index, endpoint)| {
                        let part = weight(endpoint) as f64 / sum as f64;
                        (
                            *index,
                            endpoint.address.to_string(),
                            part * share as f64 / all,
                        )
                    })
            });
        let entries: Vec<_> = entries.filter(|(.., share)| *share > 0.0).collect();
        match policy {
            Policy::RingHash { size } => Some(Self::Ring(Ring::build(&entries, size))),
            Policy::Maglev { size } => Some(Self::Maglev(Maglev::build(&entries, size))),
            _ => None,
        }
    }

    pub(super) fn find(
        &self,
        hash: u64,
        accept: impl Fn(EndpointIndex) -> bool,
    ) -> Option<EndpointIndex> {
        match self {
            Self::Ring(ring) => ring.from(hash).find(|index| accept(*index)),
            Self::Maglev(maglev) => maglev.from(hash).find(|index| accept(*index)),
        }
    }
}

/// The priorities to try, the chosen one first, each with whether it is in panic.
///
/// Load goes to the first priority as far as its health reaches, what is left to the next, and so
/// on; if all together are not healthy enough for everything, in proportion to their health.
pub(super) fn order<'a>(
    balancer: &'a Balancer,
    loads: &'a Loads,
    draw: u64,
) -> impl Iterator<Item = (&'a Priority, bool)> {
    let priorities = &balancer.priorities;
    let alone = priorities.len() == 1 && balancer.panic_threshold == 0;
    let health = |priority: &Priority| priority.health_percent(loads);
    let sum = if alone {
        100
    } else {
        priorities.iter().map(health).sum::<u64>()
    };
    let point = scale(draw, sum.min(100));
    let first = if alone {
        0
    } else {
        reached(priorities.iter().map(health), point)
    };
    let rest = (0..priorities.len()).filter(move |index| *index != first);
    std::iter::once(first).chain(rest).filter_map(move |index| {
        let priority = priorities.get(index)?;
        let panic = sum < 100 && in_panic(priority, balancer.panic_threshold, loads);
        Some((priority, panic))
    })
}

/// The position at which a growing sum passes a point, else the first.
fn reached(parts: impl Iterator<Item = u64>, point: u64) -> usize {
    let mut sum = 0;
    parts
        .map(|part| {
            sum += part;
            sum
        })
        .position(|sum| point < sum)
        .unwrap_or(0)
}

fn in_panic(priority: &Priority, threshold: u8, loads: &Loads) -> bool {
    let (healthy, total) = priority.count(loads);
    healthy * 100 < total * u64::from(threshold)
}

fn percent(healthy: u64, total: u64) -> u64 {
    (healthy * OVERPROVISIONING)
        .checked_div(total)
        .unwrap_or(0)
        .min(100)
}

/// Each locality's share: as planned, or where nothing is planned what its instances weigh.
fn shares(groups: &[Group<'_>]) -> impl Iterator<Item = u64> {
    let planned = groups.iter().any(|(_, weight, _)| *weight > 0);
    groups.iter().map(move |(_, share, members)| {
        if planned {
            *share
        } else {
            members.iter().map(|(_, endpoint)| weight(endpoint)).sum()
        }
    })
}

fn weight(endpoint: &Endpoint) -> u64 {
    endpoint.weight.max(1).into()
}
