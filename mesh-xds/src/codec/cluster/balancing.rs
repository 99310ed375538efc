//! How one of a cluster's instances is chosen.

use std::mem::take;

use mesh_core::dataplane::{Balancing, Fraction, HashTable, SlowStart};

use crate::{
    codec::{
        reader::{Reader, Unread},
        scalar::{duration, long, number, percent, read_duration, read_percent},
    },
    proto::{cluster as v3, core, wkt},
};
use v3::cluster::{LbConfig, LbPolicy};

pub(super) fn write_balancing(
    wire: &mut v3::Cluster,
    value: &Balancing,
    slow_start: Option<&SlowStart>,
) {
    let (policy, config) = match *value {
        Balancing::RoundRobin => (
            LbPolicy::RoundRobin,
            slow_start.map(|slow| {
                LbConfig::RoundRobinLbConfig(v3::cluster::RoundRobinLbConfig {
                    slow_start_config: Some(slow_start_config(slow)),
                })
            }),
        ),
        Balancing::Random => (LbPolicy::Random, None),
        Balancing::Provided => (LbPolicy::ClusterProvided, None),
        Balancing::LeastRequest { choices } => (
            LbPolicy::LeastRequest,
            (choices != 2 || slow_start.is_some()).then(|| {
                LbConfig::LeastRequestLbConfig(v3::cluster::LeastRequestLbConfig {
                    choice_count: if choices == 2 { None } else { number(choices) },
                    slow_start_config: slow_start.map(slow_start_config),
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

fn slow_start_config(value: &SlowStart) -> v3::cluster::SlowStartConfig {
    v3::cluster::SlowStartConfig {
        slow_start_window: Some(duration(value.window)),
        aggression: Some(core::RuntimeDouble {
            default_value: f64::from(value.aggression) / 1000.0,
            // Envoy wants a name here, and nobody sets it.
            runtime_key: "istio.slow_start.aggression".into(),
        }),
        min_weight_percent: Some(percent(value.start)),
    }
}

/// A window of nothing is no slow start.
fn read_slow_start(
    r: &mut Reader,
    wire: Option<v3::cluster::SlowStartConfig>,
) -> Option<SlowStart> {
    let mut wire = wire?;
    let window = read_duration(r, "slow_start_window", wire.slow_start_window.take());
    let aggression = wire
        .aggression
        .take()
        .map_or(1.0, |given| given.default_value);
    if aggression <= 0.0 || !aggression.is_finite() {
        r.refuse("aggression", format!("is not above zero ({aggression})"));
    }
    let ten = Fraction::per_million(100_000);
    let start = read_percent(r, "min_weight_percent", wire.min_weight_percent.take(), ten);
    r.finish(wire, Unread::IGNORED);
    Some(SlowStart {
        window: window.filter(|window| !window.is_zero())?,
        // What is out of bounds becomes the nearest number.
        aggression: (aggression * 1000.0).round() as u32,
        start,
    })
}

pub(super) fn read_balancing(
    r: &mut Reader,
    wire: &mut v3::Cluster,
) -> (Balancing, Option<SlowStart>) {
    let mut slow_start = None;
    let balancing = read_policy(r, wire, &mut slow_start);
    (balancing, slow_start)
}

fn read_policy(
    r: &mut Reader,
    wire: &mut v3::Cluster,
    slow_start: &mut Option<SlowStart>,
) -> Balancing {
    let size = |value: Option<wkt::UInt64Value>, unset| HashTable {
        size: value.map_or(unset, |value| value.value),
    };
    let config = wire.lb_config.take();
    match LbPolicy::try_from(take(&mut wire.lb_policy)) {
        Ok(LbPolicy::RoundRobin) => {
            if let Some(LbConfig::RoundRobinLbConfig(config)) = config {
                *slow_start = r.within("round_robin_lb_config.slow_start_config", |r| {
                    read_slow_start(r, config.slow_start_config)
                });
            }
            Balancing::RoundRobin
        }
        Ok(LbPolicy::Random) => Balancing::Random,
        Ok(LbPolicy::ClusterProvided) => Balancing::Provided,
        Ok(LbPolicy::LeastRequest) => {
            let mut choices = None;
            if let Some(LbConfig::LeastRequestLbConfig(mut config)) = config {
                choices = config.choice_count.take();
                *slow_start = r.within("least_request_lb_config.slow_start_config", |r| {
                    read_slow_start(r, config.slow_start_config.take())
                });
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
