//! Kubernetes Services: the names of their ports, and what several say of one workload.

use std::collections::BTreeMap;

use super::Analysis;
use crate::{
    config::{Code, PortName, Spec},
    mesh::Service,
    name::AppProtocol,
};

impl Analysis<'_> {
    pub(super) fn services(&mut self) {
        for service in &self.rules.services {
            let is_kubernetes = service.is_kubernetes();
            for (i, port) in service.ports.iter().enumerate() {
                if is_kubernetes && port.port.protocol == AppProtocol::Auto {
                    let reason = match &*port.port.name {
                        "" => "has no name that tells its protocol: it is guessed".to_owned(),
                        name => format!("{name:?} does not tell the protocol: it is guessed"),
                    };
                    let code = Code::PortNameIsNotUnderNamingConvention;
                    let field = format!("spec.ports[{i}]");
                    self.inform(code, &service.reference, &field, reason);
                    let advice = "name it http, grpc, tls or tcp, or that and a dash and more, \
                                  or give appProtocol";
                    self.advise(advice.to_owned());
                }
            }
        }
        self.shared_ports();
    }

    /// Services that lead to the same Deployment.
    fn shared_ports(&mut self) {
        for i in 0..self.instances.len() {
            let instance = &self.instances[i];
            if !matches!(instance.resource.spec, Spec::Deployment(_)) {
                continue;
            }
            let services = self.rules.services.iter().filter(|service| {
                let selector = service.selector.as_ref();
                service.is_kubernetes()
                    && selector.is_some_and(|s| instance.is_meant(&service.namespace, s))
            });
            let services: Vec<&Service> = services.map(|service| &**service).collect();
            let of = instance.resource.reference.clone();
            for (reason, code) in conflicts(&services) {
                self.warn(code, &of, "metadata.name", reason);
            }
        }
    }
}

fn conflicts(services: &[&Service]) -> Vec<(String, Code)> {
    let mut by_port: BTreeMap<u16, Vec<(&str, bool)>> = BTreeMap::new();
    let mut by_target: BTreeMap<String, Vec<(&str, u16)>> = BTreeMap::new();
    for service in services {
        for port in &service.ports {
            let (name, number) = (&*service.name, port.port.number);
            let is_udp = port.port.protocol == AppProtocol::Udp;
            by_port.entry(number).or_default().push((name, is_udp));
            let target = match &port.target {
                PortName::Number(number) => number.to_string(),
                PortName::Name(name) => name.clone(),
            };
            by_target.entry(target).or_default().push((name, number));
        }
    }
    let mut found = Vec::new();
    for (port, told) in by_port {
        if told.iter().any(|(_, is_udp)| *is_udp) && told.iter().any(|(_, is_udp)| !is_udp) {
            let names = names(told.iter().map(|(name, _)| *name));
            let reason = format!("port {port} is TCP and UDP, say the Services {names}");
            found.push((reason, Code::DeploymentAssociatedToMultipleServices));
        }
    }
    for (target, told) in by_target {
        let other = |(name, port): &(&str, u16)| *name != told[0].0 && *port != told[0].1;
        if told.iter().any(other) {
            let ports: Vec<_> = told
                .iter()
                .map(|(name, port)| format!("{name}:{port}"))
                .collect();
            let ports = ports.join(", ");
            let reason = format!("its port {target} is called by different ports: {ports}");
            found.push((reason, Code::DeploymentConflictingPorts));
        }
    }
    found
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.dedup();
    names.join(", ")
}
