//! Decisions by arithmetic, against slow models of what is documented.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use mesh_core::dataplane::*;
use mesh_routing::{
    Balancer, Dice, EndpointIndex, Loads,
    action::Split,
    resilience::{Deadlines, FaultPolicy, Outcome, OutlierDetector, ResetKind, backoff},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

const PICKS: u32 = 20_000;

/// Levels of a hundred instances, of which so many are healthy.
fn levels(healthy: &[u32], panic: u8) -> Balancer {
    let localities = (0_u32..).zip(healthy).map(|(priority, healthy)| {
        let endpoint = |number: u32| Endpoint {
            health: match number < *healthy {
                true => EndpointHealth::Healthy,
                false => EndpointHealth::Unhealthy,
            },
            ..Endpoint::at(([10, 0, priority as u8, number as u8], 80).into())
        };
        LocalityEndpoints {
            priority,
            endpoints: (0..100).map(endpoint).collect(),
            ..Default::default()
        }
    });
    let set = EndpointSet {
        name: "s".into(),
        localities: localities.collect(),
    };
    Balancer::compile(Arc::new(set), &Balancing::Random, panic).unwrap()
}

/// What each level gets of all picks, in percent, and whether instances that are not healthy do.
fn measured(balancer: &Balancer, count: usize) -> (Vec<f64>, Vec<bool>) {
    let (loads, mut dice) = (Loads::new(balancer), Dice::new(5));
    let (mut picks, mut panics) = (vec![0; count], vec![false; count]);
    for _ in 0..PICKS {
        let Some(index) = balancer.pick(&loads, None, &mut dice, &|_| false) else {
            continue;
        };
        let level = balancer.priority(index).unwrap() as usize;
        picks[level] += 1;
        panics[level] |= balancer.endpoint(index).unwrap().health != EndpointHealth::Healthy;
    }
    let share = |count: i32| f64::from(count) * 100.0 / f64::from(PICKS);
    (picks.into_iter().map(share).collect(), panics)
}

/// Five standard deviations, and the one percent to which Envoy rounds.
fn is_near(seen: f64, want: f64) -> bool {
    let part = want / 100.0;
    let deviation = 100.0 * (part * (1.0 - part) / f64::from(PICKS)).sqrt();
    (seen - want).abs() <= 5.0 * deviation + if want % 100.0 == 0.0 { 1e-9 } else { 1.0 }
}

/// The tables of Envoy's "Priority levels" and "Panic threshold": what is healthy of each level,
/// what each gets, and which level uses all of its instances at the usual threshold of 50 %.
#[test]
fn levels_get_what_envoy_documents() {
    let calm = [false; 3];
    let tables: &[(&[u32], &[f64], [bool; 3])] = &[
        (&[100, 100], &[100.0, 0.0], calm),
        (&[72, 100], &[100.0, 0.0], calm),
        (&[71, 100], &[99.0, 1.0], calm),
        (&[50, 100], &[70.0, 30.0], calm),
        (&[25, 100], &[35.0, 65.0], calm),
        (&[0, 100], &[0.0, 100.0], calm),
        (&[72, 72], &[100.0, 0.0], calm),
        (&[71, 71], &[99.0, 1.0], calm),
        (&[50, 50], &[70.0, 30.0], calm),
        (&[25, 25], &[50.0, 50.0], [true, true, false]),
        (&[5, 65], &[7.0, 93.0], [true, false, false]),
        (&[100, 100, 100], &[100.0, 0.0, 0.0], calm),
        (&[72, 72, 100], &[100.0, 0.0, 0.0], calm),
        (&[71, 71, 100], &[99.0, 1.0, 0.0], calm),
        (&[50, 50, 100], &[70.0, 30.0, 0.0], calm),
        (&[25, 100, 100], &[35.0, 65.0, 0.0], calm),
        (&[25, 25, 100], &[35.0, 35.0, 30.0], calm),
        (&[25, 25, 20], &[36.0, 36.0, 28.0], [true; 3]),
        // All is lost: everything goes to the first.
        (&[0, 0], &[100.0, 0.0], [true, false, false]),
    ];
    for (healthy, want, panic) in tables {
        let (shares, panics) = measured(&levels(healthy, 50), want.len());
        for (seen, want) in shares.iter().zip(*want) {
            assert!(
                is_near(*seen, *want),
                "{healthy:?}: {shares:?}, wanted {want}"
            );
        }
        assert_eq!(panics, panic[..want.len()], "{healthy:?}");
        // Without a threshold nobody panics, and where nobody is healthy nobody is called.
        let (shares, panics) = measured(&levels(healthy, 0), want.len());
        let any = healthy.iter().any(|count| *count > 0);
        assert!(is_near(shares.iter().sum(), if any { 100.0 } else { 0.0 }));
        assert!(!panics.contains(&true), "{healthy:?}");
    }
}

/// Envoy's pseudo-code of priority loads, in whole percents.
fn priority_loads(healthy: &[u32]) -> Vec<f64> {
    let health: Vec<u32> = healthy
        .iter()
        .map(|count| (count * 140 / 100).min(100))
        .collect();
    let total = health.iter().sum::<u32>().min(100);
    let mut left = 100;
    let load = |health: &u32| {
        let load = (health * 100).checked_div(total).unwrap_or(0).min(left);
        left -= load;
        f64::from(load)
    };
    health.iter().map(load).collect()
}

/// Of so many that weigh so much and are so busy, how likely each is the less busy of two drawn by
/// weight: by looking at every pair.
fn less_busy(instances: &[(u32, u32)]) -> Vec<f64> {
    let alike = instances.windows(2).all(|pair| pair[0].0 == pair[1].0);
    let total: f64 = instances.iter().map(|(weight, _)| f64::from(*weight)).sum();
    let load = |i: usize| f64::from(instances[i].1) / f64::from(instances[i].0);
    let mut shares = vec![0.0; instances.len()];
    for (a, (first, _)) in instances.iter().enumerate() {
        for (b, (second, _)) in instances.iter().enumerate() {
            let likely = f64::from(first * second) / (total * total);
            let b = match alike && a == b {
                true => (a + 1) % instances.len(),
                false => b,
            };
            shares[if load(b) < load(a) { b } else { a }] += likely * 100.0;
        }
    }
    shares
}

/// A share of a million takes exactly so many of a million evenly spread draws: those at its
/// beginning.
#[test]
fn shares_are_exact_to_the_millionth() {
    let draw = |part: u64| ((u128::from(part) << 64).div_ceil(1_000_000)) as u64;
    for parts in [0, 1, 2, 12_345, 500_000, 999_999, 1_000_000] {
        let share = Fraction::per_million(parts);
        let taken = (0..1_000_000)
            .filter(|part| share.includes(draw(*part)))
            .count();
        assert_eq!(taken, parts as usize);
    }
}

/// What one instance went through since it was last found wanting, and its ejections.
#[derive(Clone, Default)]
struct Watched {
    past: Vec<Outcome>,
    times: u32,
    until: Option<u64>,
}

impl Watched {
    fn run(&self, failed: impl Fn(&Outcome) -> bool) -> u32 {
        self.past
            .iter()
            .rev()
            .take_while(|outcome| failed(outcome))
            .count() as u32
    }

    fn is_wanting(&self, settings: &OutlierDetection) -> bool {
        let (split, local) = (
            settings.split_local_origin,
            Outcome::is_local_origin_failure,
        );
        let mut seen = self.clone();
        if split {
            seen.past.retain(|outcome| !local(outcome));
        }
        let reached = |limit: u32, run: u32| limit > 0 && run >= limit;
        let errors = seen.run(|one| local(one) || one.is_server_error());
        let gateway = seen.run(|one| local(one) || one.is_gateway_error());
        let apart = if split { self.run(local) } else { 0 };
        reached(settings.consecutive_5xx, errors)
            || reached(settings.consecutive_gateway_errors, gateway)
            || reached(settings.consecutive_local_origin_failures, apart)
    }
}

fn an_outcome() -> impl Strategy<Value = Outcome> {
    let status = |status| Outcome::Response {
        status,
        grpc_status: None,
    };
    select(vec![
        status(200),
        status(500),
        status(500),
        status(503),
        status(503),
        Outcome::ConnectFailure,
        Outcome::Reset(ResetKind::BeforeResponse),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn levels_get_what_their_health_is_worth(healthy in vec(0_u32..=100, 1..4)) {
        prop_assume!(healthy.iter().any(|count| *count > 0));
        let (shares, _) = measured(&levels(&healthy, 0), healthy.len());
        for (seen, want) in shares.iter().zip(priority_loads(&healthy)) {
            // Envoy gives what rounding leaves to the first; with three levels up to two percent.
            prop_assert!((seen - want).abs() < 4.5, "{shares:?}, wanted {want}");
        }
    }

    #[test]
    fn the_less_busy_of_two_is_called(instances in vec((1_u32..5, 0_u32..4), 1..5)) {
        let endpoint = |(number, (weight, _)): (u8, &(u32, u32))| Endpoint {
            weight: *weight,
            ..Endpoint::at(([10, 0, 0, number], 80).into())
        };
        let set = EndpointSet {
            name: "s".into(),
            localities: vec![LocalityEndpoints {
                endpoints: (0..).zip(&instances).map(endpoint).collect(),
                ..Default::default()
            }],
        };
        let policy = Balancing::LeastRequest { choices: 2 };
        let balancer = Balancer::compile(Arc::new(set), &policy, 0).unwrap();
        let loads = Loads::new(&balancer);
        for (index, (_, busy)) in (0..).zip(&instances) {
            (0..*busy).for_each(|_| loads.endpoint(EndpointIndex(index)).unwrap().begin());
        }
        let (mut dice, mut counts) = (Dice::new(3), vec![0_u32; instances.len()]);
        for _ in 0..PICKS {
            let picked = balancer.pick(&loads, None, &mut dice, &|_| false).unwrap();
            counts[picked.0 as usize] += 1;
        }
        for (count, want) in counts.iter().zip(less_busy(&instances)) {
            let seen = f64::from(*count) * 100.0 / f64::from(PICKS);
            prop_assert!((seen - want).abs() < 2.0, "{instances:?} {counts:?}, wanted {want}");
        }
    }

    #[test]
    fn splits_are_even_and_stable(weights in vec(0_u32..50, 1..6), seed: u64) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let cluster = |(number, weight): (u32, &u32)| WeightedCluster {
            name: number.to_string().into(),
            weight: *weight,
            headers: HeaderEdits::default(),
        };
        let clusters: Vec<_> = (0..).zip(&weights).map(cluster).collect();
        let split = Split::for_connections(&clusters).unwrap();
        let choice = |seed| split.choose(None, seed).unwrap().index;
        prop_assert_eq!(choice(seed), choice(seed));
        let mut counts = vec![0_u32; weights.len()];
        (0..u64::from(PICKS)).for_each(|step| counts[choice(seed.wrapping_add(step))] += 1);
        let total = f64::from(weights.iter().sum::<u32>());
        for (count, weight) in counts.iter().zip(&weights) {
            let want = f64::from(*weight) * 100.0 / total;
            let seen = f64::from(*count) * 100.0 / f64::from(PICKS);
            prop_assert!((seen - want).abs() < 2.0, "{counts:?} {weights:?}");
            prop_assert!(*weight > 0 || *count == 0);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_same_request_meets_the_same_fault(parts in 0_u32..=1_000_000, seed: u64) {
        let share = Fraction::per_million(parts);
        let policy = FaultPolicy::new(Fault {
            delay: Some(FaultDelay { duration: Duration::from_secs(1), share }),
            abort: Some(FaultAbort { http_status: Some(500), grpc_status: None, share }),
        });
        prop_assert_eq!(policy.decide(seed), policy.decide(seed));
    }

    #[test]
    fn instances_are_left_out_as_their_past_says(
        limits in (0_u32..4, 0_u32..3, 0_u32..3, any::<bool>()),
        times in (1_u64..20, 1_u64..400, 0_u8..=100),
        count in 1_usize..6,
        events in vec((0_u32..6, an_outcome(), 0_u64..15), 0..120),
    ) {
        let settings = OutlierDetection {
            consecutive_5xx: limits.0,
            consecutive_gateway_errors: limits.1,
            consecutive_local_origin_failures: if limits.3 { limits.2 } else { 0 },
            split_local_origin: limits.3,
            interval: Duration::from_secs(times.0),
            base_ejection: Duration::from_secs(times.1),
            max_ejection_percent: times.2,
        };
        let room = (count * usize::from(times.2) / 100).max(usize::from(times.2 > 0));
        let mut detector = OutlierDetector::new(settings, count);
        let mut model = vec![Watched::default(); count];
        let (mut now, mut sweep) = (0, 0);
        for (instance, outcome, pause) in events {
            now += pause;
            if now >= sweep {
                sweep = now + times.0;
                for watched in &mut model {
                    match watched.until {
                        None => watched.times = watched.times.saturating_sub(1),
                        Some(until) if until <= now => watched.until = None,
                        Some(_) => {}
                    }
                }
            }
            detector.sweep(Duration::from_secs(now), |_| {});
            let out = model.iter().filter(|watched| watched.until.is_some()).count();
            if let Some(watched) = model.get_mut(instance as usize) {
                watched.past.push(outcome);
                if watched.is_wanting(&settings) {
                    watched.past.clear();
                    if watched.until.is_none() && out < room {
                        watched.times += 1;
                        let time = (times.1 * u64::from(watched.times)).min(times.1.max(300));
                        watched.until = Some(now + time);
                    }
                }
            }
            detector.record(EndpointIndex(instance), &outcome, Duration::from_secs(now));
            for (index, watched) in (0..).zip(&model) {
                let seen = detector.is_ejected(EndpointIndex(index));
                prop_assert_eq!(seen, watched.until.is_some(), "{} at {}", index, now);
            }
        }
    }

    #[test]
    fn limits_of_time_are_the_smallest_that_hold(
        (route, most, per_try) in (option::of(0_u64..9), option::of(0_u64..9), option::of(0_u64..9)),
        asked in option::of(0_u64..9),
    ) {
        let ms = Duration::from_millis;
        let mut retry = RetryPolicy {
            retry_on: Vec::new(),
            retriable_status_codes: Vec::new(),
            num_retries: 1,
            per_try_timeout: None,
            avoid_previous_hosts: false,
            host_selection_attempts: 0,
            leave_priorities_after: None,
            backoff: Backoff::default(),
        };
        retry.per_try_timeout = per_try.map(ms);
        let forward = Forward {
            timeout: route.map(ms),
            max_grpc_timeout: most.map(ms),
            retry: Some(retry),
            ..Default::default()
        };
        let mut headers = HeaderMap::new();
        if let Some(asked) = asked {
            headers.insert("grpc-timeout", format!("{asked}m").parse().unwrap());
        }
        let want = match (most, asked) {
            (Some(_), Some(0)) => Some(Duration::from_nanos(1)),
            (Some(0), Some(asked)) => Some(ms(asked)),
            (Some(most), Some(asked)) => Some(ms(asked.min(most))),
            _ => route.filter(|limit| *limit > 0).map(ms),
        };
        let seen = Deadlines::of(&forward, &headers, false);
        prop_assert_eq!(seen.request, want);
        // An attempt has a limit of its own only where that is over before the whole one's.
        let own = per_try.filter(|limit| *limit > 0).map(ms);
        prop_assert_eq!(seen.per_try, own.filter(|own| want.is_none_or(|want| *own < want)));
    }

    #[test]
    fn waits_stay_within_their_bound(
        base in 0_u64..5_000,
        max in 0_u64..100_000,
        retry in 1_u32..80,
        seed: u64,
    ) {
        let policy = Backoff { base: Duration::from_millis(base), max: Duration::from_millis(max) };
        let grown = u128::from(base) * ((1_u128 << retry) - 1);
        let bound = Duration::from_millis(grown.min(u128::from(max)) as u64);
        let wait = backoff(&policy, retry, seed);
        prop_assert!(wait < bound || bound.is_zero() && wait.is_zero(), "{wait:?} {bound:?}");
        prop_assert_eq!(wait, backoff(&policy, retry, seed));
    }
}
