//! From a route to a cluster, and the request as it leaves.

use http::{HeaderMap, HeaderValue, Version};
use mesh_core::dataplane::{self, ClusterChoice, Direction, Name, RouteAction, UpstreamProtocol};

use super::{
    Decision, Explanation, Outcome, PaperProxy,
    instance::{Wanted, missing},
    receive::Received,
    respond,
    route::edits,
    tree::{CopyStep, RetryStep, SentRequest, Share},
};
use crate::{
    Matched, action::Destination, action::EditFacts, resilience::Deadlines, router::Forward,
};

impl PaperProxy {
    /// Sends a request to the cluster its route wants.
    pub(super) fn forward(
        &self,
        matched: &Matched<'_>,
        forward: &Forward,
        received: &Received<'_>,
        told: &mut Explanation,
    ) -> Decision {
        let RouteAction::Forward(planned) = &matched.planned.action else {
            return Decision::new(Outcome::Unavailable, "the route does not forward");
        };
        let head = received.head();
        let seed = received.arrival.seed;
        let status = planned.missing_cluster_status.unwrap_or(503);
        let Some(destination) = forward.destination(&head, seed) else {
            return missing("the request names none", status);
        };
        let is_source = told
            .listener
            .as_ref()
            .is_some_and(|listener| listener.direction != Direction::Inbound);
        let deadlines = Deadlines::of(planned, head.headers, is_source);
        let hash = forward.hash.hash(&head, received.arrival.source.ip(), seed);
        let wanted = Wanted {
            cluster: destination.cluster,
            shares: shares(planned, destination.cluster),
            hash: hash.hash,
            named: Some(received.arrival.meant_for),
            missing_status: Some(status),
            seed,
        };
        let (mut sent, decision) = self.send(&wanted);
        sent.rule.clone_from(&matched.planned.origin);
        sent.timeout_ms = deadlines.request.map(millis);
        sent.retries = planned.retry.as_ref().map(|retry| RetryStep {
            attempts: retry.num_retries,
            per_try_timeout_ms: deadlines.per_try.map(millis),
            retry_on: retry.retry_on.clone(),
        });
        sent.mirrors = copies(planned, forward, seed);
        let expected = deadlines.per_try.or(deadlines.request);
        let mut request = outgoing(matched, forward, &destination, received, expected);
        let cluster = self.clusters.get(destination.cluster);
        request.http2 = match cluster.map(|cluster| cluster.planned.protocol) {
            Some(UpstreamProtocol::Http2) => true,
            Some(UpstreamProtocol::UseDownstream) => received.request.http2,
            Some(UpstreamProtocol::Http1) | None => false,
        };
        sent.request = Some(request);
        sent.response_headers = response_edits(matched, &destination, received);
        if let Some(cookie) = &hash.set_cookie {
            let value = String::from_utf8_lossy(cookie.as_bytes()).into_owned();
            let cookie = ("set-cookie".to_owned(), Some(value));
            sent.response_headers.push(cookie);
        }
        told.sent = Some(sent);
        decision
    }
}

/// A cluster and what its name says of it.
pub(crate) fn share(cluster: &Name, weight: u32) -> Share {
    let mut parts = cluster.split('|');
    let mut next = || parts.next().unwrap_or_default();
    let (direction, port, subset, host) = (next(), next(), next(), next());
    let is_outbound = direction == "outbound";
    Share {
        cluster: cluster.clone(),
        destination: is_outbound.then(|| format!("{host}:{port}")),
        subset: if is_outbound { subset } else { "" }.to_owned(),
        weight,
    }
}

fn shares(planned: &dataplane::Forward, chosen: &str) -> Vec<Share> {
    match &planned.cluster {
        ClusterChoice::Single(name) => vec![share(name, 1)],
        ClusterChoice::Weighted(clusters) => clusters
            .iter()
            .map(|cluster| share(&cluster.name, cluster.weight))
            .collect(),
        ClusterChoice::Header(_) => vec![share(&chosen.into(), 1)],
    }
}

fn copies(planned: &dataplane::Forward, forward: &Forward, seed: u64) -> Vec<CopyStep> {
    let chosen: Vec<&Name> = forward.mirrors.choose(seed).collect();
    let each = planned.mirrors.iter().map(|mirror| CopyStep {
        cluster: mirror.cluster.clone(),
        per_million: mirror.share.parts(),
        chosen: chosen.contains(&&mirror.cluster),
    });
    each.collect()
}

/// The request as it leaves, edits and all.
fn outgoing(
    matched: &Matched<'_>,
    forward: &Forward,
    destination: &Destination<'_>,
    received: &Received<'_>,
    expected: Option<std::time::Duration>,
) -> SentRequest {
    let head = received.head();
    let mut headers = head.headers.clone();
    let facts = EditFacts {
        cluster: Some(destination.cluster),
        ..respond::facts(matched, received)
    };
    matched.edit_request(Some(destination), &mut headers, &facts);
    let authority = match forward.rewrite.host() {
        Some(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        None => head.authority.to_owned(),
    };
    let rewrites_host = forward.rewrite.host().is_some();
    if rewrites_host
        && forward.rewrite.append_forwarded_host()
        && let Ok(before) = HeaderValue::from_str(head.authority)
    {
        headers.append("x-forwarded-host", before);
    }
    if matched.virtual_host.include_attempt_count {
        headers.insert("x-envoy-attempt-count", 1.into());
    }
    if let Some(expected) = expected {
        headers.insert("x-envoy-expected-rq-timeout-ms", millis(expected).into());
    }
    let before = received.request.path_and_query();
    let rewritten = matched.route.rewritten_path(&head);
    if rewritten.is_some()
        && let Ok(value) = HeaderValue::from_str(&before)
    {
        headers.insert("x-envoy-original-path", value);
    }
    headers.remove(http::header::HOST);
    let mut original = head.headers.clone();
    original.remove(http::header::HOST);
    SentRequest {
        method: head.method.to_string(),
        path: rewritten.unwrap_or(before),
        authority,
        http2: false,
        edits: edits(&original, &headers),
        headers,
    }
}

/// What edits make of an answer of 200 without headers.
fn response_edits(
    matched: &Matched<'_>,
    destination: &Destination<'_>,
    received: &Received<'_>,
) -> Vec<(String, Option<String>)> {
    let mut headers = HeaderMap::new();
    let facts = EditFacts {
        cluster: Some(destination.cluster),
        response_code: Some(200),
        protocol: Some(Version::HTTP_11),
        ..respond::facts(matched, received)
    };
    matched.edit_response(Some(destination), &mut headers, &facts);
    let mut all = edits(&HeaderMap::new(), &headers);
    let own = [&matched.planned.headers, &matched.virtual_host.headers];
    let removed = own.into_iter().flat_map(|edits| &edits.response_remove);
    all.extend(removed.map(|name| (name.to_ascii_lowercase(), None)));
    all
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
