//! How one of a cluster's instances is chosen.

use std::mem::take;

use mesh_core::dataplane::{Balancing, HashTable};

use crate::{
    codec::{
        reader::{Reader, Unread},
        scalar::{long, number},
    },
    proto::{cluster as v3, wkt},
};
use v3::cluster::{LbConfig, LbPolicy};

pub(super) fn write_balancing(wire: &mut v3::Cluster, value: &Balancing) {
    let (policy, config) = match *value {
        Balancing::RoundRobin => (LbPolicy::RoundRobin, None),
        Balancing::Random => (LbPolicy::Random, None),
        Balancing::Provided => (LbPolicy::ClusterProvided, None),
        Balancing::LeastRequest { choices } => (
            LbPolicy::LeastRequest,
            (choices != 2).then(|| {
                LbConfig::LeastRequestLbConfig(v3::cluster::LeastRequestLbConfig {
                    choice_count: number(choices),
                    ..Default::default()
                })
            }),
        ),
        Balancing::RingHash(HashTable { size }) => (
            LbPolicy::RingHash,
            Some(LbConfig::RingHashLbConfig(v3::cluster::RingHashLbConfig {
                minimum_ring_size: long(size),
                ..Default::default()
            })),
        ),
        Balancing::Maglev(HashTable { size }) => (
            LbPolicy::Maglev,
            Some(LbConfig::MaglevLbConfig(v3::cluster::MaglevLbConfig {
                table_size: long(size),
            })),
        ),
    };
    wire.lb_policy = policy.into();
    wire.lb_config = config;
}

pub(super) fn read_balancing(r: &mut Reader, wire: &mut v3::Cluster) -> Balancing {
    let size = |value: Option<wkt::UInt64Value>, unset| HashTable {
        size: value.map_or(unset, |value| value.value),
    };
    let config = wire.lb_config.take();
    match LbPolicy::try_from(take(&mut wire.lb_policy)) {
        Ok(LbPolicy::RoundRobin) => Balancing::RoundRobin,
        Ok(LbPolicy::Random) => Balancing::Random,
        Ok(LbPolicy::ClusterProvided) => Balancing::Provided,
        Ok(LbPolicy::LeastRequest) => {
            let mut choices = None;
            if let Some(LbConfig::LeastRequestLbConfig(mut config)) = config {
                choices = config.choice_count.take();
                r.within("least_request_lb_config", |r| {
                    r.finish(config, Unread::IGNORED)
                });
            }
            Balancing::LeastRequest {
                choices: choices.map_or(2, |count| count.value),
            }
        }
        Ok(LbPolicy::RingHash) => {
            let mut ring = None;
            if let Some(LbConfig::RingHashLbConfig(mut config)) = config {
                ring = config.minimum_ring_size.take();
                r.within("ring_hash_lb_config", |r| r.finish(config, Unread::IGNORED));
            }
            Balancing::RingHash(size(ring, 1024))
        }
        Ok(LbPolicy::Maglev) => {
            let table = match config {
                Some(LbConfig::MaglevLbConfig(config)) => config.table_size,
                _ => None,
            };
            Balancing::Maglev(size(table, 65_537))
        }
        Ok(LbPolicy::LoadBalancingPolicyConfig) | Err(_) => {
            r.refuse("lb_policy", "is not supported");
            Balancing::RoundRobin
        }
    }
}
