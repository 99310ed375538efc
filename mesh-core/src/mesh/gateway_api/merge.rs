//! Rules of several routes become one list for each place and host.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    backend,
    lower::failure,
    route::{Precedence, Route, RouteKind, Rule},
    world::World,
};
use crate::{
    config::Source,
    mesh::{
        Exports, Forward, GatewayName, HttpAction, HttpMatch, HttpRule, L4Match, Mirror, TcpRule,
        TlsMatch, TlsRule, TrafficRules, WeightedDestination,
    },
    name::{Host, ResourceRef},
};

/// Where rules are in effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// At a listener.
    Listener(GatewayName),
    /// At sidecars, as a namespace decides.
    Mesh {
        /// The namespace of the routes.
        namespace: Arc<str>,
        /// Whether it is the service's own: then they are for every caller.
        is_producer: bool,
    },
}

/// Rules so far.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<(Place, Host), Group>);

struct Group {
    /// The oldest route.
    first: (ResourceRef, Source),
    /// In the order of routes, oldest first.
    http: Vec<(Precedence, HttpRule)>,
    tls: Vec<TlsRule>,
    tcp: Vec<TcpRule>,
}

impl Groups {
    /// Adds a route's rules for a host; with a port, only for requests that come to it.
    pub(super) fn add(
        &mut self,
        world: &World<'_>,
        route: &Route,
        place: Place,
        host: &Host,
        port: Option<u16>,
    ) {
        let needs_grant = matches!(place, Place::Listener(_));
        let made = Rules {
            world,
            route,
            needs_grant,
        };
        let group = self
            .0
            .entry((place, host.clone()))
            .or_insert_with(|| Group {
                first: (route.reference.clone(), route.source.clone()),
                http: Vec::new(),
                tls: Vec::new(),
                tcp: Vec::new(),
            });
        let port = L4Match {
            port,
            ..L4Match::default()
        };
        match route.kind {
            RouteKind::Http | RouteKind::Grpc => made.requests(port.port, &mut group.http),
            RouteKind::Tcp => group.tcp.extend(made.connections(&port)),
            RouteKind::Tls => {
                let names = match route.hostnames.is_empty() || needs_grant {
                    true => vec![host.clone()],
                    false => route.hostnames.clone(),
                };
                // Where TLS is ended, the listener's chain knows the name already.
                group
                    .tcp
                    .extend(made.connections(&port).filter(|_| needs_grant));
                group
                    .tls
                    .extend(made.connections(&port).map(|rule| TlsRule {
                        field: rule.field,
                        matches: vec![TlsMatch {
                            server_names: names.clone(),
                            connection: port.clone(),
                        }],
                        destinations: rule.destinations,
                        nowhere: rule.nowhere,
                        origin: rule.origin,
                    }));
            }
        }
    }

    /// Everything, each list in the order in which it decides.
    pub(super) fn into_rules(self) -> Vec<Arc<TrafficRules>> {
        let rules = self.0.into_iter().map(|((place, host), mut group)| {
            group.http.sort_by_key(|(precedence, _)| *precedence);
            let (gateway, exports) = match place {
                Place::Listener(name) => (name, Exports::Everywhere),
                Place::Mesh {
                    is_producer: true, ..
                } => (GatewayName::Mesh, Exports::Everywhere),
                Place::Mesh { namespace, .. } => {
                    let own = Exports::To([namespace].into_iter().collect());
                    (GatewayName::Mesh, own)
                }
            };
            let (reference, source) = group.first;
            Arc::new(TrafficRules {
                reference,
                source,
                hosts: vec![host],
                gateways: vec![gateway],
                exports,
                http: group.http.into_iter().map(|(_, rule)| rule).collect(),
                tls: group.tls,
                tcp: group.tcp,
            })
        });
        rules.collect()
    }
}

/// The rules of one route.
struct Rules<'a> {
    world: &'a World<'a>,
    route: &'a Route,
    needs_grant: bool,
}

impl Rules<'_> {
    /// A rule for each condition, since each stands in the order by itself.
    fn requests(&self, port: Option<u16>, rules: &mut Vec<(Precedence, HttpRule)>) {
        for (index, rule) in self.route.rules.iter().enumerate() {
            let made = self.request_rule(index, rule);
            rules.extend(rule.conditions.iter().map(|found| {
                let condition = HttpMatch {
                    port,
                    ..found.condition.clone()
                };
                let rule = HttpRule {
                    matches: vec![condition],
                    ..made.clone()
                };
                (found.precedence, rule)
            }));
        }
    }

    fn request_rule(&self, index: usize, rule: &Rule) -> HttpRule {
        let ResourceRef {
            namespace, name, ..
        } = &self.route.reference;
        let action = match &rule.base.action {
            _ if rule.refused.is_some() => failure(),
            HttpAction::Forward(forward) => self.forward(rule, forward),
            action => action.clone(),
        };
        HttpRule {
            name: match &*rule.base.name {
                "" => format!("{namespace}.{name}.{index}"),
                name => name.to_owned(),
            },
            origin: Some(self.route.reference.clone()),
            action,
            ..rule.base.clone()
        }
    }

    fn forward(&self, rule: &Rule, forward: &Forward) -> HttpAction {
        let (destinations, nowhere) = self.destinations(rule);
        if destinations.is_empty() && nowhere == 0 {
            return failure();
        }
        let mirrors = rule.mirrors.iter().filter_map(|mirror| {
            let reference = &self.route.reference;
            let found = backend::destination(self.world, reference, &mirror.to, self.needs_grant);
            Some(Mirror {
                destination: found.ok()?,
                share: mirror.share,
            })
        });
        HttpAction::Forward(Forward {
            destinations,
            nowhere,
            mirrors: mirrors.collect(),
            ..forward.clone()
        })
    }

    /// Destinations that can be used, and the share of those that cannot.
    fn destinations(&self, rule: &Rule) -> (Vec<WeightedDestination>, u32) {
        let mut usable = Vec::with_capacity(rule.backends.len());
        let mut nowhere = 0;
        for backend in rule.backends.iter().filter(|backend| backend.weight > 0) {
            let reference = &self.route.reference;
            match backend::destination(self.world, reference, &backend.to, self.needs_grant) {
                // As the Gateway API asks, where a policy's roots are missing.
                Ok(destination) if self.world.is_untrusted(&destination) => {
                    nowhere += backend.weight;
                }
                Ok(destination) => usable.push(WeightedDestination {
                    destination,
                    weight: backend.weight,
                    headers: backend.headers.clone(),
                    field: backend.field.clone(),
                }),
                Err(_) => nowhere += backend.weight,
            }
        }
        (usable, nowhere)
    }

    fn connections(&self, condition: &L4Match) -> impl Iterator<Item = TcpRule> {
        self.route.rules.iter().take(1).map(move |rule| {
            let (destinations, nowhere) = self.destinations(rule);
            TcpRule {
                field: rule.field.clone(),
                matches: vec![condition.clone()],
                // Without any weight there is nowhere to go either.
                nowhere: match destinations.is_empty() {
                    true => nowhere.max(1),
                    false => nowhere,
                },
                destinations,
                origin: Some(self.route.reference.clone()),
            }
        })
    }
}
