//! What is called.

use std::{collections::BTreeSet, fmt};

use mesh_core::{
    dataplane::{FilterChain, RouteSource, RouteTable, Snapshot, Terminal},
    mesh::{Call, CallScheme, Caller},
    name::AppProtocol,
};

use super::{callers::Source, samples::Sample};
use crate::simulation::{Simulation, party};

/// A host that no configuration names.
const ELSEWHERE: &str = "elsewhere.invalid";

/// A host and port, and how it is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) scheme: &'static str,
}

impl Target {
    fn new(scheme: &'static str, host: &str, port: u16) -> Self {
        let host = match host.strip_prefix('*') {
            Some("") => ELSEWHERE.to_owned(),
            Some(suffix) => format!("sample{suffix}"),
            None => host.to_owned(),
        };
        Self { host, port, scheme }
    }

    pub(super) fn is_http(&self) -> bool {
        self.scheme.starts_with("http")
    }

    /// A call of it.
    pub(super) fn call(&self, sample: &Sample) -> Call {
        let scheme = match self.scheme {
            "http" => CallScheme::Http,
            "https" => CallScheme::Https,
            "tls" => CallScheme::Tls,
            _ => CallScheme::Tcp,
        };
        Call {
            scheme,
            method: sample.method.clone(),
            host: self.host.clone(),
            port: self.port,
            has_port: true,
            path_and_query: sample.path_and_query.clone(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Everything that somebody may call: services, hosts that rules are for, and one that nothing is
/// said about.
pub(super) fn targets(simulation: &Simulation, source: &Source) -> BTreeSet<Target> {
    let mesh = simulation.mesh();
    let workload = party::workload_of(mesh, &source.caller).ok().flatten();
    let mut targets = BTreeSet::new();
    if let (Caller::Gateway { .. }, Some(gateway)) = (&source.caller, &workload) {
        entries(simulation.proxy(gateway).proxy.snapshot(), &mut targets);
        return targets;
    }
    for service in mesh.services() {
        for port in &service.ports {
            let scheme = match port.port.protocol {
                AppProtocol::Udp => continue,
                AppProtocol::Tcp => "tcp",
                AppProtocol::Tls => "tls",
                _ => "http",
            };
            let target = Target::new(scheme, service.host.as_str(), port.port.number);
            targets.insert(target);
        }
    }
    if let Some(workload) = &workload {
        hosts(simulation.proxy(workload).proxy.snapshot(), &mut targets);
        targets.insert(Target::new("http", ELSEWHERE, 80));
        targets.insert(Target::new("tls", ELSEWHERE, 443));
    }
    targets
}

/// Hosts of a sidecar's route tables, which are named by their ports.
fn hosts(snapshot: &Snapshot, targets: &mut BTreeSet<Target>) {
    for (name, table) in &snapshot.routes {
        let Ok(port) = name.parse::<u16>() else {
            continue;
        };
        for (host, _) in named(table) {
            targets.insert(Target::new("http", host, port));
        }
    }
}

/// Hosts and ports of virtual hosts, which are named `<host>:<port>`.
fn named(table: &RouteTable) -> impl Iterator<Item = (&str, u16)> {
    let hosts = table.virtual_hosts.iter();
    hosts.filter_map(|host| {
        let (name, port) = host.name.rsplit_once(':')?;
        Some((name, port.parse().ok()?))
    })
}

/// The ports a gateway opens, each with its hosts.
fn entries(snapshot: &Snapshot, targets: &mut BTreeSet<Target>) {
    for listener in snapshot
        .listeners
        .iter()
        .filter(|listener| listener.bind_to_port)
    {
        let port = listener.address.port();
        for chain in listener.chains() {
            let names = hosts_of(chain, snapshot);
            let scheme = match (&chain.terminal, chain.tls.is_some()) {
                (Terminal::Http(_), false) => "http",
                (Terminal::Http(_), true) => "https",
                (Terminal::Tcp(_), true) => "tls",
                (Terminal::Tcp(_), false) if !chain.matches.server_names.is_empty() => "tls",
                (Terminal::Tcp(_), false) => "tcp",
            };
            targets.insert(Target::new(scheme, ELSEWHERE, port));
            let names = names.iter();
            targets.extend(names.map(|name| Target::new(scheme, name, port)));
        }
    }
}

fn hosts_of(chain: &FilterChain, snapshot: &Snapshot) -> Vec<String> {
    let Terminal::Http(http) = &chain.terminal else {
        return chain.matches.server_names.clone();
    };
    let table = match &http.routes {
        RouteSource::Named(name) => snapshot.routes.get(name),
        RouteSource::Inline(table) => Some(table),
    };
    let hosts = table.iter().flat_map(|table| &table.virtual_hosts);
    let first = hosts.filter_map(|host| host.domains.first());
    first.cloned().collect()
}
