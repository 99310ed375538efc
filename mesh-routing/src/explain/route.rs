//! From a request to what becomes of it, in the order in which a proxy asks.

use http::HeaderMap;

use super::{
    Arrival, Decision, Explanation, Outcome, PaperProxy, Request,
    admission::Admitted,
    compiled::PaperHttp,
    filters::{self, OnAnswer},
    receive::Received,
    respond,
    tree::{ChosenRule, HttpStep, RejectedRule, RouteStep},
    words,
};
use crate::{Matched, NoRoute, RequestHead, Router, router::Action};

impl PaperProxy {
    pub(super) fn route(
        &self,
        http: &PaperHttp,
        admitted: &Admitted,
        request: &Request,
        arrival: &Arrival<'_>,
        told: &mut Explanation,
    ) -> Decision {
        let (mut received, answer) = Received::new(&http.planned, request, admitted, arrival);
        let step = told.http.insert(HttpStep {
            request: format!(
                "{} {} (host {})",
                received.request.method,
                received.request.path_and_query(),
                received.request.authority
            ),
            path_before: received.path_before.clone(),
            remote: received.remote,
            route: None,
            filters: Vec::new(),
            fault: None,
        });
        if let Some(answer) = answer {
            return answer;
        }
        let mut matched = find(http, &received, step);
        let mut on_answer = OnAnswer::default();
        for filter in &http.filters {
            let found = matched.as_ref().and_then(|matched| matched.as_ref().ok());
            let decision = filters::apply(filter, &mut received, found, step, &mut on_answer);
            if let Some(decision) = decision {
                return respond::marked(decision, on_answer);
            }
            if filter.reroutes() && received.claims.is_some() {
                matched = find(http, &received, step);
            }
        }
        let matched = match matched {
            Some(Ok(matched)) => matched,
            Some(Err(NoRoute::Host)) => return no_route("no virtual host is for this host"),
            Some(Err(_)) => return no_route("no rule of the virtual host matches"),
            None => return no_route("the route table is not there"),
        };
        let decision = match &matched.route.action {
            Action::Forward(forward) => self.forward(&matched, forward, &received, told),
            Action::Redirect(redirect) => respond::redirect(&matched, redirect, &received),
            Action::Respond(direct) => respond::direct(&matched, direct.status, &received),
        };
        let delayed = on_answer.is_delayed;
        if let (Some(cors), Some(sent)) = (&on_answer.cors, &mut told.sent) {
            let mut headers = HeaderMap::new();
            cors.clone().apply(&mut headers);
            sent.response_headers
                .extend(edits(&HeaderMap::new(), &headers));
        }
        let mut decision = respond::marked(decision, on_answer);
        if delayed {
            decision.flags.insert(0, "DI");
        }
        decision
    }
}

/// Looks for the rule, and tells how.
fn find<'a>(
    http: &'a PaperHttp,
    received: &Received<'_>,
    step: &mut HttpStep,
) -> Option<Result<Matched<'a>, NoRoute>> {
    let (head, seed) = (received.head(), received.arrival.seed);
    let router = http.router.as_deref();
    step.route = Some(match router {
        Some(router) => account(router, &head, seed),
        None => RouteStep::missing(http, &head),
    });
    router.map(|router| router.route(&head, seed))
}

fn no_route(reason: &str) -> Decision {
    Decision::new(Outcome::Unavailable, reason)
        .status(404)
        .flag("NR")
        .details("route_not_found")
}

impl RouteStep {
    fn missing(http: &PaperHttp, head: &RequestHead<'_>) -> Self {
        Self {
            table: http.table.clone(),
            authority: head.authority.to_owned(),
            virtual_host: None,
            domain: None,
            rejected: Vec::new(),
            chosen: None,
        }
    }
}

/// Why the router answers as it does.
fn account(router: &Router, head: &RequestHead<'_>, seed: u64) -> RouteStep {
    let table = router.table();
    let explained = router.explain(head, seed);
    let found = crate::router::linear::virtual_host_by(table, head.authority);
    let host = found.and_then(|(index, _)| table.virtual_hosts.get(index));
    let routes = host.map_or(&[][..], |host| &host.routes[..]);
    let rejected = routes.iter().zip(&explained.rejected);
    RouteStep {
        table: table.name.clone(),
        authority: head.authority.to_owned(),
        virtual_host: explained.virtual_host,
        domain: found.map(|(_, domain)| domain.to_owned()),
        rejected: rejected
            .map(|(route, rejected)| RejectedRule {
                name: route.name.clone(),
                origin: route.origin.clone(),
                because: words::unmet(route, head, &rejected.because),
            })
            .collect(),
        chosen: explained
            .chosen
            .and_then(|_| routes.get(explained.rejected.len()))
            .map(|route| ChosenRule {
                name: route.name.clone(),
                origin: route.origin.clone(),
                action: words::action(&route.action),
            }),
    }
}

/// What changed from one set of headers to another, by name; a removed one has no value.
pub(super) fn edits(before: &HeaderMap, after: &HeaderMap) -> Vec<(String, Option<String>)> {
    let text = |headers: &HeaderMap, name: &http::HeaderName| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_by_key(|name| name.as_str());
    names.dedup();
    let each = names.into_iter().filter_map(|name| {
        let (old, new) = (text(before, name), text(after, name));
        (old != new).then(|| (name.to_string(), new))
    });
    each.collect()
}
