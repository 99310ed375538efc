use std::sync::Arc;

use mesh_core::dataplane::{
    ClientTls, Cluster, Discovery, EndpointAddress, OriginalDestination, SecretSource, Snapshot,
    UpstreamTls,
};
use mesh_core::name::Labels;
use mesh_routing::{Balancer, upstream_alpn};

use super::security::{ClientSecurity, SecurityCompiler, SharedSecurity};

/// A cluster in force.
#[derive(Debug)]
pub(crate) struct LiveCluster {
    pub(crate) planned: Arc<Cluster>,
    pub(crate) instances: Instances,
    security: Arc<Security>,
}

/// How a cluster's instances are chosen.
#[derive(Debug)]
pub(crate) enum Instances {
    /// From a list.
    Listed(Arc<Listed>),
    /// The caller names it.
    NamedByCaller(OriginalDestination),
}

/// Instances to choose from.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) balancer: Balancer,
}

#[derive(Debug)]
enum Security {
    Always(SharedSecurity),
    ByEndpoint(Vec<(Labels, SharedSecurity)>),
}

impl LiveCluster {
    /// Puts a cluster in force, reusing what did not change.
    pub(super) fn compile(
        planned: &Arc<Cluster>,
        plan: &Snapshot,
        compiler: &SecurityCompiler,
        previous: Option<&Arc<Self>>,
        secrets_changed: bool,
    ) -> Result<Arc<Self>, String> {
        if planned.proxy_protocol.is_some() {
            return Err("proxy_protocol: telling instances who calls is not supported".into());
        }
        let fresh = secrets_changed && uses_secrets(&planned.tls);
        let same = previous.filter(|previous| {
            !fresh && (Arc::ptr_eq(&previous.planned, planned) || previous.planned == *planned)
        });
        let instances = Instances::compile(planned, plan, same.map(|same| &same.instances))?;
        if let Some(same) = same.filter(|same| same.instances.is(&instances)) {
            return Ok(Arc::clone(same));
        }
        let security = match same {
            Some(same) => Arc::clone(&same.security),
            None => match previous
                .filter(|previous| !fresh && Security::serves(&previous.planned, planned))
            {
                Some(previous) => Arc::clone(&previous.security),
                None => Arc::new(Security::compile(planned, plan, compiler)?),
            },
        };
        Ok(Arc::new(Self {
            planned: Arc::clone(planned),
            instances,
            security,
        }))
    }

    /// How connections to an instance with these labels are protected.
    pub(crate) fn security_of(&self, labels: &Labels) -> Option<&Arc<ClientSecurity>> {
        match &*self.security {
            Security::Always(security) => security.as_ref(),
            Security::ByEndpoint(entries) => entries
                .iter()
                .find(|(wanted, _)| {
                    wanted
                        .iter()
                        .all(|(key, value)| labels.value(key) == Some(value))
                })
                .and_then(|(_, security)| security.as_ref()),
        }
    }
}

/// Whether it is made of secrets that travel by name. The workload's own renews by itself.
fn uses_secrets(tls: &UpstreamTls) -> bool {
    let named = |source: &SecretSource| matches!(source, SecretSource::Named(name) if &**name != SecurityCompiler::OWN_CERTIFICATE);
    let uses = |tls: &ClientTls| {
        let roots = tls.validation.as_ref().map(|validation| &validation.roots);
        tls.certificates.iter().chain(roots).any(named)
    };
    match tls {
        UpstreamTls::Off => false,
        UpstreamTls::Always(tls) => uses(tls),
        UpstreamTls::ByEndpoint(entries) => entries
            .iter()
            .filter_map(|entry| entry.tls.as_ref())
            .any(uses),
    }
}

impl Instances {
    fn compile(
        planned: &Cluster,
        plan: &Snapshot,
        previous: Option<&Self>,
    ) -> Result<Self, String> {
        let set = match &planned.discovery {
            Discovery::Told(name) => plan.endpoints.get(name).map(Arc::clone).unwrap_or_default(),
            Discovery::Static(set) => Arc::new(set.clone()),
            Discovery::StrictDns(dns) | Discovery::LogicalDns(dns) => {
                Arc::new(dns.endpoints.clone())
            }
            Discovery::OriginalDestination(named) => match named.header {
                None => return Ok(Self::NamedByCaller(named.clone())),
                Some(_) => return Err("discovery: a header that names the instance".into()),
            },
        };
        if let Some(Self::Listed(listed)) = previous
            && (Arc::ptr_eq(listed.balancer.set(), &set) || *listed.balancer.set() == set)
        {
            return Ok(Self::Listed(Arc::clone(listed)));
        }
        let balancer = Balancer::of_cluster(set, planned).map_err(|error| error.to_string())?;
        Ok(Self::Listed(Arc::new(Listed { balancer })))
    }

    /// Where to call for what a caller named.
    pub(crate) fn meant(&self, named: EndpointAddress) -> EndpointAddress {
        match (self, named) {
            (Self::NamedByCaller(planned), EndpointAddress::Socket(address)) => {
                EndpointAddress::Socket(planned.address(address))
            }
            (_, named) => named,
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Listed(mine), Self::Listed(theirs)) => Arc::ptr_eq(mine, theirs),
            (Self::NamedByCaller(mine), Self::NamedByCaller(theirs)) => mine == theirs,
            _ => false,
        }
    }
}

impl Security {
    fn compile(
        planned: &Cluster,
        plan: &Snapshot,
        compiler: &SecurityCompiler,
    ) -> Result<Self, String> {
        let connector = |tls: &ClientTls| {
            let alpn = upstream_alpn(planned, tls);
            compiler
                .connector(tls, &alpn, plan)
                .map(|security| Some(Arc::new(security)))
                .map_err(|error| format!("tls: {error}"))
        };
        Ok(match &planned.tls {
            UpstreamTls::Off => Self::Always(None),
            UpstreamTls::Always(tls) => Self::Always(connector(tls)?),
            UpstreamTls::ByEndpoint(entries) => Self::ByEndpoint(
                entries
                    .iter()
                    .map(|entry| {
                        let security = entry.tls.as_ref().map(&connector).transpose()?.flatten();
                        Ok((entry.labels.clone(), security))
                    })
                    .collect::<Result<_, String>>()?,
            ),
        })
    }

    /// Whether what was made for one cluster serves another: ALPN depends on more than TLS.
    fn serves(before: &Cluster, planned: &Cluster) -> bool {
        before.tls == planned.tls
            && before.protocol == planned.protocol
            && before.metadata.istio_alpn == planned.metadata.istio_alpn
    }
}
