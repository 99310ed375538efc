//! Findings that need the whole mesh: references that lead nowhere, resources that claim the same
//! thing. Nothing here changes what is in effect.

use std::{collections::HashMap, sync::Arc};

use super::{Destination, GatewayName, Rules, TrafficRules};
use crate::{
    config::{ConfigSet, Problem, Resource, Severity, nearest},
    name::{Host, Labels, ResourceRef},
};

/// Looks at every rule among the others.
pub(super) fn check(rules: &Rules, set: &ConfigSet) -> Vec<Problem> {
    let mut checks = Checks {
        rules,
        set,
        problems: Vec::new(),
    };
    for traffic in &rules.traffic {
        checks.hosts(traffic);
        checks.destinations(traffic);
        checks.gateways(traffic);
    }
    checks.rival_traffic();
    checks.destination_rules();
    checks.rival_policies();
    checks.problems
}

struct Checks<'a> {
    rules: &'a Rules,
    set: &'a ConfigSet,
    problems: Vec<Problem>,
}

impl<'a> Checks<'a> {
    fn warn(&mut self, of: &ResourceRef, field: &str, reason: String, advice: Option<String>) {
        if let Some(resource) = self.set.resource(of) {
            let mut problem = Resource::problem(resource, Severity::Warning, field, reason);
            problem.advice = advice;
            self.problems.push(problem);
        }
    }

    /// Rules for a service of the cluster that is not there.
    fn hosts(&mut self, traffic: &TrafficRules) {
        for (i, host) in traffic.hosts.iter().enumerate() {
            let known = self.rules.services_by_host.contains_key(host);
            if traffic.in_mesh() && !known && self.is_cluster_name(host) {
                let advice = self.similar_host(host);
                let field = format!("spec.hosts[{i}]");
                self.warn(
                    &traffic.reference,
                    &field,
                    format!("no service {host}"),
                    advice,
                );
            }
        }
    }

    fn destinations(&mut self, traffic: &TrafficRules) {
        for weighted in traffic.destinations() {
            let field = format!("{}.destination", weighted.field);
            self.destination(&traffic.reference, &field, &weighted.destination);
        }
        for rule in &traffic.http {
            if let super::HttpAction::Forward(forward) = &rule.action {
                for mirror in &forward.mirrors {
                    let field = format!("{}.mirror", rule.field);
                    self.destination(&traffic.reference, &field, &mirror.destination);
                }
            }
        }
    }

    fn destination(&mut self, of: &ResourceRef, field: &str, destination: &Destination) {
        let Destination { host, subset, port } = destination;
        let Some(service) = self.rules.service(host, &of.namespace) else {
            let reason = format!("no service {host}: requests will get a 503");
            let advice = self.similar_host(host);
            return self.warn(of, &format!("{field}.host"), reason, advice);
        };
        if let Some(port) = port
            && service.port(*port).is_none()
        {
            let ports = service
                .ports
                .iter()
                .map(|port| port.port.number.to_string());
            let advice = format!("it has {}", ports.collect::<Vec<_>>().join(", "));
            let reason = format!("{host} has no port {port}: requests will get a 503");
            self.warn(of, &format!("{field}.port.number"), reason, Some(advice));
        }
        let Some(subset) = subset else {
            return;
        };
        let policy = self.rules.destination_policy(
            host,
            Some(&service.namespace),
            &of.namespace,
            &Labels::default(),
        );
        let advice = match policy {
            Some(policy) if policy.subsets.contains_key(subset) => return,
            Some(policy) => {
                let names: Vec<_> = policy.subsets.keys().map(|name| &**name).collect();
                format!("{} has {}", policy.reference, or_none(&names))
            }
            None => "no DestinationRule is for this host".into(),
        };
        let reason = format!("{host} has no subset {subset}: requests will get a 503");
        self.warn(of, &format!("{field}.subset"), reason, Some(advice));
    }

    fn gateways(&mut self, traffic: &TrafficRules) {
        for (i, name) in traffic.gateways.iter().enumerate() {
            let known = self
                .rules
                .gateways
                .iter()
                .any(|gateway| gateway.name == *name);
            if *name != GatewayName::Mesh && !known {
                let names: Vec<_> = self
                    .rules
                    .gateways
                    .iter()
                    .map(|g| g.name.to_string())
                    .collect();
                let advice = nearest(&name.to_string(), names.iter().map(String::as_str))
                    .map(|similar| format!("did you mean {similar}?"));
                let field = format!("spec.gateways[{i}]");
                self.warn(
                    &traffic.reference,
                    &field,
                    format!("no Gateway {name}"),
                    advice,
                );
            }
        }
    }

    /// Rules of sidecars are not merged: the oldest for a host wins.
    fn rival_traffic(&mut self) {
        let mut first: HashMap<&Host, Vec<&Arc<TrafficRules>>> = HashMap::new();
        let mut rivals = Vec::new();
        for traffic in self
            .rules
            .traffic
            .iter()
            .filter(|traffic| traffic.in_mesh())
        {
            for (i, host) in traffic.hosts.iter().enumerate() {
                let older = first.entry(host).or_default();
                let winner = older.iter().find(|older| share_a_namespace(older, traffic));
                match winner {
                    Some(winner) => rivals.push((traffic, format!("spec.hosts[{i}]"), *winner)),
                    None => older.push(traffic),
                }
            }
        }
        for (traffic, field, winner) in rivals {
            let reason = format!(
                "{} ({}) is for this host too, and wins",
                winner.reference, winner.source
            );
            let advice = "put the rules of one host into one VirtualService".into();
            self.warn(&traffic.reference, &field, reason, Some(advice));
        }
    }

    fn destination_rules(&mut self) {
        let mut first: HashMap<(&str, &Host), &ResourceRef> = HashMap::new();
        let mut found = Vec::new();
        for policy in self
            .rules
            .destinations
            .iter()
            .filter(|p| p.clients.is_none())
        {
            let known = self.rules.services_by_host.contains_key(&policy.host);
            if !known && self.is_cluster_name(&policy.host) {
                let advice = self.similar_host(&policy.host);
                found.push((policy, format!("no service {}", policy.host), advice));
            }
            let key = (&*policy.reference.namespace, &policy.host);
            match first.get(&key) {
                Some(winner) => {
                    let reason = format!("{winner} is for this host too, and wins");
                    let advice = "put subsets and policies of one host into one DestinationRule";
                    found.push((policy, reason, Some(advice.into())));
                }
                None => {
                    first.insert(key, &policy.reference);
                }
            }
        }
        for (policy, reason, advice) in found {
            self.warn(&policy.reference, "spec.host", reason, advice);
        }
    }

    /// Of PeerAuthentications and Sidecars for a whole namespace only the oldest counts.
    fn rival_policies(&mut self) {
        let mtls = self.rules.mtls.iter().filter(|p| p.selector.is_none());
        let scopes = self.rules.scopes.iter().filter(|s| s.selector.is_none());
        let wide = mtls
            .map(|p| &p.reference)
            .chain(scopes.map(|s| &s.reference));
        let mut first: HashMap<(&str, &str), &ResourceRef> = HashMap::new();
        let mut rivals = Vec::new();
        for reference in wide {
            let key = (&*reference.kind, &*reference.namespace);
            match first.get(&key) {
                Some(winner) => rivals.push((reference, *winner)),
                None => {
                    first.insert(key, reference);
                }
            }
        }
        for (reference, winner) in rivals {
            let reason = format!("{winner} is for the whole namespace too, and wins");
            self.warn(reference, "spec", reason, None);
        }
    }

    fn is_cluster_name(&self, host: &Host) -> bool {
        let suffix = format!(".svc.{}", self.rules.defaults.domain);
        host.as_str().ends_with(&suffix) && !host.is_wildcard()
    }

    fn similar_host(&self, host: &Host) -> Option<String> {
        let domain = &self.rules.defaults.domain;
        // `reviews.default` reads like a service, but only whole or short names are.
        let full = [format!("{host}.svc.{domain}"), format!("{host}.{domain}")];
        let known = |name: &String| {
            name.parse::<Host>()
                .is_ok_and(|host| self.rules.services_by_host.contains_key(&host))
        };
        if let Some(full) = full.iter().find(|name| known(name)) {
            return Some(format!("write {full}"));
        }
        let suffix = format!(".svc.{domain}");
        let short = |host: &'a str| host.strip_suffix(&*suffix);
        let wanted = host.as_str().strip_suffix(&*suffix)?;
        let (wanted, namespace) = wanted.split_once('.')?;
        let hosts = self.rules.services_by_host.keys();
        let neighbours = hosts
            .filter_map(|host| short(host.as_str())?.split_once('.'))
            .filter(|(_, of)| *of == namespace)
            .map(|(name, _)| name);
        nearest(wanted, neighbours).map(|similar| format!("did you mean {similar}?"))
    }
}

fn or_none(names: &[&str]) -> String {
    match names {
        [] => "no subsets".into(),
        names => names.join(", "),
    }
}

fn share_a_namespace(a: &TrafficRules, b: &TrafficRules) -> bool {
    use super::Exports::{Everywhere, To};
    match (&a.exports, &b.exports) {
        (Everywhere, _) | (_, Everywhere) => true,
        (To(a), To(b)) => !a.is_disjoint(b),
    }
}
