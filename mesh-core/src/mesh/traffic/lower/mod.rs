//! From the written VirtualService to what it means.

mod answer;
mod delegation;
mod edits;
mod fault;
mod http;
mod l4;
mod matches;
mod policy;

pub(in crate::mesh) use delegation::delegated_rule;
pub(in crate::mesh) use policy::{is_header_name, retry_policy};

use std::sync::Arc;

use super::{ClientMatch, Destination, Draft, GatewayName, TrafficRules, WeightedDestination};
use crate::{
    config::{Problem, Resource, istio},
    mesh::{Exports, MeshDefaults, findings::Findings},
    name::{Host, Labels, Selector},
};

/// What a VirtualService means by itself; whether its destinations exist is looked at elsewhere.
pub(in crate::mesh) fn traffic_rules(
    resource: &Resource,
    written: &istio::VirtualService,
    defaults: &MeshDefaults,
) -> (Option<Draft>, Vec<Problem>) {
    let mut lower = Lower {
        findings: Findings::new(resource),
        namespace: &resource.reference.namespace,
        defaults,
    };
    let hosts: Vec<_> = each(&written.hosts, "spec.hosts")
        .filter_map(|(field, host)| lower.host(&field, host))
        .collect();
    let mut gateways: Vec<_> = written.gateways.iter().map(|g| lower.gateway(g)).collect();
    if gateways.is_empty() {
        gateways.push(GatewayName::Mesh);
    }
    if gateways == [GatewayName::Mesh] && hosts.iter().any(|host| host.as_str() == "*") {
        lower.findings.error(
            "spec.hosts",
            "the host * needs a gateway: sidecars have none",
        );
    }
    if written.http.is_empty() && written.tls.is_empty() && written.tcp.is_empty() {
        lower
            .findings
            .error("spec", "at least one http, tls or tcp route is needed");
    }
    if written.hosts.is_empty() {
        lower.as_delegate(written);
    }
    let (http, delegations) = lower.http_rules(written);
    let rules = TrafficRules {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        hosts,
        gateways,
        exports: Exports::or(
            &written.export_to,
            &defaults.exports.traffic,
            lower.namespace,
        ),
        http,
        tls: each(&written.tls, "spec.tls")
            .map(|(field, route)| lower.tls_rule(field, route))
            .collect(),
        tcp: each(&written.tcp, "spec.tcp")
            .map(|(field, route)| lower.tcp_rule(field, route))
            .collect(),
    };
    lower.findings.conclude(Draft {
        rules: Arc::new(rules),
        delegations: delegations.into(),
    })
}

fn each<'a, T>(items: &'a [T], field: &str) -> impl Iterator<Item = (String, &'a T)> {
    let numbered = items.iter().enumerate();
    numbered.map(move |(i, item)| (format!("{field}[{i}]"), item))
}

struct Lower<'a> {
    findings: Findings<'a>,
    namespace: &'a Arc<str>,
    defaults: &'a MeshDefaults,
}

impl Lower<'_> {
    /// A host in full: short names are of the rule's own namespace.
    fn host(&mut self, field: &str, text: &str) -> Option<Host> {
        let host = self.findings.host(field, text)?;
        Some(self.defaults.in_full(&host, self.namespace))
    }

    fn gateway(&self, text: &str) -> GatewayName {
        GatewayName::parse(text, self.namespace)
    }

    /// A host with perhaps a port, as a request names it (RFC 9110, section 7.2). Anything else
    /// would be read in one way here and in another where it arrives.
    fn authority(&mut self, field: &str, text: &str) {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let v6 = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = match v6 {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.parse::<Host>().is_ok_and(|host| !host.is_wildcard()),
        };
        if !is_host || port.is_some_and(|port| port.parse::<u16>().is_err()) {
            self.findings.error(field, format!("{text:?} is no host"));
        }
    }

    /// Weighted destinations: a lone one gets everything, those without weight nothing.
    fn destinations(
        &mut self,
        field: &str,
        written: &[istio::WeightedDestination],
    ) -> Vec<WeightedDestination> {
        let mut destinations = Vec::new();
        let mut sum: u32 = 0;
        for (field, written) in each(written, field) {
            let weight = written.weight.unwrap_or(0);
            let Ok(weight) = u32::try_from(weight) else {
                self.findings
                    .error(&format!("{field}.weight"), format!("{weight} is negative"));
                continue;
            };
            sum = sum.checked_add(weight).unwrap_or_else(|| {
                self.findings.error(
                    &format!("{field}.weight"),
                    "the sum of weights is too large",
                );
                sum
            });
            let headers = self.headers(&format!("{field}.headers"), &written.headers);
            let at = format!("{field}.destination");
            if let Some(destination) = self.destination(&at, &written.destination) {
                destinations.push(WeightedDestination {
                    destination,
                    weight,
                    headers,
                    field,
                });
            }
        }
        match &mut destinations[..] {
            [] if written.is_empty() => self.findings.error(field, "a destination is needed"),
            [lone] if written.len() == 1 => lone.weight = lone.weight.max(1),
            [..] if sum == 0 && written.len() > 1 => {
                self.findings.error(field, "the weights add up to 0");
                self.findings
                    .advise("give each destination a weight, such as 50");
            }
            [..] => destinations.retain(|destination| destination.weight > 0),
        }
        destinations
    }

    fn destination(&mut self, field: &str, written: &istio::Destination) -> Option<Destination> {
        let at = format!("{field}.host");
        let host = self.host(&at, &written.host)?;
        if host.is_wildcard() {
            self.findings
                .error(&at, "a destination cannot be a wildcard");
        }
        let port = written.port.as_ref().map(|port| port.number);
        if port == Some(0) {
            let at = format!("{field}.port.number");
            self.findings.error(&at, "a port is between 1 and 65535");
        }
        Some(Destination {
            host,
            subset: Some(&*written.subset)
                .filter(|subset| !subset.is_empty())
                .map(Into::into),
            port,
        })
    }

    fn client(&self, gateways: &[String], labels: &Labels, namespace: &str) -> ClientMatch {
        ClientMatch {
            gateways: gateways
                .iter()
                .map(|gateway| self.gateway(gateway))
                .collect(),
            labels: Selector(labels.clone()),
            namespace: Some(namespace).filter(|ns| !ns.is_empty()).map(Into::into),
        }
    }
}
