//! What the plan says becomes of a request.

use std::{collections::BTreeMap, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::dataplane::{
    ClusterChoice, Discovery, EndpointHealth, EndpointSet, Forward, Fraction, HeaderEdits, Name,
    RouteAction,
};
use mesh_routing::{AccessRequest, ConnectionFacts, Matched, RequestHead, action::EditFacts};

use super::{
    check::{Expected, Outcome, Question, Reaches},
    instance::{self, Call, Judges, Neighbours},
    party::{Party, WayIn},
};

/// A request that met its rule.
pub(super) struct Met<'a> {
    pub(super) neighbours: &'a Neighbours<'a>,
    pub(super) judges: &'a Judges,
    pub(super) party: &'a Party,
    pub(super) way: WayIn<'a>,
    pub(super) matched: Matched<'a>,
    pub(super) question: &'a Question,
}

impl Met<'_> {
    /// What becomes of it; in words, why that cannot be said.
    pub(super) fn expected(&self) -> Result<Expected, &'static str> {
        let head = self.question.head();
        if !self.passes(&head) {
            return Ok(Expected::always(Outcome::Responded { status: 403 }));
        }
        let rule = self.matched.planned;
        let fault = rule.fault.unwrap_or_default();
        let abort = fault.abort.filter(|abort| abort.share != Fraction::NONE);
        let mut outcomes = self.outcomes(&head)?;
        if let Some(abort) = abort {
            let status = abort.http_status.ok_or("it aborts gRPC calls")?;
            let share = share(abort.share);
            for (_, of_rest) in &mut outcomes {
                *of_rest *= 1.0 - share;
            }
            outcomes.push((Outcome::Aborted { status }, share));
        }
        outcomes.retain(|(_, share)| *share > 0.0);
        let delay = fault.delay.filter(|delay| delay.share != Fraction::NONE);
        Ok(Expected {
            outcomes,
            delay: delay.map(|delay| (delay.duration, delay.share)),
            headers: self.headers(),
        })
    }

    /// Whether the chain it comes in by lets it pass.
    fn passes(&self, head: &RequestHead<'_>) -> bool {
        let source = self.question.source;
        let source = source.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
        let facts = ConnectionFacts {
            source: (source, 0).into(),
            destination: self.way.listener.address,
            server_name: None,
            transport: mesh_core::dataplane::TransportProtocol::RawBuffer,
            application_protocols: &[],
            peer: None,
        };
        let request = AccessRequest {
            head: Some(head),
            connection: &facts,
            remote: source,
            claims: None,
        };
        self.judges.let_pass(&request)
    }

    fn outcomes(&self, head: &RequestHead<'_>) -> Result<Vec<(Outcome, f64)>, &'static str> {
        let forward = match &self.matched.planned.action {
            RouteAction::Forward(forward) => forward,
            RouteAction::Redirect(redirect) => {
                let location = self.matched.route.location(head).unwrap_or_default();
                let status = redirect.status;
                return Ok(vec![(Outcome::Redirected { status, location }, 1.0)]);
            }
            RouteAction::Respond(response) => {
                let status = response.status;
                return Ok(vec![(Outcome::Responded { status }, 1.0)]);
            }
        };
        Ok(match &forward.cluster {
            ClusterChoice::Single(name) => vec![(self.at(name, forward, head), 1.0)],
            ClusterChoice::Weighted(clusters) => {
                let total: u64 = clusters.iter().map(|one| u64::from(one.weight)).sum();
                let lone = clusters.len() == 1;
                let share = |weight: u32| match lone {
                    true => 1.0,
                    false => f64::from(weight) / total.max(1) as f64,
                };
                let each = clusters.iter();
                each.map(|one| (self.at(&one.name, forward, head), share(one.weight)))
                    .collect()
            }
            ClusterChoice::Header(_) => return Err("a header names its destination"),
        })
    }

    /// What becomes of it at a cluster.
    fn at(&self, name: &Name, forward: &Forward, head: &RequestHead<'_>) -> Outcome {
        let snapshot = &self.party.snapshot;
        let cluster = name.clone();
        let Some(planned) = snapshot.clusters.get(name) else {
            let status = forward.missing_cluster_status.unwrap_or(503);
            return Outcome::NoCluster { cluster, status };
        };
        let none = EndpointSet::default();
        let set = match &planned.discovery {
            Discovery::Told(name) => snapshot.endpoints.get(name).map_or(&none, |set| &**set),
            Discovery::Static(set) => set,
            Discovery::StrictDns(_)
            | Discovery::LogicalDns(_)
            | Discovery::OriginalDestination(_) => return Outcome::Leaves { cluster },
        };
        let healthy = |one: &&_| is_healthy(one);
        let endpoints: Vec<_> = set.endpoints().filter(healthy).collect();
        if endpoints.is_empty() {
            return Outcome::NoInstance { cluster };
        }
        let arriving = self.arriving(forward, head);
        let arriving = arriving.head();
        let mut instances = BTreeMap::new();
        for endpoint in endpoints {
            let Some((called, address)) = self.neighbours.of(endpoint) else {
                return Outcome::Leaves { cluster };
            };
            let call = Call {
                caller: self.party,
                tls: instance::protection(planned, endpoint),
                head: &arriving,
            };
            instances.insert(address, call.to(called, address));
        }
        Outcome::Reaches(Reaches {
            cluster: Some(cluster),
            instances,
            path: arriving.path.to_owned(),
            timeout: forward.timeout,
        })
    }

    /// The request as the rule sends it on.
    fn arriving(&self, forward: &Forward, head: &RequestHead<'_>) -> Question {
        let rewritten = self.matched.route.rewritten_path(head);
        let path = rewritten.as_deref().unwrap_or(head.path);
        let mut headers: HeaderMap = head.headers.clone();
        let facts = EditFacts {
            request: Some(*head),
            ..EditFacts::default()
        };
        self.matched.edit_request(None, &mut headers, &facts);
        let host = forward.host.as_deref().unwrap_or(head.authority);
        Question {
            authority: host.to_owned(),
            path: path.split('?').next().unwrap_or(path).to_owned(),
            headers,
            ..self.question.clone()
        }
    }

    /// Headers the rule sets on every answer, as far as they do not depend on the request.
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let Matched {
            planned,
            virtual_host,
            ..
        } = self.matched;
        let constant = |edits: &HeaderEdits| -> Vec<_> {
            let set = edits.response_set.iter();
            let set = set.filter(|header| !header.value.contains('%'));
            set.filter_map(|header| Some((header.name.parse().ok()?, header.value.parse().ok()?)))
                .collect()
        };
        // The last word is the widest's.
        let mut last = BTreeMap::new();
        for edits in [
            &planned.headers,
            &virtual_host.headers,
            &self.way.table.headers,
        ] {
            let set: Vec<(HeaderName, HeaderValue)> = constant(edits);
            last.extend(
                set.into_iter()
                    .map(|(name, value)| (name.to_string(), (name, value))),
            );
        }
        last.into_values().collect()
    }
}

fn is_healthy(endpoint: &mesh_core::dataplane::Endpoint) -> bool {
    endpoint.health == EndpointHealth::Healthy
}

fn share(fraction: Fraction) -> f64 {
    f64::from(fraction.parts()) / f64::from(Fraction::ALL.parts())
}
