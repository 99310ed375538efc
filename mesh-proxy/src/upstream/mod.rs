//! One destination, as one worker knows it: its instances, their connections, what is under way.

mod connect;
mod host;
mod lease;
mod outlier;

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

pub(crate) use connect::{Dialer, Opened, Target};
pub(crate) use host::{Connecting, ConnectionFacts, Host, HostKey, OpenConnection, speaks_http2};
pub(crate) use lease::Lease;
use mesh_core::{
    dataplane::{EndpointAddress, EndpointHealth, ServiceRef, WorkloadTag},
    name::Labels,
};
use mesh_routing::{
    Balancer, Dice, EndpointIndex, Loads,
    balance::EndpointLoad,
    resilience::{Admission, CircuitBreaker, Outcome},
};
use outlier::Outlier;
use serde::Serialize;

use crate::{
    http::Failure,
    live::{Instances, LiveCluster},
    telemetry::{Interned, PeerLabels},
    worker::Worker,
};

/// One destination, as one worker knows it.
pub(crate) struct Upstream {
    pub(crate) name: Rc<str>,
    pub(crate) cluster: Arc<LiveCluster>,
    pub(crate) service: Option<Interned<ServiceRef>>,
    hosts: Vec<Rc<Host>>,
    loads: Option<Loads>,
    pub(crate) breaker: Rc<CircuitBreaker>,
    outlier: Option<Outlier>,
    /// Instances that callers named themselves (`ORIGINAL_DST`).
    named: RefCell<HashMap<EndpointAddress, Rc<Host>>>,
}

/// An instance that was chosen. Counts as busy until dropped.
pub(crate) struct Picked {
    pub(crate) host: Rc<Host>,
    /// Where it stands among the cluster's instances; none if the caller named it.
    pub(crate) index: Option<EndpointIndex>,
    load: Option<Arc<EndpointLoad>>,
    _admission: Admission,
}

/// How a caller's wish narrows the choice of an instance.
pub(crate) struct Choice<'a> {
    /// What keeps requests together.
    pub(crate) hash: Option<u64>,
    /// Instances that failed already.
    pub(crate) avoid: &'a [HostKey],
    /// Instances whose whole priorities are left for others.
    pub(crate) leave: &'a [HostKey],
    /// The instance the caller meant, for clusters that follow it.
    pub(crate) named: Option<EndpointAddress>,
}

/// An instance, for people.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HostStatus {
    pub(crate) cluster: String,
    pub(crate) address: String,
    pub(crate) health: EndpointHealth,
    pub(crate) ejected: bool,
    pub(crate) connections: u32,
    pub(crate) requests_active: u32,
    pub(crate) workload: Option<WorkloadTag>,
}

impl Upstream {
    /// The most instances remembered that callers named themselves.
    const MAX_NAMED: usize = 1_024;

    /// A worker's side of a cluster. Instances that stay keep their connections.
    pub(crate) fn new(
        cluster: &Arc<LiveCluster>,
        before: Option<&Rc<Self>>,
        worker: &Worker,
    ) -> Rc<Self> {
        if let Some(before) = before.filter(|before| Arc::ptr_eq(&before.cluster, cluster)) {
            return Rc::clone(before);
        }
        let mut kept: HashMap<HostKey, Rc<Host>> = before
            .into_iter()
            .flat_map(|before| &before.hosts)
            .map(|host| (host.key.clone(), Rc::clone(host)))
            .collect();
        let endpoints = match &cluster.instances {
            Instances::Listed(listed) => Some(listed.balancer.endpoints()),
            Instances::NamedByCaller(_) => None,
        };
        let hosts: Vec<Rc<Host>> = endpoints
            .into_iter()
            .flatten()
            .map(|(_, endpoint)| {
                let key = HostKey {
                    address: endpoint.address.clone(),
                    tls_labels: endpoint.tls_labels.clone(),
                };
                let security = cluster.security_of(&key.tls_labels);
                let workload = endpoint
                    .workload
                    .as_ref()
                    .map(|tag| worker.intern_peer(labels_of(tag)));
                kept.remove(&key)
                    .filter(|host| host.has_security(security) && host.workload == workload)
                    .unwrap_or_else(|| Rc::new(Host::new(key, workload, security.cloned())))
            })
            .collect();
        let metadata = &cluster.planned.metadata;
        let loads = loads_of(&cluster.instances, before);
        Rc::new(Self {
            name: Rc::from(&*cluster.planned.name),
            cluster: Arc::clone(cluster),
            service: metadata
                .services
                .first()
                .map(|service| worker.intern_service(service.clone())),
            outlier: loads
                .as_ref()
                .and_then(|loads| Outlier::of(cluster, loads, before.map(|before| &**before))),
            loads,
            breaker: before
                .map(|before| Rc::clone(&before.breaker))
                .unwrap_or_default(),
            named: RefCell::default(),
            hosts,
        })
    }

    /// Chooses an instance, if the cluster may be given more and has one.
    pub(crate) fn pick(&self, choice: &Choice<'_>, dice: &mut Dice) -> Result<Picked, Failure> {
        let limits = &self.cluster.planned.limits;
        let admission = self
            .breaker
            .request(limits)
            .map_err(|_| Failure::Overflow)?;
        let (host, index, load) = match (&self.cluster.instances, &self.loads) {
            (Instances::Listed(listed), Some(loads)) => {
                if let Some(outlier) = &self.outlier {
                    outlier.sweep(loads);
                }
                let is_of = |index, keys: &[HostKey]| {
                    let host = self.host(index);
                    host.is_some_and(|host| keys.contains(&host.key))
                };
                let left = self.priorities_of(&listed.balancer, choice.leave);
                let avoided = |index: EndpointIndex| {
                    is_of(index, choice.avoid)
                        || left
                            .iter()
                            .any(|left| listed.balancer.priority(index) == Some(*left))
                };
                let index = listed
                    .balancer
                    .pick(loads, choice.hash, dice, &avoided)
                    .ok_or(Failure::NoHealthyUpstream)?;
                let host = self.host(index).ok_or(Failure::NoHealthyUpstream)?;
                (Rc::clone(host), Some(index), loads.endpoint(index).cloned())
            }
            _ => (self.named_by_caller(choice)?, None, None),
        };
        if let Some(load) = &load {
            load.begin();
        }
        Ok(Picked {
            host,
            index,
            load,
            _admission: admission,
        })
    }

    /// Takes note of how an attempt on an instance ended: it may be left out for a while.
    pub(crate) fn judge(&self, instance: Option<EndpointIndex>, outcome: &Outcome) {
        if let (Some(outlier), Some(loads), Some(instance)) = (&self.outlier, &self.loads, instance)
        {
            outlier.record(instance, outcome, loads);
        }
    }

    /// Leave to try again.
    pub(crate) fn admit_retry(&self) -> Option<Admission> {
        self.breaker.retry(&self.cluster.planned.limits).ok()
    }

    fn priorities_of(&self, balancer: &Balancer, keys: &[HostKey]) -> Vec<u32> {
        let each = keys.iter();
        each.filter_map(|key| {
            let place = self.hosts.iter().position(|host| host.key == *key)?;
            balancer.priority(EndpointIndex(u32::try_from(place).ok()?))
        })
        .collect()
    }

    fn host(&self, index: EndpointIndex) -> Option<&Rc<Host>> {
        self.hosts.get(index.0 as usize)
    }

    fn named_by_caller(&self, choice: &Choice<'_>) -> Result<Rc<Host>, Failure> {
        let address = choice.named.clone().ok_or(Failure::NoHealthyUpstream)?;
        let address = self.cluster.instances.meant(address);
        let mut named = self.named.borrow_mut();
        if let Some(host) = named.get(&address) {
            return Ok(Rc::clone(host));
        }
        if named.len() >= Self::MAX_NAMED {
            named.clear();
        }
        let key = HostKey {
            address: address.clone(),
            tls_labels: Labels::default(),
        };
        let security = self.cluster.security_of(&key.tls_labels).cloned();
        let host = Rc::new(Host::new(key, None, security));
        named.insert(address, Rc::clone(&host));
        Ok(host)
    }

    /// Every instance, for people.
    pub(crate) fn status(&self) -> Vec<HostStatus> {
        let (Instances::Listed(listed), Some(loads)) = (&self.cluster.instances, &self.loads)
        else {
            return Vec::new();
        };
        let endpoints = listed.balancer.endpoints();
        endpoints
            .zip(&self.hosts)
            .map(|((index, endpoint), host)| HostStatus {
                cluster: self.cluster.planned.name.to_string(),
                address: endpoint.address.to_string(),
                health: endpoint.health,
                ejected: loads.endpoint(index).is_some_and(|load| load.is_ejected()),
                connections: host.connection_count(),
                requests_active: loads.endpoint(index).map_or(0, |load| load.in_flight()),
                workload: endpoint.workload.clone(),
            })
            .collect()
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if let Some(load) = &self.load {
            load.end();
        }
    }
}

/// What is known of instances that stay is kept.
fn loads_of(instances: &Instances, before: Option<&Rc<Upstream>>) -> Option<Loads> {
    let Instances::Listed(listed) = instances else {
        return None;
    };
    Some(
        match before.map(|before| (&before.cluster.instances, &before.loads)) {
            Some((Instances::Listed(old), Some(loads))) => {
                Loads::carried(&listed.balancer, &old.balancer, loads)
            }
            _ => Loads::new(&listed.balancer),
        },
    )
}

fn labels_of(tag: &WorkloadTag) -> PeerLabels {
    PeerLabels {
        workload: (*tag.workload).into(),
        namespace: (*tag.namespace).into(),
        canonical_name: (*tag.canonical_name).into(),
        canonical_revision: (*tag.canonical_revision).into(),
        app: (*tag.canonical_name).into(),
        version: (*tag.canonical_revision).into(),
        cluster: (*tag.cluster).into(),
    }
}
