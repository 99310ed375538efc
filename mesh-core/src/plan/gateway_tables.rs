//! Route tables of an edge: by the hosts that Gateways open and VirtualServices answer.

use std::collections::{BTreeMap, HashSet};

use super::{
    gateway::{self, Open},
    rules::{self, Audience},
    tables,
    view::View,
};
use crate::{
    config::Problem,
    dataplane::{
        HeaderEdits, Name, Redirect, Route, RouteAction, RouteMatch, RouteTable, SchemeRedirect,
        VirtualHost,
    },
    mesh::{Client, Gateway, GatewayName, ServerTls, TrafficRules},
    name::Host,
};

/// The table of servers that share a listener. `port` is the one callers use.
///
/// Where rules of several VirtualServices meet at one host they follow each other, the oldest
/// first; those for every request come last.
pub(super) fn table(
    view: &View<'_>,
    name: Name,
    port: u16,
    servers: &[Open<'_>],
    problems: &mut Vec<Problem>,
) -> RouteTable {
    let mut hosts: BTreeMap<Host, Vec<Route>> = BTreeMap::new();
    let mut answered: HashSet<(Host, *const TrafficRules)> = HashSet::new();
    let mut listened: HashSet<&Host> = HashSet::new();
    for &open in servers {
        let client = Client::Gateway(&open.gateway.name);
        let audience = Audience { client, port };
        let redirects = matches!(
            open.server.tls,
            ServerTls::Off {
                https_redirect: true
            }
        );
        if redirects {
            for open in &open.server.hosts {
                hosts.insert(open.host.clone(), vec![to_https()]);
            }
        }
        if open.gateway.is_gateway_api() {
            // A host that somebody listens for is nobody else's, even without routes.
            for open in &open.server.hosts {
                hosts.entry(open.host.clone()).or_default();
                listened.insert(&open.host);
            }
        }
        for rules in gateway::bound(view, open) {
            for host in Gateway::hosts(open.server, rules) {
                let routes = hosts.entry(host.clone()).or_default();
                if redirects {
                    *routes = vec![to_https()];
                } else if answered.insert((host, rules)) {
                    routes.extend(rules::routes(view, rules, audience, problems));
                }
            }
        }
    }
    // Rules of which none is for this gateway leave their host to others, as in Istio.
    hosts.retain(|host, routes| !routes.is_empty() || listened.contains(host));
    let mut virtual_hosts = match hosts.is_empty() {
        // Nothing is bound: every request gets a 404.
        true => vec![virtual_host(&format!("blackhole:{port}"), "*", Vec::new())],
        false => hosts
            .into_iter()
            .map(|(host, routes)| {
                let routes = catch_all_last(routes);
                virtual_host(&format!("{host}:{port}"), host.as_str(), routes)
            })
            .collect::<Vec<_>>(),
    };
    virtual_hosts.sort_by(|a, b| a.name.cmp(&b.name));
    RouteTable {
        name,
        virtual_hosts,
        ignore_port_in_host_matching: true,
        headers: HeaderEdits::default(),
    }
}

/// `https.<port>.<port name>.<gateway>.<namespace>`.
pub(super) fn https_name(open: Open<'_>, port: u16) -> Name {
    let reference = &open.gateway.reference;
    let port_name = &open.server.port.name;
    // Listeners of the Gateway API are Gateways of their own, and named as such.
    let (name, namespace) = match &open.gateway.name {
        GatewayName::Named { namespace, name } => (name, namespace),
        GatewayName::Mesh => (&reference.name, &reference.namespace),
    };
    format!("https.{port}.{port_name}.{name}.{namespace}").into()
}

/// Of several routes for every request, only the first can be reached.
fn catch_all_last(routes: Vec<Route>) -> Vec<Route> {
    let (all, mut some): (Vec<_>, Vec<_>) = routes
        .into_iter()
        .partition(|route| route.matches == RouteMatch::default());
    some.extend(all.into_iter().take(1));
    some
}

fn to_https() -> Route {
    let redirect = Redirect {
        status: 301,
        scheme: SchemeRedirect::Https,
        host: None,
        port: None,
        path: None,
        strip_query: false,
    };
    tables::route("", RouteAction::Redirect(redirect))
}

fn virtual_host(name: &str, domain: &str, routes: Vec<Route>) -> VirtualHost {
    tables::virtual_host(name.into(), vec![domain.into()], routes)
}
