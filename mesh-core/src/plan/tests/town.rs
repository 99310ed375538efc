//! Bookinfo as a mesh: manifests, and a pod with a sidecar for each of its Deployments.

use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::Arc};

use crate::{
    config::{Change, ConfigSet, Problem, Resource, Spec, kubernetes, parse},
    dataplane::{
        ClusterChoice, FilterChain, HttpConnectionManager, Listener, Node, NodeKind, PathMatch,
        Route, RouteAction, RouteTable, Snapshot, Terminal, ValueMatch, VirtualHost,
    },
    mesh::{Mesh, MeshDefaults},
    name::{IpNetwork, Labels, Locality},
    plan::{PlanOptions, plan},
};

/// What is written, with pods.
pub(super) struct Town {
    pub(super) set: ConfigSet,
    /// Whether services that are given no address get one.
    pub(super) gives_addresses: bool,
}

impl Town {
    /// Our own bookinfo, with further texts that replace resources of the same name.
    pub(super) fn bookinfo(texts: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bookinfo");
        Self::of(&folder, &["bookinfo.yaml", "destination-rules.yaml"], texts)
    }

    /// The files of a folder, then texts, then a pod for each Deployment.
    pub(super) fn of(folder: &Path, files: &[&str], texts: &[&str]) -> Self {
        let mut set = ConfigSet::default();
        let read = |file: &&str| std::fs::read_to_string(folder.join(file)).unwrap();
        let written = files
            .iter()
            .map(read)
            .chain(texts.iter().map(ToString::to_string));
        for (index, text) in written.enumerate() {
            let parsed = parse(&format!("{index:02}.yaml"), &text);
            assert_eq!(parsed.problems, [], "{text}");
            set = set.replace_file(&format!("{index:02}.yaml"), &parsed).0;
        }
        let pods = pods(&set);
        Self {
            set: set.apply(pods.into_iter().map(Change::Put)),
            gives_addresses: true,
        }
    }

    /// Our own bookinfo, as where services have only addresses that are written.
    pub(super) fn without_virtual_addresses(texts: &[&str]) -> Self {
        Self {
            gives_addresses: false,
            ..Self::bookinfo(texts)
        }
    }

    pub(super) fn defaults(&self) -> MeshDefaults {
        MeshDefaults {
            virtual_addresses: IpNetwork::parse("127.254.0.0/16").filter(|_| self.gives_addresses),
            ..MeshDefaults::default()
        }
    }

    pub(super) fn mesh(&self) -> Arc<Mesh> {
        Mesh::resolve(&self.set, &self.defaults()).0
    }

    /// The sidecar of the first pod of a Deployment, with an explicit proxy port.
    pub(super) fn sidecar(&self, deployment: &str) -> Node {
        let mesh = self.mesh();
        let name = format!("{deployment}-0");
        let pod = mesh.endpoints().workload("default", &name).unwrap();
        let ip = match &pod.addresses[0] {
            crate::mesh::WorkloadAddress::Ip(ip) => *ip,
            crate::mesh::WorkloadAddress::Dns(_) => unreachable!("pods have addresses"),
        };
        Node {
            kind: NodeKind::Sidecar,
            addresses: vec![ip],
            namespace: "default".into(),
            service_account: pod.service_account.to_string(),
            labels: pod.labels.clone(),
            workload: deployment.into(),
            http_proxy_port: Some(15080),
            name,
            ..gateway()
        }
    }

    pub(super) fn plan(&self, node: &Node) -> (Snapshot, Vec<String>) {
        let (snapshot, problems) = plan(&self.mesh(), node, &PlanOptions::default());
        (snapshot, problems.iter().map(Problem::to_string).collect())
    }

    /// The plan of productpage's sidecar, which must be without problems.
    pub(super) fn productpage(&self) -> Snapshot {
        let (snapshot, problems) = self.plan(&self.sidecar("productpage-v1"));
        assert_eq!(problems, [""; 0]);
        snapshot
    }
}

/// The gateway's node.
pub(super) fn gateway() -> Node {
    Node {
        kind: NodeKind::Gateway,
        addresses: vec![IpAddr::from([127, 9, 0, 1])],
        name: "istio-ingressgateway-0".into(),
        namespace: "istio-system".into(),
        service_account: "istio-ingressgateway-service-account".into(),
        workload: "istio-ingressgateway".into(),
        labels: [("istio", "ingressgateway")].into_iter().collect(),
        locality: Locality::default(),
        cluster_id: "Kubernetes".into(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    }
}

/// A pod with a sidecar for each Deployment, at 127.1.0.x.
fn pods(set: &ConfigSet) -> Vec<Arc<Resource>> {
    let deployments = set.iter().filter_map(|resource| match &resource.spec {
        Spec::Deployment(deployment) => Some((resource, deployment)),
        _ => None,
    });
    let pod =
        |(index, (resource, deployment)): (usize, (&Arc<Resource>, &kubernetes::Deployment))| {
            let template = &deployment.spec.template;
            let mut labels: BTreeMap<String, String> = template
                .metadata
                .labels
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            labels.insert("security.istio.io/tlsMode".into(), "istio".into());
            labels.insert(
                "service.istio.io/workload-name".into(),
                resource.reference.name.to_string(),
            );
            let mut pod = kubernetes::Pod {
                spec: template.spec.clone(),
                ..kubernetes::Pod::default()
            };
            pod.status.pod_ip = format!("127.1.0.{}", index + 1);
            let name = format!("{}-0", resource.reference.name);
            let labels: Labels = labels.into_iter().collect();
            Arc::new(Resource::in_memory(
                "default",
                &name,
                labels,
                Spec::Pod(pod),
            ))
        };
    deployments.enumerate().map(pod).collect()
}

#[track_caller]
pub(super) fn listener<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Listener {
    let mut listeners = snapshot.listeners.iter();
    listeners
        .find(|listener| *listener.name == *name)
        .unwrap_or_else(|| panic!("no listener {name}: {:?}", listener_names(snapshot)))
}

pub(super) fn listener_names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot
        .listeners
        .iter()
        .map(|listener| &*listener.name)
        .collect()
}

#[track_caller]
pub(super) fn manager(chain: &FilterChain) -> &HttpConnectionManager {
    match &chain.terminal {
        Terminal::Http(manager) => manager,
        Terminal::Tcp(proxy) => panic!("passes bytes on: {proxy:?}"),
    }
}

/// The first cluster a chain passes bytes on to.
#[track_caller]
pub(super) fn proxied(chain: &FilterChain) -> &str {
    match &chain.terminal {
        Terminal::Tcp(proxy) => &proxy.clusters[0].name,
        Terminal::Http(manager) => panic!("takes requests out: {manager:?}"),
    }
}

#[track_caller]
pub(super) fn host<'a>(table: &'a RouteTable, name: &str) -> &'a VirtualHost {
    let mut hosts = table.virtual_hosts.iter();
    hosts.find(|host| *host.name == *name).unwrap_or_else(|| {
        let names: Vec<_> = table.virtual_hosts.iter().map(|host| &host.name).collect();
        panic!("no virtual host {name}: {names:?}")
    })
}

/// The routes of a service at port 9080.
#[track_caller]
pub(super) fn routes<'a>(snapshot: &'a Snapshot, service: &str) -> &'a [Route] {
    let name = format!("{service}.default.svc.cluster.local:9080");
    &host(&snapshot.routes["9080"], &name).routes
}

/// A route in a few words: `end-user = "jason": delay 7s -> 9080/v1/ratings`.
pub(super) fn tell(route: &Route) -> String {
    let mut words = Vec::new();
    if route.matches.path != PathMatch::default() {
        words.push(format!("{:?}", route.matches.path));
    }
    for header in &route.matches.headers {
        let not = if header.invert { "not " } else { "" };
        words.push(match &header.value {
            ValueMatch::Present => format!("{not}{}", header.name),
            ValueMatch::Text { pattern, .. } => format!("{not}{} {pattern}", header.name),
            ValueMatch::Range { .. } => unreachable!("Istio has no ranges"),
        });
    }
    for query in &route.matches.query {
        words.push(format!("?{} {:?}", query.name, query.value));
    }
    let fault = route.fault.unwrap_or_default();
    if let Some(delay) = fault.delay {
        words.push(format!(
            "delay {:?} {}",
            delay.duration,
            delay.share.parts()
        ));
    }
    if let Some(abort) = fault.abort {
        let status = abort.http_status.unwrap_or_default();
        words.push(format!("abort {status} {}", abort.share.parts()));
    }
    words.push(match &route.action {
        RouteAction::Forward(forward) => match &forward.cluster {
            ClusterChoice::Single(name) => format!("-> {}", short(name)),
            ClusterChoice::Weighted(several) => several
                .iter()
                .map(|one| format!("{}% -> {}", one.weight, short(&one.name)))
                .collect::<Vec<_>>()
                .join(", "),
            ClusterChoice::Header(_) => unreachable!("Istio chooses none by header"),
        },
        RouteAction::Redirect(redirect) => format!("redirect {}", redirect.status),
        RouteAction::Respond(response) => format!("respond {}", response.status),
    });
    words.join(" ")
}

/// `outbound|9080|v1|reviews.default.svc.cluster.local` as `9080/v1/reviews`.
fn short(cluster: &str) -> String {
    let cluster = cluster.replace(".default.svc.cluster.local", "");
    let parts: Vec<_> = cluster.split('|').skip(1).collect();
    parts.join("/")
}
