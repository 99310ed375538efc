//! Route tables of a sidecar: one per port, one per undeclared port, one for the proxy port.

use std::{collections::BTreeMap, time::Duration};

use super::{
    chains, clusters,
    hosts::{self, Taken},
    names, retries,
    rules::{self, Audience},
    view::View,
};
use crate::{
    config::Problem,
    dataplane::{
        ClusterChoice, DirectResponse, Forward, HeaderEdits, Name, PathMatch, Route, RouteAction,
        RouteMatch, RouteTable, VirtualHost,
    },
    mesh::{Client, OutboundMode, Resolution, Service, TrafficRules},
    name::{AppProtocol, Host},
};

/// The port whose hosts may be left without one, in a proxied request as in any URL.
const HTTP_PORT: u16 = 80;

/// The table of a port that services declared to speak HTTP: by host, whatever the port said
/// there, since the listener knows it.
pub(super) fn of_port(view: &View<'_>, port: u16, problems: &mut Vec<Problem>) -> RouteTable {
    let mut taken = Taken::default();
    let mut virtual_hosts = Vec::new();
    for (service, declared) in view.ports() {
        if declared.port.number == port && shares_port(service, declared.port.protocol) {
            let domains = taken.claim(hosts::names(view, service));
            virtual_hosts.push(of_service_port(view, service, port, domains, problems));
        }
    }
    if port == HTTP_PORT {
        for (host, rules) in hosts_without_service(view) {
            let domains = taken.claim(hosts::host_names(view, host));
            virtual_hosts.push(of_rules(view, rules, host, domains, problems));
        }
    }
    RouteTable {
        name: port.to_string().into(),
        virtual_hosts: settled(virtual_hosts, undeclared(view)),
        ignore_port_in_host_matching: true,
        headers: HeaderEdits::default(),
    }
}

/// The table of a port of which nobody said what it speaks, once it turns out to speak HTTP.
pub(super) fn of_service(
    view: &View<'_>,
    service: &Service,
    port: u16,
    problems: &mut Vec<Problem>,
) -> RouteTable {
    let everything = vec!["*".to_owned()];
    RouteTable {
        name: service_table_name(service, port),
        virtual_hosts: vec![of_service_port(view, service, port, everything, problems)],
        ignore_port_in_host_matching: true,
        headers: HeaderEdits::default(),
    }
}

/// The name of [`of_service`]'s table.
pub(super) fn service_table_name(service: &Service, port: u16) -> Name {
    format!("{}:{port}", service.host).into()
}

/// Whether a port's requests share a listener and a table with all others of its number: it
/// speaks HTTP, or may, and has no address of its own to be told by.
pub(super) fn shares_port(service: &Service, protocol: AppProtocol) -> bool {
    let no_address = service.addresses.is_empty() && service.resolution != Resolution::Headless;
    protocol.is_http() || (protocol == AppProtocol::Auto && no_address)
}

/// The table of the explicit proxy port: every service at every port, told by the port in the
/// request's host.
///
/// As with istiod, hosts of port 80 may also come without a port. Beyond istiod, so may those of
/// a service with only one HTTP port, because then there is no doubt which is meant. A request for a
/// host nobody declared names whom to call, so it is passed on or refused as any other call.
pub(super) fn of_proxy(view: &View<'_>, problems: &mut Vec<Problem>) -> RouteTable {
    let mut taken = Taken::default();
    let mut virtual_hosts = BTreeMap::new();
    let http: Vec<_> = view
        .ports()
        .filter(|(service, port)| {
            // Whose instances only the caller knows cannot be called by name.
            is_routed(port.port.protocol) && clusters::knows_instances(view, service)
        })
        .map(|(service, port)| (service, port.port.number))
        .collect();
    // Hosts with their port first: no portless name may take one of them.
    for &(service, port) in &http {
        let with_port = hosts::names(view, service).into_iter();
        let with_port = with_port.map(|host| format!("{host}:{port}")).collect();
        let host = of_service_port(view, service, port, taken.claim(with_port), problems);
        virtual_hosts.insert(host.name.clone(), host);
    }
    let mut ports_of: BTreeMap<&Host, usize> = BTreeMap::new();
    for (service, _) in &http {
        *ports_of.entry(&service.host).or_default() += 1;
    }
    // Port 80 comes before what is ours.
    let (standard, others): (Vec<_>, Vec<_>) =
        http.iter().partition(|(_, port)| *port == HTTP_PORT);
    let ours = others.into_iter();
    let ours = ours.filter(|(service, _)| ports_of.get(&service.host) == Some(&1));
    for (service, port) in standard.into_iter().chain(ours) {
        let name = service_table_name(service, port);
        if let Some(host) = virtual_hosts.get_mut(&name) {
            host.domains
                .extend(taken.claim(hosts::names(view, service)));
        }
    }
    let mut virtual_hosts: Vec<_> = virtual_hosts.into_values().collect();
    for (host, rules) in hosts_without_service(view) {
        let mut domains = hosts::host_names(view, host);
        let with_port: Vec<_> = domains
            .iter()
            .map(|host| format!("{host}:{HTTP_PORT}"))
            .collect();
        domains.extend(with_port);
        let domains = taken.claim(domains);
        virtual_hosts.push(of_rules(view, rules, host, domains, problems));
    }
    RouteTable {
        name: names::HTTP_PROXY.into(),
        virtual_hosts: settled(virtual_hosts, undeclared(view)),
        ignore_port_in_host_matching: false,
        headers: HeaderEdits::default(),
    }
}

fn is_routed(protocol: AppProtocol) -> bool {
    protocol.is_http() || protocol == AppProtocol::Auto
}

/// A port of a service: by the rules for its host, else straight to it.
fn of_service_port(
    view: &View<'_>,
    service: &Service,
    port: u16,
    domains: Vec<String>,
    problems: &mut Vec<Problem>,
) -> VirtualHost {
    let client = view.sidecar();
    // As with istiod, rules that have nothing to say about this port or client leave it alone.
    let routes = view.rules(&service.host);
    let mut routes =
        routes.map(|rules| rules::routes(view, rules, Audience { client, port }, problems));
    let routes = routes.find(|routes| !routes.is_empty());
    let routes = routes.unwrap_or_else(|| vec![default_route(view, service, port)]);
    virtual_host(service_table_name(service, port), domains, routes)
}

/// A host that only rules know, at port 80.
fn of_rules(
    view: &View<'_>,
    rules: &TrafficRules,
    host: &Host,
    domains: Vec<String>,
    problems: &mut Vec<Problem>,
) -> VirtualHost {
    let audience = Audience {
        client: view.sidecar(),
        port: HTTP_PORT,
    };
    let routes = rules::routes(view, rules, audience, problems);
    virtual_host(format!("{host}:{HTTP_PORT}").into(), domains, routes)
}

/// Hosts of rules that no service has, each once, by the rules that win.
fn hosts_without_service<'a>(
    view: &View<'a>,
) -> impl Iterator<Item = (&'a Host, &'a TrafficRules)> {
    let client: Client<'a> = view.sidecar();
    let mut hosts = BTreeMap::new();
    for rules in view.mesh.traffic_rules_for(client) {
        for host in &rules.hosts {
            let served = match host.is_wildcard() {
                true => view.services().any(|service| host.covers(&service.host)),
                false => view.calls(host),
            };
            if !served && !rules.http.is_empty() && view.follows(rules, host) {
                hosts.entry(host.as_str()).or_insert((host, &**rules));
            }
        }
    }
    hosts.into_values()
}

/// Straight to the service, as Istio does without a VirtualService.
pub(super) fn default_route(view: &View<'_>, service: &Service, port: u16) -> Route {
    let destination = crate::mesh::Destination {
        host: service.host.clone(),
        subset: None,
        port: Some(port),
    };
    let hash: Vec<_> = view.hash_of(&destination, port).into_iter().collect();
    let retry = retries::default_policy(view);
    let keeps_to_one = !hash.is_empty();
    let forward = Forward {
        retry: retry.map(|policy| retries::with_affinity(policy, keeps_to_one)),
        hash,
        ..forward_to(names::outbound(port, "", &service.host))
    };
    Route {
        operation: Some(format!("{}:{port}/*", service.host).into()),
        ..route("default", RouteAction::Forward(forward))
    }
}

/// Without limits: every timeout is what the caller asks for.
pub(super) fn forward_to(cluster: impl Into<Name>) -> Forward {
    Forward {
        cluster: ClusterChoice::Single(cluster.into()),
        max_grpc_timeout: Some(Duration::ZERO),
        ..Forward::default()
    }
}

/// A route for every request.
pub(super) fn route(name: &str, action: RouteAction) -> Route {
    Route {
        name: name.into(),
        matches: RouteMatch {
            path: PathMatch::Prefix("/".into()),
            ..RouteMatch::default()
        },
        action,
        headers: HeaderEdits::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: None,
    }
}

pub(super) fn virtual_host(name: Name, domains: Vec<String>, routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name,
        domains,
        routes,
        headers: HeaderEdits::default(),
        include_attempt_count: true,
    }
}

/// What becomes of requests for hosts nobody declared.
fn undeclared(view: &View<'_>) -> VirtualHost {
    match view.outbound {
        OutboundMode::AllowAny => {
            let forward = forward_to(chains::undeclared_cluster(view));
            last("allow_any", RouteAction::Forward(forward))
        }
        OutboundMode::RegistryOnly => {
            let refusal = DirectResponse {
                status: 502,
                ..DirectResponse::default()
            };
            last("block_all", RouteAction::Respond(refusal))
        }
    }
}

fn last(name: &str, action: RouteAction) -> VirtualHost {
    virtual_host(name.into(), vec!["*".into()], vec![route(name, action)])
}

/// By name, the one for all other hosts last; without those whose every name was taken, and those
/// for which nothing is to be done.
fn settled(mut hosts: Vec<VirtualHost>, rest: VirtualHost) -> Vec<VirtualHost> {
    hosts.retain(|host| !host.domains.is_empty() && !host.routes.is_empty());
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    hosts.push(rest);
    hosts
}
