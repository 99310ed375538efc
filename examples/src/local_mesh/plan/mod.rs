//! From Deployments to pods: what is to run, by name, before anything does.

mod env;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use mesh_core::{
    config::{
        ConfigSet, PortName, Problem, Resource, Spec,
        kubernetes::{Container, ContainerPort, Deployment, Pod, PodCondition, PodSpec, PodStatus},
    },
    name::{Labels, ResourceRef},
};

pub use env::{EnvValue, NODE_NAME, PodField};

use super::images::{Images, Program};

/// What is to run, and what cannot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Pods by namespace and name.
    pub pods: BTreeMap<PodKey, Arc<PodPlan>>,
    /// Deployments of which no instance runs.
    pub unknown: Vec<UnknownImage>,
    /// What the manifests of pods ask for and do not get.
    pub unmet: Vec<Problem>,
}

/// Namespace and name of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodKey {
    /// The namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
}

/// A Deployment one of whose images stands for no program here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownImage {
    /// The Deployment.
    pub deployment: ResourceRef,
    /// The image.
    pub image: String,
}

/// One pod, before it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct PodPlan {
    /// Namespace and name.
    pub key: PodKey,
    /// The Deployment's name.
    pub workload: String,
    /// Its service account.
    pub service_account: String,
    /// Its labels, with those Kubernetes and Istio add.
    pub labels: Labels,
    /// What runs in it.
    pub containers: Vec<ContainerPlan>,
    spec: PodSpec,
}

/// One container, before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPlan {
    /// Its name.
    pub name: String,
    /// What runs in its place.
    pub program: Program,
    /// Where it is called, the main port first.
    pub ports: Vec<u16>,
    /// Its own environment.
    pub env: BTreeMap<String, EnvValue>,
}

/// Works out which pods the Deployments of a configuration ask for.
pub fn wanted(set: &ConfigSet, images: &Images) -> Wanted {
    let mut wanted = Wanted::default();
    for resource in set.iter() {
        let Spec::Deployment(deployment) = &resource.spec else {
            continue;
        };
        match containers(set, resource, deployment, images) {
            Ok(containers) => {
                let template = &deployment.spec.template.spec;
                wanted.unmet.extend(env::problems(resource, template));
                let pods = pods(resource, deployment, containers);
                wanted
                    .pods
                    .extend(pods.map(|pod| (pod.key.clone(), Arc::new(pod))));
            }
            Err(image) => wanted.unknown.push(UnknownImage {
                deployment: resource.reference.clone(),
                image,
            }),
        }
    }
    wanted
}

impl PodPlan {
    /// Where its applications are called.
    pub fn ports(&self) -> BTreeSet<u16> {
        let ports = self
            .containers
            .iter()
            .flat_map(|container| &container.ports);
        ports.copied().collect()
    }

    /// The resource that tells the mesh of it.
    pub fn resource(&self, address: Ipv4Addr, is_ready: bool) -> Arc<Resource> {
        let ready = PodCondition {
            kind: "Ready".into(),
            status: if is_ready { "True" } else { "False" }.into(),
        };
        let pod = Pod {
            spec: self.spec.clone(),
            status: PodStatus {
                phase: "Running".into(),
                pod_ip: address.to_string(),
                conditions: vec![ready],
                ..PodStatus::default()
            },
        };
        let PodKey { namespace, name } = &self.key;
        let spec = Spec::Pod(pod);
        Arc::new(Resource::in_memory(
            namespace,
            name,
            self.labels.clone(),
            spec,
        ))
    }
}

/// The containers of a Deployment's pods, or the image that stands for no program.
fn containers(
    set: &ConfigSet,
    resource: &Resource,
    deployment: &Deployment,
    images: &Images,
) -> Result<Vec<ContainerPlan>, String> {
    let template = &deployment.spec.template;
    let called = called_ports(set, resource, deployment);
    let declared_by =
        |container: &Container, port: u16| container.ports.iter().any(|p| p.container_port == port);
    let written = &template.spec.containers;
    let plan = |(place, container): (usize, &Container)| {
        let image = &container.image;
        let program = images.program(image).ok_or_else(|| image.clone())?;
        let mut ports: Vec<u16> = container.ports.iter().map(|p| p.container_port).collect();
        if place == 0 {
            let undeclared = |port: &&u16| !written.iter().any(|c| declared_by(c, **port));
            ports.extend(called.iter().filter(undeclared));
        }
        Ok(ContainerPlan {
            name: container.name.clone(),
            program,
            ports,
            env: env::values(&container.env),
        })
    };
    written.iter().enumerate().map(plan).collect()
}

/// Ports at which services call the pods, told by number.
fn called_ports(set: &ConfigSet, resource: &Resource, deployment: &Deployment) -> BTreeSet<u16> {
    let labels = &deployment.spec.template.metadata.labels;
    let services = set.iter().filter_map(|other| match &other.spec {
        Spec::Service(service) if other.reference.namespace == resource.reference.namespace => {
            let selector = &service.spec.selector;
            (!selector.is_empty() && selector.matches(labels)).then_some(service)
        }
        _ => None,
    });
    let ports = services.flat_map(|service| &service.spec.ports);
    ports
        .filter_map(|port| match &port.target_port {
            Some(PortName::Number(number)) => Some(*number),
            Some(PortName::Name(_)) => None,
            None => Some(port.port),
        })
        .collect()
}

fn pods<'a>(
    resource: &'a Resource,
    deployment: &'a Deployment,
    containers: Vec<ContainerPlan>,
) -> impl Iterator<Item = PodPlan> + 'a {
    let ResourceRef {
        namespace, name, ..
    } = &resource.reference;
    let template = &deployment.spec.template;
    // What runs is part of the name: when it changes, other pods take over.
    let hash = hash(&format!("{template:?}{containers:?}"));
    let template_hash = letters(hash, 10);
    let added = [
        ("pod-template-hash", template_hash.as_str()),
        ("security.istio.io/tlsMode", "istio"),
    ];
    let labels: Labels = template.metadata.labels.iter().chain(added).collect();
    let mut spec = template.spec.clone();
    declare_ports(&mut spec, &containers);
    (0..deployment.spec.wanted()).map(move |replica| PodPlan {
        key: PodKey {
            namespace: namespace.to_string(),
            name: format!(
                "{name}-{template_hash}-{}",
                letters(hash.rotate_left(29) ^ self::hash(&replica.to_string()), 5)
            ),
        },
        workload: name.to_string(),
        service_account: template.spec.service_account().into(),
        labels: labels.clone(),
        containers: containers.clone(),
        spec: spec.clone(),
    })
}

/// Ports that only services told of are declared, as their owner forgot to.
fn declare_ports(spec: &mut PodSpec, containers: &[ContainerPlan]) {
    for (container, plan) in spec.containers.iter_mut().zip(containers) {
        for port in plan.ports.iter().skip(container.ports.len()) {
            container.ports.push(ContainerPort {
                container_port: *port,
                ..ContainerPort::default()
            });
        }
    }
}

/// FNV-1a with a final mix: the same from run to run.
fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Letters as Kubernetes makes names of: none that could spell a word.
fn letters(mut hash: u64, count: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..count)
        .map(|_| {
            let letter = ALPHABET[(hash % 27) as usize];
            hash /= 27;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests;
