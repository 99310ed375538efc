//! Who asks whom: every rule of every service once, from a caller it lets in, and once from one it
//! does not.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::dataplane::{Permission, VirtualHost};

use super::{
    check::{Check, Expected, Instance, Outcome, Question, Reaches, Skipped, Welcome},
    instance::{self, Call, Neighbours},
    party::Party,
    rule::{Checked, Door, REQUESTS, short},
    sample,
};
use crate::bookinfo::Kind;

/// The most checks of one walk.
const MAX_CHECKS: usize = 300;
/// The most callers looked at for one service.
const MAX_CALLERS: usize = 16;
/// How often a workload is called in clear text.
const CLEAR_TEXT_REQUESTS: u32 = 3;

/// Everything a walk asks.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// What is driven, in order.
    pub checks: Vec<Check>,
    /// What is not.
    pub skipped: Vec<Skipped>,
}

impl Script {
    /// What the plans in force promise, as questions and expected answers.
    pub fn of(parties: &[Party]) -> Self {
        let mut script = Self::default();
        let neighbours = &Neighbours::new(parties);
        for party in parties.iter().filter(|party| party.is_gateway()) {
            script.edge(neighbours, party);
        }
        script.services(neighbours);
        script.clear_text(neighbours);
        for check in script.checks.split_off(MAX_CHECKS.min(script.checks.len())) {
            script.skipped.push(Skipped {
                rule: check.rule,
                from: check.from,
                to: check.to,
                reason: format!("a walk asks no more than {MAX_CHECKS} questions"),
            });
        }
        script
    }

    fn add(&mut self, checked: Checked) {
        self.checks.extend(checked.checks);
        self.skipped.extend(checked.skipped);
    }

    /// Every rule of a gateway, from outside.
    fn edge(&mut self, neighbours: &Neighbours<'_>, party: &Party) {
        for way in party.ways_in() {
            if way.chain.tls.is_some() {
                self.skipped.push(Skipped {
                    rule: way.table.name.to_string(),
                    from: "outside".into(),
                    to: party.title(),
                    reason: "it ends TLS, and a walk is in clear text".into(),
                });
                continue;
            }
            let Some(door) = Door::new(neighbours, party, way) else {
                continue;
            };
            // One of two gateways of the same workload says as much as both.
            let known = |check: &Check| check.question.address == way.address;
            if self.checks.iter().any(known) {
                continue;
            }
            for host in &door.way.table.virtual_hosts {
                self.add(door.rules(host, &[]));
                self.checks.extend(door.beside(host));
            }
        }
    }

    /// Every rule of every service, from one caller.
    fn services(&mut self, neighbours: &Neighbours<'_>) {
        let doors: Vec<_> = callers(neighbours.parties)
            .into_iter()
            .filter_map(|party| Door::new(neighbours, party, party.ways_in().next()?))
            .collect();
        let mut services: BTreeMap<&str, Vec<(&Door<'_>, &VirtualHost)>> = BTreeMap::new();
        for door in &doors {
            for host in &door.way.table.virtual_hosts {
                if host.domains.iter().any(|domain| domain != "*") {
                    services.entry(&host.name).or_default().push((door, host));
                }
            }
        }
        for (name, callers) in services {
            self.service(neighbours.parties, &short(name), callers);
        }
    }

    fn service(
        &mut self,
        parties: &[Party],
        service: &str,
        callers: Vec<(&Door<'_>, &VirtualHost)>,
    ) {
        // Callers whose rules for the service are the same see the same.
        let mut groups: Vec<Vec<(&Door<'_>, &VirtualHost)>> = Vec::new();
        for caller in callers {
            match groups
                .iter_mut()
                .find(|group| group[0].1.routes == caller.1.routes)
            {
                Some(group) => group.push(caller),
                None => groups.push(vec![caller]),
            }
        }
        let paths = paths(parties, service);
        for mut group in groups {
            group.retain(|(door, _)| !door.party.node.workload.starts_with(&format!("{service}-")));
            group.sort_by_key(|(door, _)| !calls(door.party, service));
            group.truncate(MAX_CALLERS);
            let mut asked: Vec<_> = group
                .into_iter()
                .map(|(door, host)| door.rules(host, &paths))
                .collect();
            let denied = asked
                .iter()
                .flat_map(|checked| &checked.checks)
                .filter(|check| check.expected.is_denied())
                .min_by_key(|check| check.expected.delay)
                .map(|check| Check {
                    requests: REQUESTS,
                    ..check.clone()
                });
            let is_welcome = |checked: &Checked| {
                let mut checks = checked.checks.iter();
                checks.any(|check| check.expected.is_welcome())
            };
            let best = asked.iter().position(is_welcome).unwrap_or(0);
            if best < asked.len() {
                self.add(asked.swap_remove(best));
            }
            let name = |check: &Check| [check.rule.clone(), check.from.clone(), check.to.clone()];
            let is_known = |denied: &Check| {
                let mut known = self.checks.iter();
                known.any(|check| name(check) == name(denied))
            };
            self.checks
                .extend(denied.filter(|denied| !is_known(denied)));
        }
    }

    /// Every workload once, without its caller's proxy.
    fn clear_text(&mut self, neighbours: &Neighbours<'_>) {
        let parties = neighbours.parties;
        let mut done = BTreeSet::new();
        let sets = parties
            .iter()
            .flat_map(|party| party.snapshot.endpoints.values());
        let endpoints: Vec<_> = sets.flat_map(|set| set.endpoints()).collect();
        for endpoint in endpoints {
            let Some((called, address)) = neighbours.of(endpoint) else {
                continue;
            };
            let mut others = parties.iter();
            let stranger = others.find(|party| {
                !party.is_gateway() && party.node.workload != called.party.node.workload
            });
            let Some(stranger) = stranger.filter(|_| done.insert(called.party.title())) else {
                continue;
            };
            let question = Question {
                address,
                source: stranger.node.addresses.first().copied(),
                absolute: false,
                method: http::Method::GET,
                authority: address.to_string(),
                path: "/".into(),
                query: String::new(),
                headers: http::HeaderMap::new(),
            };
            let head = question.head();
            let call = Call {
                caller: stranger,
                tls: None,
                head: &head,
            };
            let instance = call.to(called, address);
            let outcome = clear_text_outcome(instance, address);
            self.checks.push(Check {
                rule: "clear text".into(),
                from: stranger.title(),
                to: called.party.title(),
                requests: CLEAR_TEXT_REQUESTS,
                lanes: 1,
                question,
                expected: Expected::always(outcome),
            });
        }
    }
}

fn clear_text_outcome(instance: Instance, address: std::net::SocketAddr) -> Outcome {
    match instance.welcome {
        Welcome::Refused => Outcome::Closed,
        _ => Outcome::Reaches(Reaches {
            cluster: None,
            instances: [(address, instance)].into(),
            path: "/".into(),
            timeout: None,
        }),
    }
}

/// One sidecar of each workload.
fn callers(parties: &[Party]) -> Vec<&Party> {
    let mut known = BTreeSet::new();
    let sidecars = parties.iter().filter(|party| !party.is_gateway());
    sidecars
        .filter(|party| known.insert((&party.node.namespace, &party.node.workload)))
        .collect()
}

/// Whether a workload's application is known to call a service.
fn calls(party: &Party, service: &str) -> bool {
    Kind::from_name(&party.node.workload).is_some_and(|kind| kind.calls().contains(&service))
}

/// Paths that the applications of a service answer, as far as is known, and those that rules on
/// callers speak of.
fn paths(parties: &[Party], service: &str) -> Vec<String> {
    let known = match service {
        "productpage" => Some("/productpage"),
        "details" => Some("/details/0"),
        "reviews" => Some("/reviews/0"),
        "ratings" => Some("/ratings/0"),
        _ => None,
    };
    let mut paths: Vec<String> = known.into_iter().chain(["/"]).map(Into::into).collect();
    for party in parties {
        let chains = party
            .inbound()
            .into_iter()
            .flat_map(|listener| listener.chains());
        for filter in chains.flat_map(instance::rules_on_requests) {
            let policies = filter
                .rules
                .iter()
                .flat_map(|rules| rules.policies.values());
            for permission in policies.flat_map(|policy| &policy.permissions) {
                collect(permission, &mut paths);
            }
        }
    }
    let mut seen = BTreeSet::new();
    paths.retain(|path| path.starts_with('/') && seen.insert(path.clone()));
    paths
}

fn collect(permission: &Permission, paths: &mut Vec<String>) {
    match permission {
        Permission::Path(pattern) => paths.extend(sample::of_pattern(pattern)),
        Permission::All(parts) | Permission::OneOf(parts) => {
            for part in parts {
                collect(part, paths);
            }
        }
        _ => {}
    }
}
