//! Names that lead nowhere.

use super::Analysis;
use crate::{
    config::{Code, nearest},
    mesh::{Destination, Exports, GatewayName, HttpAction, Service, TrafficRules},
    name::{AppProtocol, Host, Labels, ResourceRef},
};

const NOT_FOUND: Code = Code::ReferencedResourceNotFound;

impl<'a> Analysis<'a> {
    pub(super) fn references(&mut self) {
        for traffic in self
            .rules
            .traffic
            .iter()
            .filter(|rules| !rules.is_gateway_api())
        {
            self.hosts(traffic);
            self.targets(traffic);
            self.gateways(traffic);
        }
        for delegate in &self.rules.delegates {
            self.targets(delegate);
        }
        for policy in &self.rules.destinations {
            let known = self.rules.services_by_host.contains_key(&policy.host);
            if !known && self.is_cluster_name(&policy.host) {
                let reason = format!("no service {}", policy.host);
                let code = Code::UnknownDestinationRuleHost;
                self.warn(code, &policy.reference, "spec.host", reason);
                self.advise(self.similar_host(&policy.host));
            }
        }
    }

    /// Rules for a service of the cluster that is not there, or that is somebody else's.
    fn hosts(&mut self, traffic: &TrafficRules) {
        for (i, host) in traffic.hosts.iter().enumerate() {
            let field = format!("spec.hosts[{i}]");
            let owners = self.rules.services_by_host.get(host);
            let Some(owner) = owners.and_then(|owners| owners.first()) else {
                if traffic.in_mesh() && self.is_cluster_name(host) {
                    let reason = format!("no service {host}");
                    self.warn(NOT_FOUND, &traffic.reference, &field, reason);
                    self.advise(self.similar_host(host));
                }
                continue;
            };
            let own = |service: &&std::sync::Arc<Service>| {
                service.namespace == traffic.reference.namespace
            };
            // A client may rule its own calls; others must not find its rules in their way.
            let is_private = match &traffic.exports {
                Exports::Everywhere => false,
                Exports::To(to) => to.iter().all(|to| *to == traffic.reference.namespace),
            };
            let has_own = owners.into_iter().flatten().any(|owner| own(&owner));
            if traffic.in_mesh() && !has_own && !is_private {
                let whose = self.place(&owner.reference);
                let reason = format!("{host} belongs to namespace {}: {whose}", owner.namespace);
                let code = Code::HostOfAnotherNamespace;
                self.warn(code, &traffic.reference, &field, reason);
                let advice = "its callers follow rules that its owner does not see; \
                              keep them where the service is, or set exportTo: [\".\"]";
                self.advise(advice.to_owned());
            }
        }
    }

    fn targets(&mut self, traffic: &TrafficRules) {
        for weighted in traffic.destinations() {
            let field = format!("{}.destination", weighted.field);
            self.target(traffic, &field, &weighted.destination);
        }
        for rule in traffic.own_http() {
            if let HttpAction::Forward(forward) = &rule.action {
                for mirror in &forward.mirrors {
                    let field = format!("{}.mirror", rule.field);
                    self.target(traffic, &field, &mirror.destination);
                }
            }
        }
    }

    fn target(&mut self, traffic: &TrafficRules, field: &str, destination: &Destination) {
        let Destination { host, subset, port } = destination;
        let of = &traffic.reference;
        let at = format!("{field}.host");
        let Some(service) = self.rules.service(host, &of.namespace) else {
            let reason = format!("no service {host}: requests will get a 503");
            self.warn(NOT_FOUND, of, &at, reason);
            return self.advise(self.similar_host(host));
        };
        let carried = service.ports.iter().map(|port| &port.port);
        let carried = carried.filter(|port| port.protocol != AppProtocol::Udp);
        let ports: Vec<_> = carried.map(|port| port.number.to_string()).collect();
        match port {
            Some(port) if service.port(*port).is_none() => {
                let reason = format!("{host} has no port {port}: requests will get a 503");
                self.warn(NOT_FOUND, of, &format!("{field}.port.number"), reason);
                self.advise(format!("it has {}", ports.join(", ")));
            }
            None if ports.len() > 1 && !keeps_port(traffic, host) => {
                let reason = format!("{host} has several ports, and none is chosen");
                let code = Code::VirtualServiceDestinationPortSelectorRequired;
                self.warn(code, of, &at, reason);
                let ports = ports.join(", ");
                self.advise(format!(
                    "add port.number, one of {ports}; without it a request keeps its own port"
                ));
            }
            _ => {}
        }
        if let Some(subset) = subset {
            self.subset_of(of, field, service, subset);
        }
    }

    fn subset_of(&mut self, of: &ResourceRef, field: &str, service: &Service, subset: &str) {
        let (host, owner) = (&service.host, Some(&*service.namespace));
        let any = Labels::default();
        let policy = self
            .rules
            .destination_policy(host, owner, &of.namespace, &any);
        let advice = match policy {
            Some(policy) if policy.subsets.contains_key(subset) => return,
            Some(policy) => {
                let names: Vec<_> = policy.subsets.keys().map(|name| &**name).collect();
                format!("{} has {}", policy.reference, or_none(&names))
            }
            None => "no DestinationRule is for this host".into(),
        };
        let reason = format!("{host} has no subset {subset}: requests will get a 503");
        self.warn(NOT_FOUND, of, &format!("{field}.subset"), reason);
        self.advise(advice);
    }

    fn gateways(&mut self, traffic: &TrafficRules) {
        for (i, name) in traffic.gateways.iter().enumerate() {
            let mut gateways = self.rules.gateways.iter();
            if *name == GatewayName::Mesh || gateways.any(|gateway| gateway.name == *name) {
                continue;
            }
            let names = self.rules.gateways.iter().map(|g| g.name.to_string());
            let names: Vec<_> = names.collect();
            let field = format!("spec.gateways[{i}]");
            let reason = format!("no Gateway {name}");
            self.warn(NOT_FOUND, &traffic.reference, &field, reason);
            let similar = nearest(&name.to_string(), names.iter().map(String::as_str));
            self.advise(similar.map(|similar| format!("did you mean {similar}?")));
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

/// Whether requests that follow the rules came to a port of this very host.
fn keeps_port(traffic: &TrafficRules, host: &Host) -> bool {
    traffic.hosts == [host.clone()] && traffic.gateways == [GatewayName::Mesh]
}

fn or_none(names: &[&str]) -> String {
    match names {
        [] => "no subsets".into(),
        names => names.join(", "),
    }
}
