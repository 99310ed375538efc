//! What the HTTP rules of a VirtualService become: routes, in the order they were written.

use std::time::Duration;

use super::{
    edits::{append, header_edits, take_host},
    matches::route_match,
    names, retries,
    view::View,
};
use crate::{
    config::{Problem, Severity},
    dataplane::{
        ClusterChoice, CorsPolicy, DirectResponse, Fault, FaultAbort, FaultDelay, Forward,
        Fraction, HashPolicy, HeaderEdits, Mirror, Name, Origin, PathMatch, PathRewrite,
        PortRedirect, Redirect, RegexRewrite, Route, RouteAction, SchemeRedirect, WeightedCluster,
    },
    mesh::{self, HttpAction, HttpMatch, HttpRule, TrafficRules},
};

/// For whom rules are planned: the client's side and the port requests come to.
#[derive(Clone, Copy)]
pub(super) struct Audience<'a> {
    /// Who sends.
    pub(super) client: mesh::Client<'a>,
    /// The port of the listener, which rules may ask for and destinations inherit.
    pub(super) port: u16,
}

/// The routes of a VirtualService for one audience. Rules that are not for it are left out, and
/// so is everything after a rule that takes every request.
pub(super) fn routes(
    view: &View<'_>,
    rules: &TrafficRules,
    audience: Audience<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Route> {
    let mut translation = Translation {
        view,
        rules,
        audience,
        problems,
    };
    let mut routes = Vec::new();
    for rule in &rules.http {
        let any = HttpMatch::default();
        let matches = match &rule.matches[..] {
            [] => std::slice::from_ref(&any),
            matches => matches,
        };
        for condition in matches {
            let port_fits = condition.port.is_none_or(|port| port == audience.port);
            if !port_fits || !condition.client.includes(audience.client) {
                continue;
            }
            routes.push(translation.route(rule, condition));
            if takes_everything(condition) {
                return routes;
            }
        }
    }
    routes
}

/// Whether a condition that is for this audience holds for all its requests.
fn takes_everything(condition: &HttpMatch) -> bool {
    HttpMatch {
        port: None,
        client: mesh::ClientMatch::default(),
        name: String::new(),
        ..condition.clone()
    }
    .is_catch_all()
}

struct Translation<'a> {
    view: &'a View<'a>,
    rules: &'a TrafficRules,
    audience: Audience<'a>,
    problems: &'a mut Vec<Problem>,
}

impl Translation<'_> {
    fn route(&mut self, rule: &HttpRule, condition: &HttpMatch) -> Route {
        let mut headers = header_edits(&rule.headers);
        let matches = route_match(condition);
        let action = match &rule.action {
            HttpAction::Forward(forward) => {
                RouteAction::Forward(self.forward(forward, &matches.path, &mut headers))
            }
            HttpAction::Redirect(redirect) => RouteAction::Redirect(self.redirect(redirect)),
            HttpAction::Respond(response) => RouteAction::Respond(DirectResponse {
                status: response.status,
                body: response.body.clone(),
            }),
        };
        Route {
            name: route_name(&rule.name, &condition.name),
            operation: Some(self.operation(&matches.path, &action)),
            matches,
            action,
            headers,
            fault: rule.fault.as_ref().map(fault),
            cors: rule.cors.as_ref().map(cors),
            origin: Some(Origin::of(self.rules.origin(rule.origin.as_ref())).at(&*rule.field)),
        }
    }

    /// What traces call the operation: the one service it leads to, or the VirtualService.
    fn operation(&self, path: &PathMatch, action: &RouteAction) -> Name {
        let path = match path {
            PathMatch::Exact(path) | PathMatch::Regex(path) => path.clone(),
            PathMatch::Prefix(prefix) => format!("{prefix}*"),
            PathMatch::PathSeparatedPrefix(_) | PathMatch::Connect => "/*".into(),
        };
        let destination = match action {
            RouteAction::Forward(Forward {
                cluster: ClusterChoice::Single(name),
                ..
            }) => names::host_and_port(name),
            _ => None,
        };
        let place = destination.map_or_else(
            || format!("{}:{}", self.rules.reference.name, self.audience.port),
            |(host, port)| format!("{host}:{port}"),
        );
        format!("{place}{path}").into()
    }

    fn forward(
        &mut self,
        forward: &mesh::Forward,
        matches: &PathMatch,
        headers: &mut HeaderEdits,
    ) -> Forward {
        let mut host = take_host(headers);
        let cluster = match &forward.destinations[..] {
            [] => ClusterChoice::Single(names::NOWHERE.into()),
            [lone] if forward.nowhere == 0 => {
                let mut own = header_edits(&lone.headers);
                host = take_host(&mut own).or(host);
                append(headers, own);
                ClusterChoice::Single(self.cluster(&lone.destination))
            }
            several => {
                let each = several.iter().map(|weighted| self.weighted(weighted));
                let mut clusters: Vec<_> = each.collect();
                if forward.nowhere > 0 {
                    clusters.push(WeightedCluster {
                        name: names::NOWHERE.into(),
                        weight: forward.nowhere,
                        headers: HeaderEdits::default(),
                    });
                }
                ClusterChoice::Weighted(clusters)
            }
        };
        let hash = self.hash(forward);
        let retry = match &forward.retries {
            None => retries::default_policy(self.view),
            Some(policy) => retries::policy(policy),
        };
        let keeps_to_one = !hash.is_empty();
        Forward {
            cluster,
            timeout: forward.timeout,
            idle_timeout: None,
            max_grpc_timeout: Some(forward.timeout.unwrap_or(Duration::ZERO)),
            retry: retry.map(|policy| retries::with_affinity(policy, keeps_to_one)),
            path: (forward.path.as_ref()).map(|path| path_rewrite(path, matches)),
            host: forward.host.clone().or(host),
            append_forwarded_host: false,
            mirrors: forward
                .mirrors
                .iter()
                .map(|mirror| Mirror {
                    cluster: self.cluster(&mirror.destination),
                    share: share(mirror.share),
                })
                .collect(),
            hash,
            missing_cluster_status: self.rules.is_gateway_api().then_some(500),
        }
    }

    fn weighted(&mut self, weighted: &mesh::WeightedDestination) -> WeightedCluster {
        let mut headers = header_edits(&weighted.headers);
        if take_host(&mut headers).is_some() {
            let field = format!("{}.headers.request.set", weighted.field);
            self.warn(
                &field,
                "another host for one of several destinations is not honoured yet",
            );
        }
        WeightedCluster {
            name: self.cluster(&weighted.destination),
            weight: weighted.weight,
            headers,
        }
    }

    fn cluster(&self, destination: &mesh::Destination) -> Name {
        self.view.cluster_of(destination, self.audience.port)
    }

    /// What keeps requests on one instance: what the destinations' policies say.
    fn hash(&self, forward: &mesh::Forward) -> Vec<HashPolicy> {
        forward
            .destinations
            .iter()
            .flat_map(|weighted| self.view.hash_of(&weighted.destination, self.audience.port))
            .fold(Vec::new(), |mut all, policy| {
                if !all.contains(&policy) {
                    all.push(policy);
                }
                all
            })
    }

    fn redirect(&self, redirect: &mesh::Redirect) -> Redirect {
        let path = redirect.path.clone().map(PathRewrite::Full);
        Redirect {
            status: redirect.status,
            scheme: redirect
                .scheme
                .clone()
                .map_or(SchemeRedirect::Keep, SchemeRedirect::To),
            host: redirect.authority.clone(),
            port: match redirect.port {
                Some(mesh::RedirectPort::Number(port)) => Some(PortRedirect::To(port)),
                Some(mesh::RedirectPort::Request) => Some(PortRedirect::To(self.audience.port)),
                Some(mesh::RedirectPort::ProtocolDefault) | None => None,
            },
            path: path.or_else(|| redirect.prefix.clone().map(PathRewrite::Prefix)),
            strip_query: false,
        }
    }

    fn warn(&mut self, field: &str, reason: &str) {
        let problem = Problem::new(Severity::Warning, self.rules.source.clone(), reason)
            .of(self.rules.reference.clone())
            .at(field);
        self.problems.push(problem);
    }
}

/// `<rule>`, or `<rule>.<match>` where the match has a name.
fn route_name(rule: &str, condition: &str) -> Name {
    match condition {
        "" => rule.into(),
        condition => format!("{rule}.{condition}").into(),
    }
}

fn path_rewrite(path: &mesh::PathRewrite, matches: &PathMatch) -> PathRewrite {
    match path {
        // Replacing a prefix of segments by `/` in the plainest way would leave two slashes.
        mesh::PathRewrite::Matched(text) if text == "/" => match matches {
            PathMatch::PathSeparatedPrefix(prefix) => PathRewrite::Regex(RegexRewrite {
                pattern: format!("^{}(/?)(.*)", regex::escape(prefix)),
                substitution: r"/\2".into(),
            }),
            _ => PathRewrite::Prefix(text.clone()),
        },
        mesh::PathRewrite::Whole(text) => PathRewrite::Full(text.clone()),
        mesh::PathRewrite::Matched(text) => PathRewrite::Prefix(text.clone()),
        mesh::PathRewrite::Regex {
            pattern,
            substitution,
        } => PathRewrite::Regex(RegexRewrite {
            pattern: pattern.clone(),
            substitution: substitution.clone(),
        }),
    }
}

fn fault(fault: &mesh::Fault) -> Fault {
    Fault {
        delay: fault.delay.map(|delay| FaultDelay {
            duration: delay.duration,
            share: share(delay.share),
        }),
        abort: fault.abort.map(|abort| FaultAbort {
            http_status: abort.http_status,
            grpc_status: abort.grpc_status,
            share: share(abort.share),
        }),
    }
}

fn cors(cors: &mesh::CorsPolicy) -> CorsPolicy {
    CorsPolicy {
        allow_origins: cors.allow_origins.clone(),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        max_age: cors.max_age,
        allow_credentials: cors.allow_credentials,
        forward_unmatched_preflights: cors.forward_unmatched_preflights,
    }
}

fn share(share: mesh::PerMillion) -> Fraction {
    Fraction::per_million(share.parts())
}
