//! What runs: whether it has proxies, as whom it runs, where it listens.

use super::{Analysis, Instance};
use crate::{
    config::{
        Code, Resource, Severity, Spec,
        kubernetes::{Container, SecurityContext},
    },
    name::ResourceRef,
};

/// The user that proxies run as, whose traffic is not captured.
const PROXY_USER: i64 = 1337;
const PROXY_CONTAINER: &str = "istio-proxy";
const INJECT: &str = "sidecar.istio.io/inject";
/// Namespaces that never get proxies.
const WITHOUT: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

impl Analysis<'_> {
    pub(super) fn workloads(&mut self) {
        for resource in self.set.iter() {
            if matches!(resource.spec, Spec::Namespace) {
                self.injection(resource);
            }
        }
        for i in 0..self.instances.len() {
            let found = findings(&self.instances[i], self.set);
            let of = self.instances[i].resource.reference.clone();
            for (severity, code, field, reason) in found {
                self.report(severity, code, &of, &field, reason);
            }
            self.loopback(i);
        }
    }

    fn injection(&mut self, namespace: &Resource) {
        let labels = &namespace.metadata.labels;
        let name = &*namespace.reference.name;
        let told = ["istio-injection", "istio.io/rev", "istio.io/dataplane-mode"];
        let is_told = told.iter().any(|label| labels.value(label).is_some());
        let is_exempt = name == &*self.rules.defaults.root_namespace || WITHOUT.contains(&name);
        if !is_told && !is_exempt {
            let reason = "does not say whether its pods get proxies";
            let code = Code::NamespaceNotInjected;
            self.inform(code, &namespace.reference, "metadata", reason);
            let advice = "add the label istio-injection: enabled, or disabled";
            self.advise(advice.to_owned());
        }
    }

    /// Ports that Services lead to, where a command line binds them to the loopback address. That
    /// is all that files tell of where an application listens.
    fn loopback(&mut self, i: usize) {
        let instance = &self.instances[i];
        let Some(pod) = instance.pod else {
            return;
        };
        let mut found = Vec::new();
        for service in &self.rules.services {
            let selector = service.selector.as_ref();
            if !selector.is_some_and(|s| instance.is_meant(&service.namespace, s)) {
                continue;
            }
            for port in service
                .ports
                .iter()
                .filter_map(|port| pod.port(&port.target))
            {
                for (c, container) in pod.containers.iter().enumerate() {
                    if let Some(word) = binds_loopback(container, port) {
                        let field = format!("{}.containers[{c}]", instance.field);
                        let reason = format!(
                            "{word:?} keeps port {port} to the pod, but {} leads there",
                            service.reference
                        );
                        found.push((field, reason));
                    }
                }
            }
        }
        found.dedup();
        let of = instance.resource.reference.clone();
        for (field, reason) in found {
            self.warn(Code::LocalhostListener, &of, &field, reason);
            self.advise("listen on 0.0.0.0 or [::]".to_owned());
        }
    }
}

fn findings(
    instance: &Instance<'_>,
    set: &crate::config::ConfigSet,
) -> Vec<(Severity, Code, String, String)> {
    let mut found = Vec::new();
    let Some(pod) = instance.pod else {
        return found;
    };
    let is_proxys = |context: &SecurityContext| context.run_as_user == Some(PROXY_USER);
    let mut as_proxy = |field: String| {
        let reason = format!("{PROXY_USER} is the proxy's user: its traffic is not captured");
        found.push((
            Severity::Warning,
            Code::InvalidApplicationUID,
            field,
            reason,
        ));
    };
    if is_proxys(&pod.security_context) {
        as_proxy(format!("{}.securityContext.runAsUser", instance.field));
    }
    for (i, container) in pod.containers.iter().enumerate() {
        if container.name != PROXY_CONTAINER && is_proxys(&container.security_context) {
            let field = instance.field;
            as_proxy(format!("{field}.containers[{i}].securityContext.runAsUser"));
        }
    }
    let Spec::Pod(written) = &instance.resource.spec else {
        return found;
    };
    // A manifest gets its proxy on the way into the cluster; what runs already must have it.
    let runs = !written.status.phase.is_empty() || !written.status.pod_ip.is_empty();
    let namespace = ResourceRef::new("", "Namespace", "", instance.namespace());
    let is_wanted = set.resource(&namespace).is_some_and(|namespace| {
        let labels = &namespace.metadata.labels;
        labels.value("istio-injection") == Some("enabled")
    });
    let mut containers = pod.containers.iter().chain(&pod.init_containers);
    let has_proxy = containers.any(|container| container.name == PROXY_CONTAINER);
    let is_spared = pod.host_network || instance.says(INJECT) == Some("false");
    if runs && is_wanted && !has_proxy && !is_spared {
        let reason = "has no proxy, though its namespace wants one".to_owned();
        let (severity, field) = (Severity::Warning, "metadata".to_owned());
        found.push((severity, Code::PodMissingProxy, field, reason));
    }
    found
}

/// The word of a command line by which an application listens on loopback at this port.
fn binds_loopback(container: &Container, port: u16) -> Option<&str> {
    let words = container.command.iter().chain(&container.args);
    let words: Vec<_> = words.flat_map(|word| word.split_whitespace()).collect();
    (0..words.len())
        .find(|&i| {
            ["127.0.0.1", "localhost", "[::1]"].iter().any(|loopback| {
                let bound = format!("{loopback}:{port}");
                match words[i].strip_suffix(&*bound) {
                    // `--upstream=http://localhost:8080` is called, not listened on.
                    Some("") => i > 0 && is_listening(words[i - 1]),
                    Some(flag) => !flag.ends_with('/') && is_listening(flag),
                    None => false,
                }
            })
        })
        .map(|i| words[i])
}

/// Whether a flag says where to listen, as `--bind` and `--listen-address` do.
fn is_listening(flag: &str) -> bool {
    let flag = flag.to_ascii_lowercase();
    let words = ["bind", "listen", "addr", "serve"];
    words.iter().any(|word| flag.contains(word))
}
