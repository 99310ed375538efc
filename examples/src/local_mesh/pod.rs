//! A running pod, as others see it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::SystemTime,
};

use mesh_core::identity::SpiffeId;
use mesh_proxy::ProxyHandle;

use super::{PodKey, network::ports};

/// A running pod.
#[derive(Clone)]
pub struct Pod {
    /// Namespace and name.
    pub key: PodKey,
    /// The Deployment's name.
    pub workload: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its proxy.
    pub proxy: ProxyHandle,
}

/// What there is to know of a running pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Namespace and name.
    pub key: PodKey,
    /// The Deployment's name.
    pub workload: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Where its proxy's admin pages are.
    pub admin: SocketAddr,
    /// Who it is.
    pub identity: SpiffeId,
    /// The serial number of its certificate.
    pub serial: String,
    /// When that ends.
    pub expires: SystemTime,
}

/// Pods by namespace and name.
pub(super) type Pods = BTreeMap<PodKey, Pod>;

impl Pod {
    /// What there is to know of it now.
    pub fn facts(&self) -> PodFacts {
        let credentials = self.proxy.credentials().map(|reader| reader.current());
        let credentials = credentials.expect("a pod's proxy starts with its certificate");
        let facts = credentials.facts();
        PodFacts {
            key: self.key.clone(),
            workload: self.workload.clone(),
            address: self.address,
            admin: self.admin_address(),
            identity: credentials.identity().clone(),
            serial: facts.serial.clone(),
            expires: facts.not_after,
        }
    }

    /// Where its proxy's admin pages are.
    pub fn admin_address(&self) -> SocketAddr {
        (self.address, ports::ADMIN).into()
    }

    /// Its node's id, as the control plane knows it.
    pub fn node_id(&self) -> String {
        self.proxy.node().id()
    }
}

impl fmt::Debug for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.key, self.address)
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
