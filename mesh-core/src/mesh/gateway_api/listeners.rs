//! Listeners: which of them can be opened, and for which routes.

use std::sync::Arc;

use super::{
    certificates,
    route::RouteKind,
    status::{Condition, ListenerStatus},
    world::World,
};
use crate::{
    config::{
        Problem, Resource, Severity,
        gateway_api::{
            FrontendValidation, FrontendValidationMode, Gateway as Written, GatewayApi,
            LabelExpression, LabelSelector, Listener as WrittenListener, NamespacesFrom, TlsMode,
        },
    },
    mesh::{
        ClientCertificate, EndTls, GatewayName, Server, ServerHost, ServerTls, findings::Findings,
    },
    name::{AppProtocol, Host, NamedPort, ResourceRef},
};

/// A listener of one of our Gateways.
pub(super) struct Listener<'a> {
    pub(super) written: &'a WrittenListener,
    /// What rules for it name, as istiod does.
    pub(super) name: GatewayName,
    /// None for every host.
    pub(super) host: Option<Host>,
    pub(super) protocol: Protocol,
    pub(super) attached_routes: u32,
    /// Hosts that routes answer where each is told apart by what TLS asks for.
    pub(super) answered: Vec<Host>,
    field: String,
    kinds: Vec<RouteKind>,
    tls: Option<ServerTls>,
    conditions: Vec<Condition>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Https,
    Tls(TlsMode),
    Tcp,
    Unsupported,
}

/// What is wrong with a listener by itself. `before` are those written before it.
pub(super) fn check(
    field: &str,
    written: &WrittenListener,
    before: &[WrittenListener],
    findings: &mut Findings<'_>,
) {
    if written.name.is_empty() {
        findings.error(&format!("{field}.name"), "is missing");
    }
    if before.iter().any(|other| other.name == written.name) {
        let reason = format!("{:?} is the name of another listener", written.name);
        findings.error(&format!("{field}.name"), reason);
    }
    if written.port == 0 {
        findings.error(&format!("{field}.port"), "a port is between 1 and 65535");
    }
    if let Some(host) = written.hostname.as_deref().filter(|host| !host.is_empty()) {
        findings.host(&format!("{field}.hostname"), host);
    }
    let tls = written.tls.as_ref();
    match (Protocol::of(written), tls) {
        (Protocol::Http | Protocol::Tcp, Some(_)) => {
            let reason = format!("a listener for {} has none", written.protocol);
            findings.error(&format!("{field}.tls"), reason);
        }
        (Protocol::Https, Some(tls)) if tls.mode == TlsMode::Passthrough => {
            let reason = "requests cannot be taken out of TLS that is passed on";
            findings.error(&format!("{field}.tls.mode"), reason);
            findings.advise("use protocol: TLS");
        }
        (Protocol::Tls(_), None) => findings.error(&format!("{field}.tls"), "is missing"),
        _ => {}
    }
    for name in tls.iter().flat_map(|tls| tls.options.keys()) {
        let at = format!("{field}.tls.options.{name}");
        findings.warn(&at, "not supported yet");
    }
    if tls.is_some_and(|tls| tls.certificate_refs.len() > 1) {
        let at = format!("{field}.tls.certificateRefs[1]");
        findings.warn(&at, "not supported yet: the first certificate is shown");
    }
}

/// The listeners of a Gateway.
pub(super) fn of<'a>(
    world: &World<'_>,
    resource: &Arc<Resource>,
    written: &'a Written,
    problems: &mut Vec<Problem>,
) -> Vec<Listener<'a>> {
    let each = written.listeners.iter().enumerate();
    let mut listeners: Vec<_> = each
        .map(|(i, listener)| Listener::new(world, &resource.reference, written, listener, i))
        .collect();
    conflicts(&mut listeners);
    for listener in &listeners {
        for condition in listener
            .conditions
            .iter()
            .filter(|c| c.holds == (c.kind == CONFLICTED))
        {
            let reason = format!("{}: {}", condition.reason, condition.message);
            problems.push(resource.problem(Severity::Warning, &listener.field, reason));
        }
    }
    for listener in &mut listeners {
        listener.conclude();
    }
    listeners
}

const CONFLICTED: &str = "Conflicted";

/// Listeners that claim the same connections are all closed: nobody could tell which is meant.
fn conflicts(listeners: &mut [Listener<'_>]) {
    let found: Vec<_> = listeners
        .iter()
        .map(|own| {
            let mut others = listeners.iter().filter(|other| {
                other.field != own.field
                    && other.written.port == own.written.port
                    && other.protocol != Protocol::Unsupported
            });
            let rival = others.find_map(|other| {
                let reason = if own.protocol.layer() != other.protocol.layer() {
                    "ProtocolConflict"
                } else if own.host == other.host {
                    "HostnameConflict"
                } else {
                    return None;
                };
                Some((reason, other.written.name.clone()))
            });
            rival.filter(|_| own.protocol != Protocol::Unsupported)
        })
        .collect();
    for (listener, rival) in listeners.iter_mut().zip(found) {
        if let Some((reason, name)) = rival {
            listener.conditions.push(Condition {
                message: format!("listener {name} claims the same connections"),
                ..Condition::holds(CONFLICTED, reason)
            });
        }
    }
}

impl Protocol {
    fn of(written: &WrittenListener) -> Self {
        let mode = written.tls.as_ref().map(|tls| tls.mode);
        match &*written.protocol {
            "HTTP" => Self::Http,
            "HTTPS" => Self::Https,
            "TLS" => Self::Tls(mode.unwrap_or_default()),
            "TCP" => Self::Tcp,
            _ => Self::Unsupported,
        }
    }

    /// Listeners of one layer can share a port, since hosts tell their connections apart.
    fn layer(self) -> u8 {
        match self {
            Self::Http => 0,
            Self::Https | Self::Tls(_) => 1,
            Self::Tcp => 2,
            Self::Unsupported => 3,
        }
    }

    fn kinds(self) -> &'static [RouteKind] {
        match self {
            Self::Http | Self::Https => &[RouteKind::Http, RouteKind::Grpc],
            Self::Tls(_) => &[RouteKind::Tls],
            Self::Tcp => &[RouteKind::Tcp],
            Self::Unsupported => &[],
        }
    }
}

impl<'a> Listener<'a> {
    fn new(
        world: &World<'_>,
        gateway: &ResourceRef,
        of: &Written,
        written: &'a WrittenListener,
        index: usize,
    ) -> Self {
        let host = written.hostname.as_deref().filter(|host| !host.is_empty());
        let mut listener = Self {
            written,
            name: GatewayName::Named {
                namespace: gateway.namespace.clone(),
                name: format!(
                    "{}-istio-autogenerated-k8s-gateway-{}",
                    gateway.name, written.name
                )
                .into(),
            },
            host: host.and_then(|host| host.parse().ok()),
            protocol: Protocol::of(written),
            attached_routes: 0,
            answered: Vec::new(),
            field: format!("spec.listeners[{index}]"),
            kinds: Vec::new(),
            tls: None,
            conditions: Vec::new(),
        };
        if listener.protocol == Protocol::Unsupported {
            let message = format!("protocol {:?} is not supported", written.protocol);
            let condition = Condition::fails("Accepted", "UnsupportedProtocol", message);
            listener.conditions.push(condition);
        }
        listener.find_kinds();
        listener.find_tls(world, gateway, of);
        listener
    }

    fn find_kinds(&mut self) {
        let all = self.protocol.kinds();
        let asked = self.written.allowed_routes.as_ref();
        let asked = asked.map_or(&[][..], |allowed| &allowed.kinds);
        if asked.is_empty() {
            self.kinds = all.to_vec();
            return;
        }
        for kind in asked {
            let ours = kind
                .group
                .as_deref()
                .is_none_or(|group| group == GatewayApi::GROUP);
            match all.iter().find(|known| ours && known.name() == kind.kind) {
                Some(known) => self.kinds.push(*known),
                None => {
                    let message = format!("routes of kind {} cannot be attached", kind.kind);
                    self.fails_to_resolve("InvalidRouteKinds", message);
                }
            }
        }
    }

    fn fails_to_resolve(&mut self, reason: &'static str, message: String) {
        let condition = Condition::fails("ResolvedRefs", reason, message);
        self.conditions.push(condition);
    }

    fn find_tls(&mut self, world: &World<'_>, gateway: &ResourceRef, of: &Written) {
        self.tls = match self.protocol {
            Protocol::Http | Protocol::Tcp => Some(ServerTls::Off {
                https_redirect: false,
            }),
            Protocol::Tls(TlsMode::Passthrough) => Some(ServerTls::Passthrough),
            Protocol::Unsupported => None,
            Protocol::Https | Protocol::Tls(TlsMode::Terminate) => self
                .end_tls(world, gateway, of)
                .map(|end| ServerTls::End(Box::new(end))),
        };
    }

    fn end_tls(
        &mut self,
        world: &World<'_>,
        gateway: &ResourceRef,
        of: &Written,
    ) -> Option<EndTls> {
        let written = self.written.tls.as_ref();
        let Some(certificate) = written.and_then(|tls| tls.certificate_refs.first()) else {
            let message = "a certificate is needed to end TLS".to_owned();
            self.fails_to_resolve("InvalidCertificateRef", message);
            return None;
        };
        let certificate = certificates::certificate(world, gateway, certificate);
        let certificate = certificate
            .map_err(|error| self.fails_to_resolve(error.reason, error.message))
            .ok();
        let client = match validation(self.written, of) {
            None => Some(ClientCertificate::NotAsked),
            Some(validation) => self.client(world, gateway, validation),
        };
        Some(EndTls {
            certificate: Some(certificate?),
            client: client?,
            subject_alt_names: Vec::new(),
            min_version: None,
            max_version: None,
        })
    }

    fn client(
        &mut self,
        world: &World<'_>,
        gateway: &ResourceRef,
        written: &FrontendValidation,
    ) -> Option<ClientCertificate> {
        if written.mode == FrontendValidationMode::AllowInsecureFallback {
            let message = "AllowInsecureFallback is not supported: the port stays closed";
            let condition = Condition::fails("Accepted", "UnsupportedValue", message);
            self.conditions.push(condition);
            return None;
        }
        let mut first = None;
        for (i, reference) in written.ca_certificate_refs.iter().enumerate() {
            match certificates::roots(world, gateway, reference) {
                Ok(roots) => first = first.or(Some((i, roots))),
                Err(error) => self.fails_to_resolve(error.reason, error.message),
            }
        }
        let Some((_, roots)) = first else {
            let message = "no roots to check callers' certificates with";
            let condition = Condition::fails("Accepted", "NoValidCACertificate", message);
            self.conditions.push(condition);
            return None;
        };
        Some(ClientCertificate::Required(roots))
    }

    /// Every condition that nothing was said about is as it should be.
    fn conclude(&mut self) {
        let said = |conditions: &[Condition], kind| conditions.iter().any(|c| c.kind == kind);
        if !said(&self.conditions, CONFLICTED) {
            let none = Condition {
                reason: "NoConflicts",
                ..Condition::fails(CONFLICTED, "", "")
            };
            self.conditions.push(none);
        } else if !said(&self.conditions, "Accepted") {
            let conflict = self.conditions.iter().find(|c| c.kind == CONFLICTED);
            let reason = conflict.map_or("Invalid", |conflict| conflict.reason);
            let condition = Condition::fails("Accepted", reason, "it is conflicted");
            self.conditions.push(condition);
        }
        for kind in ["Accepted", "ResolvedRefs"] {
            if !said(&self.conditions, kind) {
                self.conditions.push(Condition::holds(kind, kind));
            }
        }
        let programmed = match self.is_open() {
            true => Condition::holds("Programmed", "Programmed"),
            false => Condition::fails("Programmed", "Invalid", "it cannot be opened"),
        };
        self.conditions.push(programmed);
        self.conditions.sort_by_key(|condition| condition.kind);
        self.conditions.dedup_by_key(|condition| condition.kind);
    }

    pub(super) fn is_accepted(&self) -> bool {
        let mut all = self.conditions.iter();
        all.all(|condition| condition.kind != "Accepted" || condition.holds)
    }

    /// Whether proxies open it: kinds that cannot be attached do not keep it closed.
    pub(super) fn is_open(&self) -> bool {
        self.tls.is_some() && self.is_accepted()
    }

    pub(super) fn takes_kind(&self, kind: RouteKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether routes of a namespace may be attached.
    pub(super) fn takes_namespace(&self, world: &World<'_>, own: &str, namespace: &str) -> bool {
        let allowed = self.written.allowed_routes.as_ref();
        let namespaces = allowed.and_then(|allowed| allowed.namespaces.as_ref());
        match namespaces.map(|namespaces| (namespaces.from, &namespaces.selector)) {
            None | Some((NamespacesFrom::Same, _)) => own == namespace,
            Some((NamespacesFrom::All, _)) => true,
            Some((NamespacesFrom::None, _)) | Some((NamespacesFrom::Selector, None)) => false,
            Some((NamespacesFrom::Selector, Some(selector))) => selects(world, selector, namespace),
        }
    }

    /// The ports to open. Where TLS is ended for connections, each host has a chain of its own.
    pub(super) fn servers(&self) -> Vec<Server> {
        let own = self.host.clone().into_iter().collect::<Vec<_>>();
        let hosts = match self.protocol {
            Protocol::Tls(TlsMode::Terminate) => self.answered.clone(),
            _ if own.is_empty() => vec![every_host()],
            _ => own,
        };
        hosts.into_iter().map(|host| self.server(host)).collect()
    }

    fn server(&self, host: Host) -> Server {
        let tls = self.tls.clone().unwrap_or(ServerTls::Off {
            https_redirect: false,
        });
        Server {
            field: self.field.clone(),
            name: self.written.name.clone(),
            port: NamedPort {
                number: self.written.port,
                name: "default".into(),
                protocol: match self.protocol {
                    Protocol::Http => AppProtocol::Http,
                    Protocol::Tcp | Protocol::Unsupported => AppProtocol::Tcp,
                    Protocol::Https | Protocol::Tls(_) => AppProtocol::Tls,
                },
            },
            is_https: self.protocol == Protocol::Https,
            bind: None,
            hosts: vec![ServerHost {
                namespace: None,
                host,
            }],
            tls,
        }
    }

    pub(super) fn status(&self) -> ListenerStatus {
        ListenerStatus {
            name: self.written.name.clone(),
            attached_routes: self.attached_routes,
            supported_kinds: self.kinds.iter().map(|kind| kind.name()).collect(),
            conditions: self.conditions.clone(),
        }
    }
}

/// How callers' certificates are checked: what the Gateway says for the port, else for all.
fn validation<'a>(
    listener: &'a WrittenListener,
    of: &'a Written,
) -> Option<&'a FrontendValidation> {
    let own = listener.tls.as_ref()?.frontend_validation.as_ref();
    let frontend = of.tls.as_ref().and_then(|tls| tls.frontend.as_ref());
    own.or_else(|| {
        let frontend = frontend?;
        let mut ports = frontend.per_port.iter();
        match ports.find(|per_port| per_port.port == listener.port) {
            Some(per_port) => per_port.tls.validation.as_ref(),
            None => frontend.default.validation.as_ref(),
        }
    })
}

/// `*`.
pub(super) fn every_host() -> Host {
    "*".parse().expect("the wildcard is a host")
}

fn selects(world: &World<'_>, selector: &LabelSelector, namespace: &str) -> bool {
    let label = |key: &str| world.label_of(namespace, key);
    let mut wanted = selector.match_labels.0.iter();
    let by_value = wanted.all(|(key, value)| label(key).as_deref() == Some(value));
    by_value
        && selector.match_expressions.iter().all(|wanted| {
            let found = label(&wanted.key);
            let among = || {
                found
                    .as_ref()
                    .is_some_and(|found| wanted.values.contains(found))
            };
            match wanted.operator {
                LabelExpression::In => among(),
                LabelExpression::NotIn => !among(),
                LabelExpression::Exists => found.is_some(),
                LabelExpression::DoesNotExist => found.is_none(),
            }
        })
}
