use std::sync::Arc;

use super::{LogFormat, Provider, ProviderKind, provider::providers};
use crate::{
    config::istio::{AccessLogEncoding, MeshConfig},
    mesh::findings::Findings,
};

/// Who takes telemetry unless a resource says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryDefaults {
    /// Everybody who may be named.
    pub providers: Vec<Provider>,
    /// Who takes spans where no rule names anybody, the first of them.
    pub default_tracing: Vec<Arc<str>>,
    /// Who takes metrics where no rule names anybody.
    pub default_metrics: Vec<Arc<str>>,
    /// Who takes logs where no rule names anybody.
    pub default_logs: Vec<Arc<str>>,
    /// The log of every proxy where nobody is named at all: the file, and what a line says.
    pub log: Option<(Arc<str>, LogFormat)>,
    /// `enableTracing`, where it is said.
    pub tracing: Option<bool>,
}

/// Providers that are there without being defined, as in Istio.
const BUILT_IN: [(&str, ProviderKind); 1] = [("prometheus", ProviderKind::Prometheus)];

/// Metrics for Prometheus, and nothing else.
impl Default for TelemetryDefaults {
    fn default() -> Self {
        let built_in = BUILT_IN.into_iter().map(|(name, kind)| Provider {
            name: name.into(),
            kind,
        });
        Self {
            providers: built_in.collect(),
            default_tracing: Vec::new(),
            default_metrics: vec!["prometheus".into()],
            default_logs: Vec::new(),
            log: None,
            tracing: None,
        }
    }
}

impl TelemetryDefaults {
    /// What the mesh configuration says.
    pub(in crate::mesh) fn of(written: &MeshConfig, findings: &mut Findings<'_>) -> Self {
        let (mut known, wrong) = providers(&written.extension_providers);
        for (field, reason) in wrong {
            findings.warn("data.mesh", format!("{field}: {reason}"));
            findings.advise("this provider is left out");
        }
        for (name, kind) in BUILT_IN {
            if Provider::named(&known, name).is_none() {
                let name = name.into();
                known.push(Provider { name, kind });
            }
        }
        let named = &written.default_providers;
        let lists = [
            ("tracing", &named.tracing),
            ("metrics", &named.metrics),
            ("accessLogging", &named.access_logging),
        ];
        for (field, names) in lists {
            for name in names {
                if Provider::named(&known, name).is_none() {
                    let reason = format!("defaultProviders.{field}: there is no provider {name}");
                    findings.warn("data.mesh", reason);
                }
            }
        }
        let names = |list: &[String]| list.iter().map(|name| name.as_str().into()).collect();
        Self {
            default_tracing: names(&named.tracing),
            default_metrics: match named.metrics.is_empty() {
                true => vec!["prometheus".into()],
                false => names(&named.metrics),
            },
            default_logs: names(&named.access_logging),
            log: log(written, findings),
            tracing: written.enable_tracing,
            providers: known,
        }
    }
}

fn log(written: &MeshConfig, findings: &mut Findings<'_>) -> Option<(Arc<str>, LogFormat)> {
    let path = written.access_log_file.as_deref();
    let path = path.filter(|path| !path.is_empty())?;
    let said = written.access_log_format.as_deref();
    let said = said.filter(|format| !format.is_empty());
    let format = match (written.access_log_encoding, said) {
        (AccessLogEncoding::Text, None) => LogFormat::Istio,
        (AccessLogEncoding::Text, Some(text)) => LogFormat::Text(text.into()),
        (AccessLogEncoding::Json, None) => LogFormat::Json(None),
        (AccessLogEncoding::Json, Some(text)) => match serde_json::from_str(text) {
            Ok(values) => LogFormat::Json(Some(values)),
            Err(error) => {
                let reason = format!("accessLogFormat: is no JSON object of texts: {error}");
                findings.warn("data.mesh", reason);
                findings.advise("lines say what Istio's default says");
                LogFormat::Json(None)
            }
        },
    };
    Some((path.into(), format))
}
