//! What either side asks of a request.

use std::collections::BTreeSet;

use mesh_core::{
    dataplane::{
        AccessRules, ClaimMatch, HeaderMatch, HttpFilter, PathMatch, Permission, Principal,
        RbacFilter, RouteMatch, RouteSource, RouteTable, Terminal, ValueMatch,
    },
    name::Pattern,
};

use super::{callers::Source, targets::Target, witness::witness};
use crate::{
    explain::PaperProxy,
    simulation::{Simulation, party},
};

/// A header or query parameter with a value.
pub(super) type Pair = (String, String);

/// Paths, methods, headers and the like that rules speak of.
#[derive(Debug, Default)]
pub(super) struct Predicates {
    /// Samples of paths, each with the class it stands for.
    pub(super) paths: BTreeSet<(String, String)>,
    pub(super) methods: BTreeSet<String>,
    /// Sets of headers that some rule asks for together.
    pub(super) headers: BTreeSet<Vec<Pair>>,
    /// Sets of query parameters that some rule asks for together.
    pub(super) queries: BTreeSet<Vec<Pair>>,
    pub(super) claims: BTreeSet<(Vec<String>, String)>,
}

impl Predicates {
    /// Adds what the caller's proxy asks of a request for the target, and what the proxies of its
    /// instances ask.
    pub(super) fn gather(&mut self, simulation: &Simulation, source: &Source, target: &Target) {
        if !target.is_http() {
            return;
        }
        let mesh = simulation.mesh();
        if let Ok(Some(caller)) = party::workload_of(mesh, &source.caller) {
            self.routes(&simulation.proxy(&caller).proxy, target);
            self.access(&simulation.proxy(&caller).proxy);
        }
        let services = mesh.services().iter();
        for service in services.filter(|service| service.host.as_str() == target.host) {
            for endpoint in mesh.endpoints().of(service, target.port) {
                if party::has_proxy(mesh, &endpoint.workload) {
                    self.access(&simulation.proxy(&endpoint.workload).proxy);
                }
            }
        }
    }

    fn routes(&mut self, proxy: &PaperProxy, target: &Target) {
        let authority = format!("{}:{}", target.host, target.port);
        let snapshot = proxy.snapshot();
        let chains = snapshot
            .listeners
            .iter()
            .flat_map(|listener| listener.chains());
        let inline = chains.filter_map(|chain| match &chain.terminal {
            Terminal::Http(http) => match &http.routes {
                RouteSource::Inline(table) => Some(table),
                RouteSource::Named(_) => None,
            },
            Terminal::Tcp(_) => None,
        });
        for table in snapshot.routes.values().chain(inline) {
            self.table(table, &authority);
        }
    }

    fn table(&mut self, table: &RouteTable, authority: &str) {
        let Some(index) = crate::router::linear::virtual_host(table, authority) else {
            return;
        };
        for route in &table.virtual_hosts[index].routes {
            self.route(&route.matches);
        }
    }

    fn route(&mut self, matches: &RouteMatch) {
        self.path(&matches.path, matches.ignore_case);
        let mut together = Vec::new();
        for header in &matches.headers {
            together.extend(self.header(header));
        }
        if matches.grpc {
            let grpc = ("content-type".to_owned(), "application/grpc".to_owned());
            self.headers.insert(vec![grpc.clone()]);
            together.push(grpc);
        }
        self.headers.insert(together);
        for wanted in &matches.claims {
            self.claim(&wanted.claim);
        }
        let queries = matches.query.iter();
        let queries =
            queries.filter_map(|query| Some((query.name.clone(), value_of(&query.value)?)));
        self.queries.insert(queries.collect());
    }

    fn path(&mut self, path: &PathMatch, ignore_case: bool) {
        match path {
            PathMatch::Exact(text) => self.add_path(text, text),
            PathMatch::Prefix(text) => self.prefix(text),
            PathMatch::PathSeparatedPrefix(text) => {
                self.prefix(text);
                self.add_path(&format!("{text}-"), &format!("{text}-"));
            }
            PathMatch::Regex(text) => self.pattern(&Pattern::Regex(text.clone())),
            PathMatch::Connect => {}
        }
        if let (PathMatch::Exact(text) | PathMatch::Prefix(text), true) = (path, ignore_case) {
            let upper = text.to_ascii_uppercase();
            self.add_path(&upper, &upper);
        }
    }

    fn prefix(&mut self, text: &str) {
        let class = format!("{text}*");
        self.add_path(&class, text);
        let below = format!("{}/-", text.trim_end_matches('/'));
        self.add_path(&class, &below);
        if !text.ends_with('/') {
            self.add_path(&class, &format!("{text}-"));
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::Exact(text) => self.add_path(text, text),
            Pattern::Prefix(text) => self.prefix(text),
            other => {
                if let Some(text) = witness(other) {
                    self.add_path(&format!("({other})"), &text);
                }
            }
        }
    }

    fn add_path(&mut self, class: &str, path: &str) {
        if path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            let path = path.split('?').next().unwrap_or_default();
            self.paths.insert((path.to_owned(), class.to_owned()));
        }
    }

    /// A header that meets the condition, or would if it were not for the opposite. Another value
    /// of it is noted too.
    fn header(&mut self, header: &HeaderMatch) -> Option<Pair> {
        let value = value_of(&header.value)?;
        match &*header.name {
            ":method" => {
                self.methods.insert(value);
                return None;
            }
            name if name.starts_with(':') || name == "host" => return None,
            _ => {}
        }
        let name = header.name.clone();
        if header.value != ValueMatch::Present {
            self.headers.insert(vec![(name.clone(), "-".to_owned())]);
        }
        self.headers.insert(vec![(name.clone(), value.clone())]);
        (!header.invert).then_some((name, value))
    }

    /// What a proxy asks before it lets a request in.
    fn access(&mut self, proxy: &PaperProxy) {
        let listeners = proxy.snapshot().listeners.iter();
        for chain in listeners.flat_map(|listener| listener.chains()) {
            let Terminal::Http(http) = &chain.terminal else {
                continue;
            };
            for filter in &http.filters {
                if let HttpFilter::Rbac(RbacFilter {
                    rules: Some(rules), ..
                }) = filter
                {
                    self.rules(rules);
                }
            }
        }
    }

    fn rules(&mut self, rules: &AccessRules) {
        for policy in rules.policies.values() {
            policy
                .permissions
                .iter()
                .for_each(|one| self.permission(one));
            policy.principals.iter().for_each(|one| self.principal(one));
        }
    }

    fn permission(&mut self, permission: &Permission) {
        match permission {
            Permission::All(parts) | Permission::OneOf(parts) => {
                parts.iter().for_each(|part| self.permission(part));
            }
            Permission::Not(part) => self.permission(part),
            Permission::Path(pattern) => self.pattern(pattern),
            Permission::Header(header) => drop(self.header(header)),
            _ => {}
        }
    }

    fn principal(&mut self, principal: &Principal) {
        match principal {
            Principal::All(parts) | Principal::OneOf(parts) => {
                parts.iter().for_each(|part| self.principal(part));
            }
            Principal::Not(part) => self.principal(part),
            Principal::Header(header) => drop(self.header(header)),
            Principal::Claim(claim) => self.claim(claim),
            _ => {}
        }
    }

    fn claim(&mut self, wanted: &ClaimMatch) {
        let values = wanted.values.iter().filter_map(witness);
        self.claims
            .extend(values.map(|value| (wanted.path.clone(), value)));
    }
}

/// A value that meets a condition.
fn value_of(value: &ValueMatch) -> Option<String> {
    match value {
        ValueMatch::Present => Some("-".to_owned()),
        ValueMatch::Text { pattern, .. } => witness(pattern),
        ValueMatch::Range { start, .. } => Some(start.to_string()),
    }
}
