//! From a route to a cluster, an instance, and how that is called.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Version};
use mesh_core::{
    dataplane::{
        self, ClientTls, Cluster, ClusterChoice, Direction, Endpoint, EndpointAddress,
        EndpointHealth, Name, RouteAction, SecretSource, UpstreamProtocol, UpstreamTls,
    },
    name::Labels,
};

use super::{
    Decision, Explanation, Outcome, PaperProxy,
    compiled::{PaperCluster, PaperInstances},
    receive::Received,
    respond,
    route::edits,
    tree::{Candidate, CopyStep, EndpointStep, RetryStep, SentRequest, SentStep, Share, TlsStep},
    words,
};
use crate::{
    Dice, Loads, Matched, action::Destination, action::EditFacts, resilience::Deadlines,
    router::Forward, upstream_alpn,
};

/// What is wanted of a cluster.
pub(super) struct Wanted<'a> {
    pub(super) cluster: &'a str,
    pub(super) shares: Vec<Share>,
    pub(super) hash: Option<u64>,
    /// The instance the caller meant, for clusters that follow it.
    pub(super) named: Option<SocketAddr>,
    /// The status where the cluster is not there.
    pub(super) missing_status: Option<u16>,
    pub(super) seed: u64,
}

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

    /// Chooses an instance of a cluster, and says how it is called.
    pub(super) fn send(&self, wanted: &Wanted<'_>) -> (SentStep, Decision) {
        let mut sent = SentStep {
            rule: None,
            shares: wanted.shares.clone(),
            cluster: wanted.cluster.into(),
            destination: None,
            subset: String::new(),
            policy: None,
            balancing: String::new(),
            candidates: Vec::new(),
            endpoint: None,
            request: None,
            timeout_ms: None,
            retries: None,
            mirrors: Vec::new(),
            response_headers: Vec::new(),
        };
        let Some(cluster) = self.clusters.get(wanted.cluster) else {
            let status = wanted.missing_status.unwrap_or(503);
            let decision = missing(&format!("{} is not there", wanted.cluster), status);
            return (sent, decision);
        };
        let named = share(&cluster.planned.name, 0);
        (sent.destination, sent.subset) = (named.destination, named.subset);
        sent.policy.clone_from(&cluster.planned.metadata.origin);
        sent.balancing = balancing(&cluster.planned);
        sent.candidates = cluster.candidates();
        let picked = cluster.pick(wanted);
        sent.endpoint = picked.map(|(address, endpoint)| EndpointStep {
            address,
            workload: endpoint.and_then(workload),
            tls: tls_step(&cluster.planned, endpoint),
        });
        let decision = match &sent.endpoint {
            Some(endpoint) => Decision::new(
                Outcome::Forwarded,
                format!("goes to {} of {}", endpoint.address, wanted.cluster),
            )
            .details("via_upstream"),
            None => {
                let reason = match sent.candidates.len() {
                    0 => format!("{} has no instance", wanted.cluster),
                    count => format!(
                        "none of the {count} instances of {} may be called",
                        wanted.cluster
                    ),
                };
                Decision::new(Outcome::Unavailable, reason)
                    .status(503)
                    .flag("UH")
                    .details("no_healthy_upstream")
            }
        };
        (sent, decision)
    }
}

impl PaperCluster {
    /// The instance that is picked, by where it is called, and as planned where it is listed.
    fn pick(&self, wanted: &Wanted<'_>) -> Option<(String, Option<&Endpoint>)> {
        match &self.instances {
            PaperInstances::NamedByCaller(planned) => {
                let address = planned.address(wanted.named?);
                Some((address.to_string(), None))
            }
            PaperInstances::Listed(balancer) => {
                let loads = Loads::new(balancer);
                // As a proxy draws for the first attempt.
                let mut dice = Dice::new(wanted.seed ^ 1);
                let index = balancer.pick(&loads, wanted.hash, &mut dice, &|_| false)?;
                let endpoint = balancer.endpoint(index)?;
                Some((endpoint.address.to_string(), Some(endpoint)))
            }
        }
    }

    /// Every instance, and whether requests reach it: found out by asking often.
    fn candidates(&self) -> Vec<Candidate> {
        const MOST_DRAWS: usize = 4_096;
        let PaperInstances::Listed(balancer) = &self.instances else {
            return Vec::new();
        };
        let loads = Loads::new(balancer);
        let mut is_used = vec![false; balancer.len()];
        for seed in 0..(256 + 64 * balancer.len()).min(MOST_DRAWS) as u64 {
            let picked = balancer.pick(&loads, None, &mut Dice::new(seed), &|_| false);
            if let Some(used) = picked.and_then(|index| is_used.get_mut(index.0 as usize)) {
                *used = true;
            }
        }
        let localities = balancer.set().localities.iter();
        let all = localities.flat_map(|group| {
            let endpoints = group.endpoints.iter();
            endpoints.map(move |endpoint| (group, endpoint))
        });
        let candidate =
            |((group, endpoint), in_use): ((&dataplane::LocalityEndpoints, _), bool)| {
                let endpoint: &Endpoint = endpoint;
                let place = &group.locality;
                let because = match endpoint.health {
                    EndpointHealth::Unhealthy => "it is not ready",
                    EndpointHealth::Draining => "it is going away",
                    EndpointHealth::Healthy => "others are preferred",
                };
                Candidate {
                    address: endpoint.address.to_string(),
                    priority: group.priority,
                    locality: format!("{}/{}/{}", place.region, place.zone, place.sub_zone)
                        .trim_matches('/')
                        .to_owned(),
                    in_use,
                    because: (!in_use).then_some(because),
                    workload: workload(endpoint),
                }
            };
        all.zip(is_used).map(candidate).collect()
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

fn missing(what: &str, status: u16) -> Decision {
    Decision::new(Outcome::Unavailable, format!("no cluster: {what}"))
        .status(status)
        .flag("NC")
        .details("cluster_not_found")
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

fn balancing(cluster: &Cluster) -> String {
    match &cluster.discovery {
        dataplane::Discovery::OriginalDestination(_) => "the address the caller meant".to_owned(),
        _ => format!("{:?}", cluster.balancing),
    }
}

fn workload(endpoint: &Endpoint) -> Option<String> {
    let tag = endpoint.workload.as_ref()?;
    Some(format!("{}/{}", tag.namespace, tag.workload))
}

/// How an instance is protected: none for clear text.
fn tls_step(cluster: &Cluster, endpoint: Option<&Endpoint>) -> Option<TlsStep> {
    let none = Labels::default();
    let labels = endpoint.map_or(&none, |endpoint| &endpoint.tls_labels);
    let (by, tls): (Name, &ClientTls) = match &cluster.tls {
        UpstreamTls::Off => return None,
        UpstreamTls::Always(tls) => ("".into(), tls),
        UpstreamTls::ByEndpoint(entries) => {
            let entry = entries.iter().find(|entry| {
                let mut wanted = entry.labels.iter();
                wanted.all(|(key, value)| labels.value(key) == Some(value))
            })?;
            (entry.name.clone(), entry.tls.as_ref()?)
        }
    };
    let own = SecretSource::own_certificate();
    let names = tls
        .validation
        .iter()
        .flat_map(|validation| &validation.names);
    Some(TlsStep {
        by,
        mutual: !tls.certificates.is_empty(),
        own_identity: tls.certificates.contains(&own),
        server_name: tls.sni.as_deref().map(str::to_owned),
        alpn: upstream_alpn(cluster, tls),
        expected_names: names.map(words::san).collect(),
        verified: tls.validation.is_some(),
    })
}

/// Where an instance is called, as an address.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl EndpointStep {
    /// Where it is called, if that is an address and no name.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.address.parse().ok()
    }

    /// The name and port it is called at, if that is no address.
    pub fn dns(&self) -> Option<EndpointAddress> {
        if self.socket().is_some() {
            return None;
        }
        let (name, port) = self.address.rsplit_once(':')?;
        Some(EndpointAddress::Dns(name.to_owned(), port.parse().ok()?))
    }
}
