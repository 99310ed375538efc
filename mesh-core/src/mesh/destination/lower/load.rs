//! How an instance is chosen.

use std::time::Duration;

use crate::{
    config::istio::{self, SimpleBalancing},
    mesh::{
        destination::{
            Balancing, Distribution, HashKey, HashTable, LoadPolicy, LocalityLabel, LocalityPolicy,
            Place, RegionFailover, Warmup,
        },
        findings::Findings,
    },
};

/// How an instance is chosen.
pub(super) fn load_policy(
    field: &str,
    written: Option<&istio::LoadBalancer>,
    findings: &mut Findings<'_>,
) -> Option<LoadPolicy> {
    let written = written?;
    let field = format!("{field}.loadBalancer");
    if written.locality_lb_setting.is_some() && written.zone_aware_lb_setting.is_some() {
        findings.error(
            &field,
            "only one of localityLbSetting, zoneAwareLbSetting is allowed",
        );
    }
    let zones = written.zone_aware_lb_setting.as_ref();
    let zones = zones.and_then(|zones| {
        zone_aware_policy(&format!("{field}.zoneAwareLbSetting"), zones, findings)
    });
    let places = written
        .locality_lb_setting
        .as_ref()
        .map(|places| locality_policy(&format!("{field}.localityLbSetting"), places, findings));
    Some(LoadPolicy {
        choice: balancing(&field, written, findings),
        warmup: warmup(&field, written, findings),
        locality: zones.or(places),
    })
}

fn balancing(
    field: &str,
    written: &istio::LoadBalancer,
    findings: &mut Findings<'_>,
) -> Option<Balancing> {
    let Some(hash) = &written.consistent_hash else {
        return match written.simple? {
            SimpleBalancing::Unspecified => None,
            SimpleBalancing::LeastConn | SimpleBalancing::LeastRequest => {
                Some(Balancing::LeastRequest)
            }
            SimpleBalancing::Random => Some(Balancing::Random),
            SimpleBalancing::Passthrough => Some(Balancing::Passthrough),
            SimpleBalancing::RoundRobin => Some(Balancing::RoundRobin),
        };
    };
    if written.simple.is_some() {
        findings.error(field, "only one of simple, consistentHash is allowed");
    }
    consistent_hash(field, hash, findings)
}

fn consistent_hash(
    field: &str,
    hash: &istio::ConsistentHash,
    findings: &mut Findings<'_>,
) -> Option<Balancing> {
    let field = format!("{field}.consistentHash");
    let mut keys: Vec<HashKey> = Vec::new();
    keys.extend(hash.http_header_name.clone().map(HashKey::Header));
    keys.extend(hash.http_cookie.as_ref().map(|cookie| {
        HashKey::Cookie {
            name: cookie.name.clone(),
            path: cookie.path.clone(),
            ttl: cookie.ttl.map(|ttl| ttl.0),
            attributes: cookie
                .attributes
                .iter()
                .map(|attribute| (attribute.name.clone(), attribute.value.clone()))
                .collect(),
        }
    }));
    keys.extend(hash.use_source_ip.then_some(HashKey::SourceIp));
    keys.extend(
        hash.http_query_parameter_name
            .clone()
            .map(HashKey::QueryParameter),
    );
    if keys.len() != 1 {
        findings.error(
            &field,
            "exactly one of httpHeaderName, httpCookie, useSourceIp, \
             httpQueryParameterName is needed",
        );
    }
    let table = match (&hash.maglev, &hash.ring_hash) {
        (Some(_), Some(_)) => {
            findings.error(&field, "only one of ringHash, maglev is allowed");
            HashTable::Ring(1024)
        }
        (Some(maglev), None) => HashTable::Maglev(maglev.table_size.unwrap_or(65_537)),
        (None, ring) => {
            let size = ring.as_ref().and_then(|ring| ring.minimum_ring_size);
            HashTable::Ring(size.or(hash.minimum_ring_size).unwrap_or(1024))
        }
    };
    let (HashTable::Ring(size) | HashTable::Maglev(size)) = table;
    if size == 0 || size > MAX_HASH_TABLE {
        findings.error(&field, format!("a table has 1 to {MAX_HASH_TABLE} slots"));
    } else if matches!(table, HashTable::Maglev(size) if !is_prime(size)) {
        let at = format!("{field}.maglev.tableSize");
        findings.error(
            &at,
            format!("{size} is no prime, which a Maglev table needs"),
        );
    }
    let key = keys.pop()?;
    Some(Balancing::Hash { key, table })
}

fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

/// Envoy's largest ring and Maglev table, in slots.
const MAX_HASH_TABLE: u64 = 8 << 20;
/// The share of its weight that an instance gets at first, in percent.
const WARMUP_START: f64 = 10.0;

/// The older `warmupDurationSecs` is a warm-up that says nothing but how long.
fn warmup(
    field: &str,
    written: &istio::LoadBalancer,
    findings: &mut Findings<'_>,
) -> Option<Warmup> {
    let at = format!("{field}.warmup");
    let plain = istio::Warmup {
        duration: written.warmup_duration_secs,
        ..istio::Warmup::default()
    };
    let warmup = match (&written.warmup, written.warmup_duration_secs) {
        (Some(warmup), older) => {
            if older.is_some() {
                findings.error(&at, "only one of warmup, warmupDurationSecs is allowed");
            }
            warmup
        }
        (None, Some(_)) => &plain,
        (None, None) => return None,
    };
    let hashes = written.consistent_hash.is_some();
    let simple = written.simple;
    if hashes
        || matches!(
            simple,
            Some(SimpleBalancing::Random | SimpleBalancing::Passthrough)
        )
    {
        findings.warn(&at, "counts with ROUND_ROBIN and LEAST_REQUEST only");
    }
    let ours = "is planned and told to proxies, but those of this mesh do not follow it yet";
    findings.warn(&at, ours);
    let window = warmup.duration.map_or(Duration::ZERO, |span| span.0);
    if window < Duration::from_secs(1) {
        findings.error(&format!("{at}.duration"), "is missing, or below a second");
    }
    let aggression = warmup.aggression.unwrap_or(1.0);
    if !(1.0..=MAX_AGGRESSION).contains(&aggression) {
        let reason = format!("{aggression} is not between 1 and {MAX_AGGRESSION}");
        findings.error(&format!("{at}.aggression"), reason);
    }
    let start = warmup.minimum_percent.unwrap_or(WARMUP_START);
    Some(Warmup {
        window,
        aggression: (aggression.clamp(1.0, MAX_AGGRESSION) * 1000.0).round() as u32,
        start: findings.percent(&format!("{at}.minimumPercent"), start),
    })
}

/// Where places count, and how.
pub(in crate::mesh) fn locality_policy(
    field: &str,
    written: &istio::LocalityLbSetting,
    findings: &mut Findings<'_>,
) -> LocalityPolicy {
    if written.enabled == Some(false) {
        return LocalityPolicy::Off;
    }
    let fails_over = !written.failover.is_empty() || !written.failover_priority.is_empty();
    if fails_over && !written.distribute.is_empty() {
        findings.error(
            field,
            "distribute stands alone: failover and failoverPriority are given too",
        );
    }
    if !written.distribute.is_empty() {
        let each = written.distribute.iter().enumerate();
        let each = each.filter_map(|(i, written)| {
            distribution(&format!("{field}.distribute[{i}]"), written, findings)
        });
        return LocalityPolicy::Distribute(each.collect());
    }
    LocalityPolicy::Failover {
        labels: labels(&written.failover_priority),
        regions: regions(field, &written.failover, findings),
    }
}

/// Requests stay in their region; within it in their zone as far as that can take them.
pub(in crate::mesh) fn zone_aware_policy(
    field: &str,
    written: &istio::ZoneAwareLbSetting,
    findings: &mut Findings<'_>,
) -> Option<LocalityPolicy> {
    if written.enabled == Some(false) {
        return None;
    }
    findings.warn(
        field,
        "requests are kept to their region; keeping them to a zone is not supported yet",
    );
    if written.min_cluster_size.is_some() {
        findings.warn(&format!("{field}.minClusterSize"), "not supported yet");
    }
    Some(LocalityPolicy::Zones {
        labels: labels(&written.failover_priority),
        regions: regions(field, &written.failover, findings),
    })
}

fn distribution(
    field: &str,
    written: &istio::Distribute,
    findings: &mut Findings<'_>,
) -> Option<Distribution> {
    let sum: u64 = written.to.values().map(|share| u64::from(*share)).sum();
    if sum != 100 {
        findings.error(
            &format!("{field}.to"),
            format!("shares add up to {sum}, not to 100"),
        );
    }
    if written.to.values().any(|share| *share == 0) {
        findings.error(&format!("{field}.to"), "a share is zero");
        findings.advise("leave the place away");
    }
    let from = place(&format!("{field}.from"), &written.from, findings);
    let to = written.to.iter().map(|(to, share)| {
        let place = place(&format!("{field}.to.{to}"), to, findings)?;
        Some((place, *share))
    });
    let mut to: Vec<_> = to.collect::<Option<_>>()?;
    // A group of instances belongs to the first place that covers it.
    to.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(Distribution { from: from?, to })
}

fn place(field: &str, text: &str, findings: &mut Findings<'_>) -> Option<Place> {
    let place = Place::parse(text);
    if place.is_none() {
        findings.error(field, format!("{text:?} is no place"));
        findings.advise("write it as in us-west/zone1/*: `*` only stands at the end");
    }
    place
}

fn labels(written: &[String]) -> Vec<LocalityLabel> {
    let each = written.iter().map(|text| match text.split_once('=') {
        Some((key, value)) => LocalityLabel {
            key: key.into(),
            value: Some(value.into()),
        },
        None => LocalityLabel {
            key: text.as_str().into(),
            value: None,
        },
    });
    each.collect()
}

fn regions(
    field: &str,
    written: &[istio::Failover],
    findings: &mut Findings<'_>,
) -> Vec<RegionFailover> {
    let each = written.iter().enumerate().map(|(i, written)| {
        let at = format!("{field}.failover[{i}]");
        if written.from == written.to {
            findings.error(&at, "leads to where it comes from");
        }
        for region in [&written.from, &written.to] {
            if region.is_empty() || region.contains(['/', '*']) {
                findings.error(&at, format!("{region:?} is no region"));
            }
        }
        RegionFailover {
            from: written.from.clone(),
            to: written.to.clone(),
        }
    });
    each.collect()
}

/// How steeply an instance may be brought up: more would do all at once.
const MAX_AGGRESSION: f64 = 1000.0;
