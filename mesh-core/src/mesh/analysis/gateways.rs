//! Gateways: whom they are for, which ports and hosts they open, what they show.

use super::{Analysis, Instance};
use crate::{
    config::{Code, Spec, kubernetes},
    mesh::{Certificate, Gateway, GatewayName, Server, ServerTls},
};

impl<'a> Analysis<'a> {
    pub(super) fn gateway_servers(&mut self) {
        // Listeners of the Gateway API say what is wrong with them as conditions.
        let gateways = self.rules.gateways.iter();
        let gateways: Vec<_> = gateways.filter(|one| !one.is_gateway_api()).collect();
        for (i, gateway) in gateways.iter().enumerate() {
            let at: Vec<_> = self.at(gateway);
            if at.is_empty() {
                let labels = &gateway.selector.0;
                let reason = format!("no workload here has {labels}: is the gateway elsewhere?");
                let code = Code::ReferencedResourceNotFound;
                self.inform(code, &gateway.reference, "spec.selector", reason);
            } else {
                self.ports_of_service(gateway, &at);
            }
            for server in &gateway.servers {
                self.credential(gateway, server, &at);
                for older in &gateways[..i] {
                    self.conflict(gateway, server, older);
                }
                if server.bind.is_some_and(|bind| bind.is_loopback()) {
                    let field = format!("{}.bind", server.field);
                    let reason = "is open to processes of the same pod only";
                    self.warn(Code::LocalhostListener, &gateway.reference, &field, reason);
                }
            }
        }
        self.unclaimed_hosts();
    }

    /// The workloads a Gateway is for, by their places among all.
    fn at(&self, gateway: &Gateway) -> Vec<usize> {
        let all = self.instances.iter().enumerate();
        all.filter(|(_, instance)| gateway.selector.matches(instance.labels))
            .map(|(i, _)| i)
            .collect()
    }

    fn ports_of_service(&mut self, gateway: &Gateway, at: &[usize]) {
        let (rules, instances) = (self.rules, &self.instances);
        let leads_here = |service: &crate::mesh::Service| {
            let selector = service.selector.as_ref();
            at.iter()
                .any(|i| selector.is_some_and(|s| instances[*i].is_meant(&service.namespace, s)))
        };
        let services = rules.services.iter().filter(|service| leads_here(service));
        let mut reached: Vec<u16> = Vec::new();
        for port in services.flat_map(|service| &service.ports) {
            reached.push(port.port.number);
            let pods = at.iter().filter_map(|i| instances[*i].pod);
            reached.extend(pods.filter_map(|pod| pod.port(&port.target)));
        }
        for server in &gateway.servers {
            if !reached.contains(&server.port.number) {
                let field = format!("{}.port.number", server.field);
                let reason = format!(
                    "no Service of the gateway's workloads leads to port {}",
                    server.port.number
                );
                let code = Code::GatewayPortNotDefinedOnService;
                self.warn(code, &gateway.reference, &field, reason);
                self.advise("add the port to the gateway's Service".to_owned());
            }
        }
    }

    /// The Secret a server names, as far as files tell: Secrets are often kept elsewhere.
    fn credential(&mut self, gateway: &Gateway, server: &Server, at: &[usize]) {
        let ServerTls::End(end) = &server.tls else {
            return;
        };
        let Some(Certificate::Credential(name)) = &end.certificate else {
            return;
        };
        let of = &gateway.reference;
        let namespace = match at.first() {
            Some(i) => self.instances[*i].resource.reference.namespace.clone(),
            None => of.namespace.clone(),
        };
        let field = format!("{}.tls.credentialName", server.field);
        let key = (namespace.clone(), (&**name).into());
        let Some(resource) = self.rules.secrets.get(&key) else {
            let reason = format!("no Secret {namespace}/{name} here: is it kept elsewhere?");
            let code = Code::ReferencedResourceNotFound;
            return self.inform(code, of, &field, reason);
        };
        if let Spec::Secret(secret) = &resource.spec
            && let Some(wrong) = wrong_with(secret)
        {
            let secret = self.place(&resource.reference);
            let reason = format!("{secret} cannot be shown to callers: {wrong}");
            self.warn(Code::InvalidGatewayCredential, of, &field, reason);
            let advice = "make it with kubectl create secret tls, from a chain and its key";
            self.advise(advice.to_owned());
        }
    }

    fn conflict(&mut self, gateway: &Gateway, server: &Server, older: &Gateway) {
        if !self.meet(gateway, older) {
            return;
        }
        let place = self.place(&older.reference);
        let shown = certificate(server);
        if shown.is_some()
            && older
                .servers
                .iter()
                .any(|other| certificate(other) == shown)
        {
            let reason = format!("{place} shows the same certificate");
            let field = format!("{}.tls", server.field);
            let code = Code::GatewayDuplicateCertificate;
            self.warn(code, &gateway.reference, &field, reason);
            let advice = "clients that keep one HTTP/2 connection for both get 404s; \
                          put the hosts into one server";
            self.advise(advice.to_owned());
        }
        let same_place =
            |other: &&Server| other.port.number == server.port.number && other.bind == server.bind;
        let others = older.servers.iter().filter(same_place);
        let mut hosts = others.flat_map(|other| &other.hosts);
        if let Some(taken) = hosts.find(|host| server.hosts.contains(host)) {
            let reason = format!(
                "{place} opens port {} for {} too, and wins",
                server.port.number, taken.host
            );
            let field = format!("{}.hosts", server.field);
            self.warn(
                Code::ConflictingGateways,
                &gateway.reference,
                &field,
                reason,
            );
            let advice = "let VirtualServices of both share one Gateway";
            self.advise(advice.to_owned());
        }
    }

    /// Whether some proxy may open the ports of both.
    fn meet(&self, a: &Gateway, b: &Gateway) -> bool {
        let both = |instance: &Instance<'_>| {
            a.selector.matches(instance.labels) && b.selector.matches(instance.labels)
        };
        a.selector.matches(&b.selector.0)
            || b.selector.matches(&a.selector.0)
            || self.instances.iter().any(both)
    }

    /// VirtualServices for hosts that their Gateways do not take.
    fn unclaimed_hosts(&mut self) {
        for traffic in self
            .rules
            .traffic
            .iter()
            .filter(|rules| !rules.is_gateway_api())
        {
            for (i, name) in traffic.gateways.iter().enumerate() {
                let mut gateways = self.rules.gateways.iter();
                let Some(gateway) = gateways.find(|gateway| gateway.name == *name) else {
                    continue;
                };
                let mut servers = gateway.servers.iter();
                if *name == GatewayName::Mesh
                    || servers.any(|server| !Gateway::hosts(server, traffic).is_empty())
                {
                    continue;
                }
                let place = self.place(&gateway.reference);
                let hosts = traffic.hosts.iter().map(ToString::to_string);
                let hosts = hosts.collect::<Vec<_>>().join(", ");
                let reason = format!("{place} takes no requests for {hosts}");
                let field = format!("spec.gateways[{i}]");
                let code = Code::VirtualServiceHostNotFoundInGateway;
                self.warn(code, &traffic.reference, &field, reason);
                let open = gateway.servers.iter().flat_map(|server| &server.hosts);
                let open = open.map(|open| match &open.namespace {
                    Some(namespace) => format!("{namespace}/{}", open.host),
                    None => open.host.to_string(),
                });
                let open = open.collect::<Vec<_>>().join(", ");
                self.advise(format!("its hosts are {open}"));
            }
        }
    }
}

/// What a server shows, if it is a certificate of its own.
fn certificate(server: &Server) -> Option<&Certificate> {
    match &server.tls {
        ServerTls::End(end) => end.certificate.as_ref(),
        _ => None,
    }
}

/// Why a Secret holds no certificate and key.
fn wrong_with(secret: &kubernetes::Secret) -> Option<String> {
    let pairs = [("tls.crt", "tls.key"), ("cert", "key")];
    let (certificate, key) = *pairs
        .iter()
        .find(|(certificate, _)| secret.bytes(certificate).is_some())
        .unwrap_or(&pairs[0]);
    for (name, label) in [(certificate, "CERTIFICATE"), (key, "PRIVATE KEY")] {
        let Some(bytes) = secret.bytes(name) else {
            return Some(format!("{name} is missing"));
        };
        let text = String::from_utf8_lossy(bytes);
        let mut begins = text
            .lines()
            .filter_map(|line| line.strip_prefix("-----BEGIN "));
        if !begins.any(|begin| begin.ends_with(&format!("{label}-----"))) {
            return Some(format!(
                "{name} holds no PEM block of a {}",
                label.to_lowercase()
            ));
        }
    }
    None
}
