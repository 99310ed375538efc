//! Everything that the Gateway API's resources refer to.

use std::{collections::HashMap, sync::Arc};

use super::{grants::Grants, route::Route};
use crate::{
    config::{Resource, Spec, gateway_api::GatewayApi, kubernetes},
    mesh::{Destination, MeshDefaults, Service},
    name::{Host, Labels, ResourceRef},
};

/// A resource of the Gateway API, and what it means by itself if it is a route.
#[derive(Debug, Clone)]
pub(in crate::mesh) struct Piece {
    pub(in crate::mesh) resource: Arc<Resource>,
    pub(in crate::mesh) route: Option<Arc<Route>>,
}

/// Everything that the Gateway API's resources refer to.
pub(in crate::mesh) struct World<'a> {
    pub(super) pieces: &'a [Piece],
    pub(super) defaults: &'a MeshDefaults,
    pub(super) grants: Grants<'a>,
    /// Services, or ports of them, whose TLS nobody could check.
    pub(super) untrusted: Vec<(Host, Option<u16>)>,
    services: HashMap<(&'a str, &'a str), &'a Arc<Service>>,
    entries: HashMap<&'a ResourceRef, Vec<&'a Arc<Service>>>,
    others: HashMap<(&'a str, &'a str, &'a str), &'a Resource>,
}

impl<'a> World<'a> {
    /// `others` are Namespaces, Secrets and ConfigMaps.
    pub(in crate::mesh) fn new(
        pieces: &'a [Piece],
        services: &'a [Arc<Service>],
        others: &'a [Arc<Resource>],
        defaults: &'a MeshDefaults,
    ) -> Self {
        let mut known = HashMap::new();
        let mut entries: HashMap<_, Vec<_>> = HashMap::new();
        for service in services {
            if service.is_kubernetes() {
                known.insert((&*service.namespace, &*service.name), service);
            } else {
                entries.entry(&service.reference).or_default().push(service);
            }
        }
        let others = others.iter().map(|resource| {
            let ResourceRef {
                kind,
                namespace,
                name,
                ..
            } = &resource.reference;
            ((&**kind, &**namespace, &**name), &**resource)
        });
        Self {
            pieces,
            defaults,
            grants: Grants::of(pieces),
            untrusted: Vec::new(),
            services: known,
            entries,
            others: others.collect(),
        }
    }

    /// The Service of Kubernetes.
    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&'a Arc<Service>> {
        self.services.get(&(namespace, name)).copied()
    }

    /// The services that any resource declares for a host, as a namespace calls it.
    pub(super) fn by_host(&self, host: &str) -> Option<&'a Arc<Service>> {
        let declared = self.entries.values().flatten().copied();
        let mut all = declared.chain(self.services.values().copied());
        all.find(|service| service.host.as_str() == host)
    }

    /// The services of a ServiceEntry.
    pub(super) fn entry(&self, namespace: &str, name: &str) -> &[&'a Arc<Service>] {
        let group = "networking.istio.io";
        let reference = ResourceRef::new(group, "ServiceEntry", namespace, name);
        self.entries.get(&reference).map_or(&[], Vec::as_slice)
    }

    pub(super) fn secret(&self, namespace: &str, name: &str) -> Option<&'a kubernetes::Secret> {
        match &self.others.get(&("Secret", namespace, name))?.spec {
            Spec::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    pub(super) fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<&'a kubernetes::ConfigMap> {
        match &self.others.get(&("ConfigMap", namespace, name))?.spec {
            Spec::ConfigMap(map) => Some(map),
            _ => None,
        }
    }

    /// The labels of a namespace; Kubernetes gives each one its name as a label.
    pub(super) fn label_of(&self, namespace: &str, key: &str) -> Option<String> {
        if key == "kubernetes.io/metadata.name" {
            return Some(namespace.to_owned());
        }
        let found = self.others.get(&("Namespace", "", namespace));
        let labels: Option<&Labels> = found.map(|resource| &resource.metadata.labels);
        labels?.value(key).map(str::to_owned)
    }

    /// Whether nobody could check the TLS of a destination.
    pub(super) fn is_untrusted(&self, to: &Destination) -> bool {
        let mut all = self.untrusted.iter();
        all.any(|(host, port)| *host == to.host && (port.is_none() || *port == to.port))
    }

    pub(super) fn written(&self) -> impl Iterator<Item = (&'a Arc<Resource>, &'a GatewayApi)> {
        self.pieces
            .iter()
            .filter_map(|piece| match &piece.resource.spec {
                Spec::GatewayApi(written) => Some((&piece.resource, written)),
                _ => None,
            })
    }
}
