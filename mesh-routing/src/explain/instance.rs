//! From a cluster to an instance, and how that is called.

use std::net::SocketAddr;

use mesh_core::{
    dataplane::{
        self, Balancing, ClientTls, Cluster, Discovery, Endpoint, EndpointAddress, EndpointHealth,
        Name, SecretSource, UpstreamTls,
    },
    name::Labels,
};

use super::{
    Decision, Outcome, PaperProxy,
    compiled::{PaperCluster, PaperInstances},
    forward::share,
    tree::{Candidate, EndpointStep, SentStep, Share, TlsStep},
    words,
};
use crate::{Dice, Loads, upstream_alpn};

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

/// No cluster is there to send it to.
pub(super) fn missing(what: &str, status: u16) -> Decision {
    Decision::new(Outcome::Unavailable, format!("no cluster: {what}"))
        .status(status)
        .flag("NC")
        .details("cluster_not_found")
}

fn balancing(cluster: &Cluster) -> String {
    match (&cluster.discovery, &cluster.balancing) {
        (Discovery::OriginalDestination(_), _) | (_, Balancing::Provided) => {
            "the address the caller meant".to_owned()
        }
        (_, Balancing::RoundRobin) => "one after the other".to_owned(),
        (_, Balancing::LeastRequest { choices }) => format!("the less busy of {choices}"),
        (_, Balancing::Random) => "any of them".to_owned(),
        (_, Balancing::RingHash(table)) => {
            format!("by hash, on a ring of at least {} slots", table.size)
        }
        (_, Balancing::Maglev(table)) => {
            format!("by hash, in a Maglev table of {} slots", table.size)
        }
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
