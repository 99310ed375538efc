//! From written routes to what they mean by themselves. What the API server would refuse is
//! refused here too, since files have none.

mod filters;
mod grpc;
mod http;
mod l4;

use super::route::{Backend, Route, RouteKind, Rule};
use crate::{
    config::{
        Problem, Resource,
        gateway_api::{BackendObjectRef, GatewayApi, ParentRef},
    },
    mesh::{DirectResponse, HeaderEdits, HttpAction, HttpRule, findings::Findings},
    name::Host,
};

/// The largest share of a destination (`backendRefs[].weight`).
const MAX_WEIGHT: u32 = 1_000_000;

/// What a route means by itself; none for kinds that are no routes.
pub(super) fn route(resource: &Resource, written: &GatewayApi) -> (Option<Route>, Vec<Problem>) {
    let mut lower = Lower {
        findings: Findings::new(resource),
    };
    let (parents, hostnames, rules) = match written {
        GatewayApi::HttpRoute(route) => {
            let rules = lower.http_rules(&route.rules);
            (&route.parent_refs, &route.hostnames[..], rules)
        }
        GatewayApi::GrpcRoute(route) => {
            let rules = lower.grpc_rules(&route.rules);
            (&route.parent_refs, &route.hostnames[..], rules)
        }
        GatewayApi::TcpRoute(route) => {
            let rules = route.rules.iter().map(|rule| &rule.backend_refs);
            let rules = lower.l4_rules(rules);
            (&route.parent_refs, &[][..], rules)
        }
        GatewayApi::TlsRoute(route) => {
            let rules = route.rules.iter().map(|rule| &rule.backend_refs);
            let rules = lower.l4_rules(rules);
            (&route.parent_refs, &route.hostnames[..], rules)
        }
        _ => return (None, Vec::new()),
    };
    lower.parents(parents);
    let hostnames = lower.hosts(hostnames);
    lower.findings.conclude(Route {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        kind: RouteKind::of(&resource.reference),
        parents: parents.clone(),
        hostnames,
        rules,
    })
}

fn each<'a, T>(items: &'a [T], field: &str) -> impl Iterator<Item = (String, &'a T)> {
    let numbered = items.iter().enumerate();
    numbered.map(move |(i, item)| (format!("{field}[{i}]"), item))
}

struct Lower<'a> {
    findings: Findings<'a>,
}

impl Lower<'_> {
    fn parents(&mut self, parents: &[ParentRef]) {
        if parents.is_empty() {
            self.findings.warn(
                "spec.parentRefs",
                "is empty: the route is attached to nothing",
            );
        }
        for (field, parent) in each(parents, "spec.parentRefs") {
            if parent.name.is_empty() {
                self.findings.error(&format!("{field}.name"), "is missing");
            }
        }
    }

    fn hosts(&mut self, written: &[String]) -> Vec<Host> {
        let mut hosts = Vec::with_capacity(written.len());
        for (field, text) in each(written, "spec.hostnames") {
            if text == "*" || text.parse::<std::net::IpAddr>().is_ok() {
                let reason = format!("{text:?} is no host name: leave it out to mean every host");
                self.findings.error(&field, reason);
                continue;
            }
            hosts.extend(self.findings.host(&field, text));
        }
        hosts
    }

    fn backend(
        &mut self,
        field: String,
        to: BackendObjectRef,
        weight: Option<u32>,
        headers: HeaderEdits,
    ) -> Backend {
        let weight = weight.unwrap_or(1);
        if weight > MAX_WEIGHT {
            let reason = format!("{weight} is more than {MAX_WEIGHT}");
            self.findings.error(&format!("{field}.weight"), reason);
        }
        self.destination(&field, &to);
        Backend {
            field,
            to,
            weight,
            headers,
        }
    }

    fn destination(&mut self, field: &str, to: &BackendObjectRef) {
        if to.name.is_empty() {
            self.findings.error(&format!("{field}.name"), "is missing");
        }
        if super::backend::is_service(to) && to.port.is_none() {
            let at = format!("{field}.port");
            self.findings
                .error(&at, "is missing: a Service has several");
        }
        if to.port == Some(0) {
            let at = format!("{field}.port");
            self.findings.error(&at, "a port is between 1 and 65535");
        }
    }
}

/// A rule that says nothing yet.
fn blank(name: &str, field: &str) -> Rule {
    Rule {
        field: field.to_owned(),
        base: HttpRule {
            name: name.to_owned(),
            field: field.to_owned(),
            origin: None,
            matches: Vec::new(),
            action: failure(),
            fault: None,
            cors: None,
            headers: HeaderEdits::default(),
        },
        conditions: Vec::new(),
        backends: Vec::new(),
        mirrors: Vec::new(),
        refused: None,
    }
}

/// What requests get that have nowhere to go.
pub(super) fn failure() -> HttpAction {
    HttpAction::Respond(DirectResponse {
        status: 500,
        body: [].into(),
    })
}
