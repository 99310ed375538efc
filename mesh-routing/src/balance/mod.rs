//! Which instance gets a request.
//!
//! [`Balancer`] is compiled from an endpoint set and shared by all workers; what changes from
//! request to request is in each worker's own [`Loads`].

mod load;
mod maglev;
mod pick;
mod priority;
mod ring_hash;
mod slow_start;
mod weights;

use std::{collections::HashMap, sync::Arc};

use mesh_core::dataplane::{
    Balancing, Cluster, Endpoint, EndpointAddress, EndpointHealth, EndpointSet,
};

use crate::{CompileError, Defect, Dice};
pub use load::{EndpointLoad, Loads};
use maglev::Maglev;
use pick::Pool;
use priority::Priority;
pub use slow_start::warmed_up;

/// The instances of a cluster and how one of them is chosen.
///
/// First a priority is chosen by the health of all of them, then a locality by weight and health,
/// then an instance. Unhealthy and draining instances get nothing, unless a priority falls below
/// the panic threshold and all its instances are used.
#[derive(Debug)]
pub struct Balancer {
    set: Arc<EndpointSet>,
    places: Box<[Place]>,
    priorities: Box<[Priority]>,
    policy: Policy,
    panic_threshold: u8,
}

/// An instance's position among all of its set, locality by locality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointIndex(pub u32);

/// Where an instance stands in its set.
#[derive(Debug, Clone, Copy)]
struct Place {
    locality: u32,
    position: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    RoundRobin,
    LeastRequest { choices: u32 },
    Random,
    RingHash { size: u64 },
    Maglev { size: u64 },
}

impl Balancer {
    /// The largest ring or Maglev table, in slots (Envoy's, 8 MiB of indices).
    pub const MAX_TABLE: u64 = 8 << 20;

    /// The most instances that are drawn to find the least busy: more would not find a better one.
    pub const MAX_CHOICES: u32 = 32;

    /// Prepares the choice among a cluster's instances. Refuses table sizes out of bounds.
    pub fn of_cluster(set: Arc<EndpointSet>, cluster: &Cluster) -> Result<Self, CompileError> {
        Self::build(
            set,
            &cluster.balancing,
            cluster.panic_threshold,
            cluster.by_locality,
        )
    }

    /// Prepares the choice, places taking their shares. `panic_threshold` is the percentage of
    /// healthy instances below which
    /// all of a priority are used; zero never does. Refuses table sizes out of bounds.
    pub fn compile(
        set: Arc<EndpointSet>,
        balancing: &Balancing,
        panic_threshold: u8,
    ) -> Result<Self, CompileError> {
        Self::build(set, balancing, panic_threshold, true)
    }

    fn build(
        set: Arc<EndpointSet>,
        balancing: &Balancing,
        panic_threshold: u8,
        by_locality: bool,
    ) -> Result<Self, CompileError> {
        let policy = Policy::compile(balancing).map_err(|error| error.within("balancing"))?;
        let places: Box<[Place]> = (0..)
            .zip(&set.localities)
            .flat_map(|(locality, group)| {
                (0..group.endpoints.len() as u32).map(move |position| Place { locality, position })
            })
            .collect();
        Ok(Self {
            priorities: Priority::compile(&set, policy, by_locality),
            set,
            places,
            policy,
            panic_threshold,
        })
    }

    /// How many instances there are, healthy or not.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// An instance as planned.
    pub fn endpoint(&self, index: EndpointIndex) -> Option<&Endpoint> {
        let place = self.places.get(index.0 as usize)?;
        let group = self.set.localities.get(place.locality as usize)?;
        group.endpoints.get(place.position as usize)
    }

    /// The priority of an instance, zero being used first.
    pub fn priority(&self, index: EndpointIndex) -> Option<u32> {
        let place = self.places.get(index.0 as usize)?;
        let group = self.set.localities.get(place.locality as usize)?;
        Some(group.priority)
    }

    /// Every instance with its index.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointIndex, &Endpoint)> {
        (0..).map(EndpointIndex).zip(self.set.endpoints())
    }

    /// Where each instance stood in an older balancer, by address: what was known of it there may be
    /// carried over.
    pub fn positions_in(&self, old: &Self) -> Vec<Option<EndpointIndex>> {
        let before: HashMap<&EndpointAddress, EndpointIndex> = old
            .endpoints()
            .map(|(index, endpoint)| (&endpoint.address, index))
            .collect();
        self.endpoints()
            .map(|(_, endpoint)| before.get(&endpoint.address).copied())
            .collect()
    }

    /// The set as planned.
    pub fn set(&self) -> &Arc<EndpointSet> {
        &self.set
    }

    /// The instance for a request. None if no instance may be called.
    ///
    /// What `avoid` names is chosen only if there is nothing else, wherever the rest may be: a retry
    /// goes elsewhere if it can. `hash` keeps requests of one key together where the policy hashes;
    /// without it such a policy draws.
    pub fn pick(
        &self,
        loads: &Loads,
        hash: Option<u64>,
        dice: &mut Dice,
        avoid: &dyn Fn(EndpointIndex) -> bool,
    ) -> Option<EndpointIndex> {
        let draw = hash.map_or_else(|| dice.draw(), |hash| Dice::new(hash).draw());
        let mut avoiding = |avoid: &dyn Fn(EndpointIndex) -> bool| {
            priority::order(self, loads, draw).find_map(|(priority, panic)| {
                let pool = Pool {
                    priority,
                    policy: self.policy,
                    loads,
                    panic,
                    avoid,
                };
                pool.pick(hash, dice)
            })
        };
        avoiding(avoid).or_else(|| avoiding(&|_| false))
    }
}

impl Policy {
    fn compile(balancing: &Balancing) -> Result<Self, CompileError> {
        Ok(match balancing {
            Balancing::RoundRobin => Self::RoundRobin,
            Balancing::LeastRequest { choices } => Self::LeastRequest {
                choices: (*choices).clamp(2, Balancer::MAX_CHOICES),
            },
            // The caller told the instance; if it is asked all the same, any of them will do.
            Balancing::Random | Balancing::Provided => Self::Random,
            Balancing::RingHash(table) => Self::RingHash {
                size: check_size(table.size, "at most 8388608", |_| true)?,
            },
            Balancing::Maglev(table) => Self::Maglev {
                size: match table.size {
                    0 => Maglev::DEFAULT_SIZE,
                    size => check_size(size, "a prime of at most 8388608", is_prime)?,
                },
            },
        })
    }
}

fn check_size(size: u64, rule: &'static str, fits: fn(u64) -> bool) -> Result<u64, CompileError> {
    if size <= Balancer::MAX_TABLE && fits(size) {
        Ok(size)
    } else {
        Err(CompileError::from(Defect::TableSize { size, rule }).within("size"))
    }
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|d| d * d <= number)
            .all(|d| !number.is_multiple_of(d))
}

fn is_healthy(endpoint: &Endpoint) -> bool {
    endpoint.health == EndpointHealth::Healthy
}
