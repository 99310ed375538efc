use std::{collections::BTreeSet, sync::Arc};

use mesh_core::dataplane::*;
use mesh_routing::{Balancer, Dice, EndpointIndex, Loads};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Health, weight.
type Instance = (EndpointHealth, u32);

const WELL: Instance = (EndpointHealth::Healthy, 1);
const ILL: Instance = (EndpointHealth::Unhealthy, 1);

fn locality(
    priority: u32,
    weight: u32,
    first_port: u16,
    instances: &[Instance],
) -> LocalityEndpoints {
    let endpoint = |(port, (health, weight)): (u16, &Instance)| Endpoint {
        health: *health,
        weight: *weight,
        ..Endpoint::at(([127, 0, 0, 1], port).into())
    };
    LocalityEndpoints {
        weight,
        priority,
        endpoints: (first_port..).zip(instances).map(endpoint).collect(),
        ..Default::default()
    }
}

fn balancer(localities: Vec<LocalityEndpoints>, balancing: Balancing, panic: u8) -> Balancer {
    let set = EndpointSet {
        name: "s".into(),
        localities,
    };
    Balancer::compile(Arc::new(set), &balancing, panic).unwrap()
}

/// How often each instance is chosen in so many picks.
fn tally(balancer: &Balancer, loads: &Loads, picks: u32) -> Vec<u32> {
    let mut dice = Dice::new(1);
    let mut counts = vec![0; balancer.len()];
    for _ in 0..picks {
        if let Some(index) = balancer.pick(loads, None, &mut dice, &|_| false) {
            counts[index.0 as usize] += 1;
        }
    }
    counts
}

/// Compares with shares, within five standard deviations of independent draws.
#[track_caller]
fn check(balancer: &Balancer, want: &[f64]) {
    let n = 10_000.0;
    let loads = Loads::new(balancer);
    let seen = tally(balancer, &loads, n as u32);
    for (seen_one, share) in seen.iter().zip(want) {
        let deviation = 5.0 * (n * share * (1.0 - share)).sqrt();
        let off = (f64::from(*seen_one) - n * share).abs();
        assert!(off <= deviation, "{seen:?}, wanted {want:?}");
    }
    assert_eq!(seen.len(), want.len());
}

const LEAST: Balancing = Balancing::LeastRequest { choices: 2 };

#[test]
fn shares_follow_weights() {
    let weights = [
        (EndpointHealth::Healthy, 1),
        (EndpointHealth::Healthy, 2),
        (EndpointHealth::Healthy, 5),
    ];
    let policies = || {
        [
            Balancing::RoundRobin,
            LEAST,
            Balancing::Random,
            Balancing::RingHash(HashTable { size: 0 }),
            Balancing::Maglev(HashTable { size: 0 }),
            Balancing::Provided,
        ]
    };
    for policy in policies() {
        let equal = balancer(
            vec![locality(0, 0, 1, &[WELL, WELL, WELL, WELL])],
            policy.clone(),
            0,
        );
        check(&equal, &[0.25; 4]);
        let weighted = balancer(vec![locality(0, 0, 1, &weights)], policy.clone(), 0);
        check(&weighted, &[0.125, 0.25, 0.625]);
        let places = vec![locality(0, 3, 1, &[WELL]), locality(0, 1, 2, &[WELL, WELL])];
        check(&balancer(places, policy, 0), &[0.75, 0.125, 0.125]);
    }
}

#[test]
fn turns_are_exact() {
    let three = balancer(
        vec![locality(0, 0, 1, &[WELL, ILL, WELL, WELL])],
        Balancing::RoundRobin,
        0,
    );
    assert_eq!(tally(&three, &Loads::new(&three), 300), [100, 0, 100, 100]);
    let weighted = balancer(
        vec![locality(
            0,
            0,
            1,
            &[(EndpointHealth::Healthy, 1), (EndpointHealth::Healthy, 3)],
        )],
        Balancing::RoundRobin,
        0,
    );
    let loads = Loads::new(&weighted);
    for _ in 0..50 {
        let seen = tally(&weighted, &loads, 8);
        assert!((1..=3).contains(&seen[0]), "{seen:?}");
    }
}

#[test]
fn the_less_busy_gets_it() {
    let two = balancer(vec![locality(0, 0, 1, &[WELL, WELL])], LEAST, 0);
    let loads = Loads::new(&two);
    loads.endpoint(EndpointIndex(0)).unwrap().begin();
    assert_eq!(tally(&two, &loads, 100), [0, 100]);
    loads.endpoint(EndpointIndex(0)).unwrap().end();
    let seen = tally(&two, &loads, 100);
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

#[test]
fn priorities() {
    let two = |first: &[Instance], second: &[Instance], panic| {
        let second = locality(1, 1, 100, second);
        balancer(
            vec![locality(0, 1, 1, first), second],
            Balancing::Random,
            panic,
        )
    };
    // Whole as long as 100/140 is healthy.
    check(
        &two(&[WELL, WELL, WELL, ILL], &[WELL], 0),
        &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0, 0.0],
    );
    // Half healthy holds 70 %, the rest goes on.
    check(&two(&[WELL, ILL], &[WELL], 0), &[0.7, 0.0, 0.3]);
    check(&two(&[ILL, ILL], &[WELL], 0), &[0.0, 0.0, 1.0]);
    check(&two(&[], &[WELL], 0), &[1.0]);
    // Together 56 %: in proportion.
    check(
        &two(&[WELL, ILL, ILL, ILL, ILL], &[WELL, ILL, ILL, ILL, ILL], 0),
        &[0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0],
    );
    // Nobody healthy: nobody, unless in panic.
    check(&two(&[ILL], &[ILL], 0), &[0.0, 0.0]);
    check(&two(&[ILL, ILL], &[], 50), &[0.5, 0.5]);
    // A priority in panic uses all its instances.
    let panicking = two(&[WELL, ILL, ILL, ILL], &[ILL], 50);
    check(&panicking, &[0.25, 0.25, 0.25, 0.25, 0.0]);
}

#[test]
fn ejected_instances_get_nothing() {
    for policy in [Balancing::RoundRobin, LEAST, Balancing::Random] {
        let two = vec![
            locality(0, 1, 1, &[WELL, WELL]),
            locality(1, 1, 10, &[WELL]),
        ];
        let balancer = balancer(two, policy, 0);
        let loads = Loads::new(&balancer);
        loads.endpoint(EndpointIndex(1)).unwrap().set_ejected(true);
        let seen = tally(&balancer, &loads, 1000);
        assert_eq!(seen[1], 0);
        // Half of the first priority holds 70 %.
        assert!((230..370).contains(&seen[2]), "{seen:?}");
        loads.endpoint(EndpointIndex(1)).unwrap().set_ejected(false);
        assert_eq!(tally(&balancer, &loads, 1000)[2], 0);
    }
}

#[test]
fn loads_outlive_a_change_of_instances() {
    let before = balancer(vec![locality(0, 1, 1, &[WELL, WELL])], LEAST, 0);
    let loads = Loads::new(&before);
    let lease = Arc::clone(loads.endpoint(EndpointIndex(1)).unwrap());
    lease.begin();
    // Ports 2 and 3 now; 2 was number one and is number zero.
    let after = balancer(vec![locality(0, 1, 2, &[WELL, WELL])], LEAST, 0);
    let carried = Loads::carried(&after, &before, &loads);
    assert_eq!(carried.endpoint(EndpointIndex(0)).unwrap().in_flight(), 1);
    assert_eq!(carried.endpoint(EndpointIndex(1)).unwrap().in_flight(), 0);
    lease.end();
    assert_eq!(carried.endpoint(EndpointIndex(0)).unwrap().in_flight(), 0);
}

#[test]
fn table_sizes() {
    let compile = |balancing| Balancer::compile(Arc::default(), &balancing, 0);
    let maglev = |size| compile(Balancing::Maglev(HashTable { size }));
    for size in [0, 2, 251, 65_537] {
        assert!(maglev(size).is_ok(), "{size}");
    }
    for size in [1, 4, 65_536, 8_388_617] {
        let error = maglev(size).unwrap_err();
        assert_eq!(error.field, "balancing.size", "{size}");
    }
    let ring = |size| compile(Balancing::RingHash(HashTable { size }));
    assert!(ring(1024).is_ok());
    assert!(ring(Balancer::MAX_TABLE + 1).is_err());
}

/// How many of so many keys go elsewhere when the last of ten instances goes away.
fn moved(balancing: Balancing) -> u32 {
    let maglev = matches!(balancing, Balancing::Maglev(_));
    let ten = balancer(vec![locality(0, 1, 1, &[WELL; 10])], balancing.clone(), 0);
    let nine = balancer(vec![locality(0, 1, 1, &[WELL; 9])], balancing, 0);
    let (all, fewer) = (Loads::new(&ten), Loads::new(&nine));
    let mut moved = 0;
    for key in 0..10_000_u64 {
        let hash = Some(mesh_routing::hash::xxh64(&key.to_le_bytes(), 0));
        let mut dice = Dice::new(key);
        let before = ten.pick(&all, hash, &mut dice, &|_| false).unwrap();
        assert_eq!(ten.pick(&all, hash, &mut dice, &|_| false), Some(before));
        let after = nine.pick(&fewer, hash, &mut dice, &|_| false).unwrap();
        moved += u32::from(before != after);
        let without = ten
            .pick(&all, hash, &mut dice, &|index| index.0 == 9)
            .unwrap();
        // Leaving one out for a moment is the same as its absence, on a ring.
        assert!(without == after || maglev && without.0 != 9);
    }
    moved
}

#[test]
fn few_keys_move() {
    let ring = moved(Balancing::RingHash(HashTable { size: 1024 }));
    assert!((700..1_300).contains(&ring), "{ring}");
    let maglev = moved(Balancing::Maglev(HashTable { size: 65_537 }));
    assert!((800..2_000).contains(&maglev), "{maglev}");
}

/// The slots of a Maglev table that each of so many instances has, by asking for every one.
fn slots(instances: usize, size: u64) -> Vec<Option<EndpointIndex>> {
    let table = Balancing::Maglev(HashTable { size });
    let all = vec![WELL; instances];
    let balancer = balancer(vec![locality(0, 1, 1, &all)], table, 0);
    let loads = Loads::new(&balancer);
    let pick = |slot| balancer.pick(&loads, Some(slot), &mut Dice::new(0), &|_| false);
    (0..size).map(pick).collect()
}

/// Eisenbud et al., section 3.4: instances take slots in turn, so that no two differ by more than
/// one slot; and section 5.3: in a table of 65537 slots, fewer than 2 % of the slots of those that
/// stay move when one leaves.
#[test]
fn maglev_is_even_and_moves_little() {
    let size = 65_537;
    for instances in [3, 10, 97] {
        let before = slots(instances, size);
        let mut counts = vec![0_u64; instances];
        for slot in before.iter().flatten() {
            counts[slot.0 as usize] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{instances}: {least} to {most}");
        let after = slots(instances - 1, size);
        let gone = Some(EndpointIndex(instances as u32 - 1));
        let stayed = before.iter().zip(&after).filter(|(old, _)| **old != gone);
        let moved = stayed.filter(|(old, new)| old != new).count() as f64 / size as f64;
        assert!(moved < 0.02, "{instances}: {moved}");
    }
}

/// Karger et al.: a key moves only if its instance leaves. With v points each, an instance's share
/// of the ring has mean 1/n and, for n instances of v points, a standard deviation of about
/// 1 / (n sqrt(v)).
#[test]
fn a_ring_moves_only_the_keys_of_who_leaves() {
    let of = |instances: usize| {
        let all = vec![WELL; instances];
        let policy = Balancing::RingHash(HashTable { size: 1024 });
        balancer(vec![locality(0, 1, 1, &all)], policy, 0)
    };
    for instances in [3_usize, 8, 33] {
        let (before, after) = (of(instances), of(instances - 1));
        let (old, new) = (Loads::new(&before), Loads::new(&after));
        let keys = 20_000_u64;
        let mut counts = vec![0_u64; instances];
        let mut strays = 0;
        for key in 0..keys {
            let hash = Some(mesh_routing::hash::xxh64(&key.to_le_bytes(), 1));
            let was = before
                .pick(&old, hash, &mut Dice::new(0), &|_| false)
                .unwrap();
            let is = after
                .pick(&new, hash, &mut Dice::new(0), &|_| false)
                .unwrap();
            counts[was.0 as usize] += 1;
            strays += u64::from(was.0 as usize != instances - 1 && was != is);
        }
        // As long as everyone keeps the number of points that a power of two gives them.
        let points = |n: usize| (1024.0 / n as f64).log2().ceil();
        if points(instances) == points(instances - 1) {
            assert_eq!(strays, 0, "{instances}");
        }
        let (mean, each) = (1.0 / instances as f64, points(instances).exp2());
        let deviation = mean / each.sqrt() + (mean / keys as f64).sqrt();
        for count in counts {
            let share = count as f64 / keys as f64;
            assert!(
                (share - mean).abs() < 5.0 * deviation,
                "{instances}: {share}"
            );
        }
    }
}

/// Without shares for places, the less busy is found among all instances of a priority.
#[test]
fn places_count_only_where_they_are_to() {
    let set = EndpointSet {
        name: "s".into(),
        localities: vec![
            locality(0, 90, 1, &[WELL]),
            locality(0, 10, 2, &[WELL, WELL]),
        ],
    };
    let cluster = |by_locality| Cluster {
        balancing: LEAST,
        by_locality,
        ..Cluster::new("s", Discovery::Told("s".into()))
    };
    let set = Arc::new(set);
    let alike = Balancer::of_cluster(set.clone(), &cluster(false)).unwrap();
    check(&alike, &[1.0 / 3.0; 3]);
    let shared = Balancer::of_cluster(set, &cluster(true)).unwrap();
    check(&shared, &[0.9, 0.05, 0.05]);
    // A busy instance alone in its place is left alone only where places are alike.
    for (balancer, want) in [(&alike, 0), (&shared, 850)] {
        let loads = Loads::new(balancer);
        loads.endpoint(EndpointIndex(0)).unwrap().begin();
        let seen = tally(balancer, &loads, 1000)[0];
        assert!(seen >= want && (want > 0 || seen == 0), "{seen}");
    }
}

fn a_locality() -> impl Strategy<Value = (u32, u32, Vec<Instance>)> {
    let health = select(vec![
        EndpointHealth::Healthy,
        EndpointHealth::Unhealthy,
        EndpointHealth::Draining,
    ]);
    (0_u32..3, 0_u32..3, vec((health, 0_u32..4), 0..5))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn only_who_may_be_called_is(
        localities in vec(a_locality(), 0..5),
        policy in select(vec![
            Balancing::RoundRobin,
            LEAST,
            Balancing::Random,
            Balancing::RingHash(HashTable { size: 16 }),
            Balancing::Maglev(HashTable { size: 31 }),
        ]),
        hash in option::of(any::<u64>()),
        seed: u64,
        avoided in prop::collection::btree_set(0_u32..12, 0..6),
        ejected in prop::collection::btree_set(0_u32..12, 0..4),
        panic in select(vec![0, 50]),
    ) {
        let mut port = 1;
        let localities = localities.iter().map(|(priority, weight, instances)| {
            port += 10;
            locality(*priority, *weight, port, instances)
        });
        let balancer = balancer(localities.collect(), policy, panic);
        let loads = Loads::new(&balancer);
        for index in &ejected {
            if let Some(load) = loads.endpoint(EndpointIndex(*index)) {
                load.set_ejected(true);
            }
        }
        let avoid = |index: EndpointIndex| avoided.contains(&index.0);
        let picked = balancer.pick(&loads, hash, &mut Dice::new(seed), &avoid);
        let healthy = |index: EndpointIndex| {
            balancer.endpoint(index).unwrap().health == EndpointHealth::Healthy
                && !ejected.contains(&index.0)
        };
        if let Some(index) = picked {
            prop_assert!(panic > 0 || healthy(index));
        }
        // Whoever is in a place with a weight, or where no place of its priority has one, is found.
        let set = balancer.set();
        let weighs = |place: &LocalityEndpoints| {
            let mut peers = set.localities.iter().filter(|peer| peer.priority == place.priority);
            place.weight > 0 || peers.all(|peer| peer.weight == 0)
        };
        let reachable: BTreeSet<EndpointIndex> = set
            .localities
            .iter()
            .flat_map(|place| place.endpoints.iter().map(|_| weighs(place)))
            .zip((0..).map(EndpointIndex))
            .filter(|(weighs, index)| *weighs && healthy(*index))
            .map(|(_, index)| index)
            .collect();
        if panic == 0 {
            prop_assert_eq!(picked.is_some(), !reachable.is_empty());
            let others = reachable.iter().any(|index| !avoid(*index));
            prop_assert!(picked.is_none_or(|index| !avoid(index) || !others));
        }
    }
}
