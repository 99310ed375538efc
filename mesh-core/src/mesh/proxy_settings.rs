//! How proxies run: what `defaultConfig` of the mesh configuration and ProxyConfig resources mean.

use std::{collections::BTreeMap, sync::Arc};

use super::{SpanTag, findings::Findings, share::PerMillion, telemetry};
pub use crate::config::istio::ForwardClientCertDetails as ForwardedClientCert;
use crate::config::{
    Problem, Resource, Severity, Spec,
    istio::{self, ConnectionProfile},
};

/// How proxies run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProxySettings {
    /// The share of requests that start a trace; none for 1 %.
    pub sampling: Option<PerMillion>,
    /// Tags of every span.
    pub tags: BTreeMap<Arc<str>, SpanTag>,
    /// The longest path that a span tells.
    pub max_path_tag_length: Option<u32>,
    /// How many trusted proxies stand before a gateway.
    pub trusted_proxies: u32,
    /// What a gateway does with `x-forwarded-client-cert`; none for Istio's default.
    pub gateway_client_cert: Option<ForwardedClientCert>,
    /// What a sidecar does with it towards its application; none for Istio's default.
    pub sidecar_client_cert: Option<ForwardedClientCert>,
    /// Make no `x-request-id`.
    pub no_request_id: bool,
    /// The value of `server`; empty to leave the application's own.
    pub server: Option<Arc<str>>,
    /// Bound connections as at an edge towards strangers.
    pub edge_profile: bool,
}

impl ProxySettings {
    pub(super) fn of(written: Option<&istio::ProxySettings>, findings: &mut Findings<'_>) -> Self {
        let Some(written) = written else {
            return Self::default();
        };
        let mut settings = Self::default();
        if let Some(tracing) = &written.tracing {
            let sampling = tracing.sampling;
            settings.sampling = sampling.and_then(|share| {
                let found = PerMillion::percent(share);
                if found.is_none() {
                    let field = "defaultConfig.tracing.sampling";
                    findings.warn("data.mesh", format!("{field}: {share} is no percentage"));
                }
                found
            });
            settings.max_path_tag_length = tracing.max_path_tag_length;
            let (tags, wrong) =
                telemetry::custom_tags(&tracing.custom_tags.clone().unwrap_or_default());
            for (name, reason) in wrong {
                let field = format!("defaultConfig.tracing.customTags.{name}");
                findings.warn("data.mesh", format!("{field}: {reason}"));
                findings.advise("this tag is left out");
            }
            settings.tags = tags;
            if tracing.enable_istio_tags == Some(false) {
                let reason = "defaultConfig.tracing.enableIstioTags: is not honoured yet";
                findings.warn("data.mesh", reason);
            }
        }
        if let Some(topology) = &written.gateway_topology {
            settings.trusted_proxies = topology.num_trusted_proxies.unwrap_or_default();
            settings.gateway_client_cert = said(topology.forward_client_cert_details);
        }
        if let Some(headers) = &written.proxy_headers {
            settings.headers(headers);
        }
        if let Some(connections) = &written.connection_settings {
            settings.edge_profile = connections.profile == ConnectionProfile::Edge;
            if settings.edge_profile {
                findings.warn(
                    "data.mesh",
                    "defaultConfig.connectionSettings.profile: EDGE: buffers of connections, \
                     windows of streams, the time of a request and underscores in names of \
                     headers are not bounded yet",
                );
            }
            not_alone(connections, findings);
        }
        settings
    }

    fn headers(&mut self, written: &istio::ProxyHeaders) {
        self.sidecar_client_cert = said(written.forwarded_client_cert);
        let request_id = written.request_id.as_ref();
        self.no_request_id = request_id.is_some_and(|switch| switch.disabled == Some(true));
        if let Some(server) = &written.server {
            match (server.disabled, &*server.value) {
                (Some(true), _) => self.server = Some("".into()),
                (_, "") => {}
                (_, value) => self.server = Some(value.into()),
            }
        }
    }
}

fn said(written: ForwardedClientCert) -> Option<ForwardedClientCert> {
    (written != ForwardedClientCert::Undefined).then_some(written)
}

/// Bounds of a connection that are written one by one.
fn not_alone(written: &istio::ConnectionSettings, findings: &mut Findings<'_>) {
    let single = [
        ("idleTimeout", written.idle_timeout.is_some()),
        ("streamIdleTimeout", written.stream_idle_timeout.is_some()),
        ("requestTimeout", written.request_timeout.is_some()),
        (
            "requestHeadersTimeout",
            written.request_headers_timeout.is_some(),
        ),
        (
            "maxConcurrentStreams",
            written.max_concurrent_streams.is_some(),
        ),
    ];
    for (field, is_written) in single {
        if is_written {
            let field = format!("defaultConfig.connectionSettings.{field}");
            findings.warn("data.mesh", format!("{field}: not supported yet"));
            findings.advise("only the profile is honoured");
        }
    }
}

/// What of a ProxyConfig resource is not honoured: all of it is about how Envoy is started.
pub(super) fn not_honoured(resource: &Resource, written: &istio::ProxyConfig) -> Vec<Problem> {
    let fields = [
        ("spec.concurrency", written.concurrency.is_some()),
        (
            "spec.environmentVariables",
            !written.environment_variables.is_empty(),
        ),
        ("spec.image", written.image.is_some()),
    ];
    let written = fields.into_iter().filter(|(_, is_written)| *is_written);
    written
        .map(|(field, _)| resource.problem(Severity::Warning, field, "not supported yet"))
        .collect()
}

/// What pods, or those that a Deployment keeps, say of their own proxies. None of it is honoured,
/// which nobody may find out only by what happens.
pub(super) fn own_settings(resource: &Resource) -> Option<Problem> {
    let (field, annotations) = match &resource.spec {
        Spec::Pod(_) => ("metadata", &resource.metadata.annotations),
        Spec::Deployment(deployment) => {
            let template = &deployment.spec.template.metadata;
            ("spec.template.metadata", &template.annotations)
        }
        _ => return None,
    };
    let name = istio::ProxySettings::ANNOTATION;
    annotations
        .get(name)
        .filter(|text| !text.trim().is_empty())?;
    let field = format!("{field}.annotations.{name}");
    let problem = resource.problem(Severity::Warning, &field, "not supported yet");
    Some(problem.advise("the proxy runs by defaultConfig of the mesh configuration"))
}

/// Whether a field of the settings, as in `tracing.zipkin.address`, exists but is not honoured.
pub(super) fn is_not_yet(field: &str) -> bool {
    let mut known = istio::ProxySettings::NOT_YET.iter();
    known.any(|known| {
        let rest = field.strip_prefix(known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}
