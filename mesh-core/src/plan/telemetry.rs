//! What is recorded: access logs, spans and metrics of one proxy, for each side of its calls.

use std::collections::BTreeMap;

use super::PlanOptions;
use crate::{
    config::{Problem, Severity},
    dataplane::{
        AccessLog, AccessLogFilter, AccessLogFormat, Fraction, HttpFilter, MetricChange,
        MetricSettings, SpanTag, SpanTagValue, Tracing,
    },
    mesh::{self, CallSide, LogFormat, MeshDefaults, Provider, ProviderKind, WorkloadTelemetry},
};

/// Where lines go where nobody says otherwise: the proxy's own output.
const STDOUT: &str = "/dev/stdout";
/// The response flag of connections that no chain took.
const NO_ROUTE: &str = "NR";

/// What is recorded of one side of a proxy's calls.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// One line each per request or connection.
    pub(super) access_log: Vec<AccessLog>,
    /// Spans.
    pub(super) tracing: Option<Tracing>,
    /// The filter that counts; none counts nothing.
    pub(super) metrics: Option<HttpFilter>,
    /// What was asked for and is not done.
    pub(super) problems: Vec<Problem>,
}

impl Recording {
    /// Works out what the resources in effect for the proxy ask for.
    pub(super) fn of(
        mesh: &mesh::Mesh,
        node: &crate::dataplane::Node,
        options: &PlanOptions<'_>,
        side: CallSide,
    ) -> Self {
        let telemetry = mesh.telemetry(&node.namespace, &node.labels);
        let asked = Asked {
            defaults: mesh.defaults(),
            telemetry: &telemetry,
            options,
            side,
        };
        let mut problems = Vec::new();
        Self {
            access_log: asked.access_log(&mut problems),
            tracing: asked.tracing(&mut problems),
            metrics: asked.metrics(&mut problems),
            problems,
        }
    }

    /// One line per connection that no chain took.
    pub(super) fn refused_log(&self) -> Vec<AccessLog> {
        let refused = AccessLogFilter::ResponseFlags(vec![NO_ROUTE.into()]);
        let logs = self.access_log.iter().cloned();
        logs.map(|log| AccessLog {
            filter: Some(refused.clone()),
            ..log
        })
        .collect()
    }
}

/// What counts for one side of one proxy.
struct Asked<'a> {
    defaults: &'a MeshDefaults,
    telemetry: &'a WorkloadTelemetry,
    options: &'a PlanOptions<'a>,
    side: CallSide,
}

impl Asked<'_> {
    /// By Telemetry and default providers, else by `accessLogFile`, else by who runs the mesh.
    fn access_log(&self, problems: &mut Vec<Problem>) -> Vec<AccessLog> {
        let Some(logs) = self.telemetry.access_logs(self.defaults, self.side) else {
            if let Some((path, format)) = &self.defaults.telemetry.log {
                return vec![line(path, log_format(format), None)];
            }
            let format = self.options.access_log.iter();
            return format
                .map(|format| line(STDOUT, format.clone(), None))
                .collect();
        };
        let mut found = Vec::new();
        for log in logs {
            let filter = log.filter.map(AccessLogFilter::Expression);
            match self.provider(&log.provider).map(|provider| &provider.kind) {
                Some(ProviderKind::FileLog { path, format }) => {
                    found.push(line(path, log_format(format), filter));
                }
                Some(ProviderKind::NotYet(field)) => {
                    let reason = format!(
                        "{}: {field} is not supported yet: it gets no log",
                        log.provider
                    );
                    problems.extend(self.problem("spec.accessLogging", reason));
                }
                Some(_) => {
                    let reason = format!("{} takes no access logs", log.provider);
                    problems.extend(self.problem("spec.accessLogging", reason));
                }
                // A provider that is defined by nobody but named by Istio's own profile.
                None if &*log.provider == "envoy" => {
                    let text = AccessLogFormat::Text(AccessLogFormat::ISTIO_TEXT.into());
                    found.push(line(STDOUT, text, filter));
                }
                None => problems.extend(self.unknown("spec.accessLogging", &log.provider)),
            }
        }
        found
    }

    fn tracing(&self, problems: &mut Vec<Problem>) -> Option<Tracing> {
        let settings = &self.defaults.proxies;
        if self.defaults.telemetry.tracing == Some(false) {
            return None;
        }
        let found = self.telemetry.tracing(self.defaults, self.side);
        let base = self.options.tracing.clone().unwrap_or_default();
        let sampling = found.as_ref().and_then(|found| found.sampling);
        let sampling = sampling
            .or(settings.sampling)
            .map(|share| Fraction::per_million(share.parts()));
        let tags = found.as_ref().and_then(|found| found.tags.as_ref());
        let tags = tags.unwrap_or(&settings.tags).iter();
        let planned = Tracing {
            random_sampling: sampling.unwrap_or(base.random_sampling),
            tags: tags.map(|(name, tag)| span_tag(name, tag)).collect(),
            max_path_tag_length: settings.max_path_tag_length.or(base.max_path_tag_length),
        };
        match found {
            None => self.options.tracing.is_some().then_some(planned),
            Some(found) if found.disabled => None,
            Some(found) => {
                let provider = found.provider.unwrap_or_default();
                let reason =
                    format!("spans are not sent to {provider} yet: traces are begun and passed on");
                problems.extend(self.problem("spec.tracing", reason));
                Some(planned)
            }
        }
    }

    /// The first provider that shows metrics to Prometheus; others are told.
    fn metrics(&self, problems: &mut Vec<Problem>) -> Option<HttpFilter> {
        let mut filter = None;
        let used = self.telemetry.metrics(self.defaults, self.side);
        let policies = &mut self.telemetry.policies.iter();
        if used.is_empty() && policies.any(|policy| !policy.metrics.is_empty()) {
            let reason = "switched off in the plan; proxies of this mesh count every metric still";
            problems.extend(self.problem("spec.metrics", reason));
        }
        for (name, metrics) in used {
            match self.provider(&name).map(|provider| &provider.kind) {
                Some(ProviderKind::Prometheus) if filter.is_none() => {
                    filter = Some(match metrics.changes.is_empty() {
                        true => HttpFilter::IstioStats,
                        false => {
                            let reason = "is planned; proxies of this mesh count every metric \
                                          with its standard tags still";
                            problems.extend(self.problem("spec.metrics", reason));
                            HttpFilter::ChangedStats(settings(metrics))
                        }
                    });
                }
                Some(ProviderKind::Prometheus) => {
                    let reason = format!("{name}: metrics are counted for one provider only");
                    problems.extend(self.problem("spec.metrics", reason));
                }
                Some(ProviderKind::NotYet(field)) => {
                    let reason =
                        format!("{name}: {field} is not supported yet: it gets no metrics");
                    problems.extend(self.problem("spec.metrics", reason));
                }
                Some(_) => {
                    problems
                        .extend(self.problem("spec.metrics", format!("{name} takes no metrics")));
                }
                None => problems.extend(self.unknown("spec.metrics", &name)),
            }
        }
        filter
    }

    fn provider(&self, name: &str) -> Option<&Provider> {
        Provider::named(&self.defaults.telemetry.providers, name)
    }

    fn unknown(&self, field: &str, name: &str) -> Option<Problem> {
        let problem = self.problem(field, format!("there is no provider {name}"));
        problem.map(|problem| problem.advise("define it in extensionProviders of the mesh"))
    }

    /// A problem of the narrowest resource; none where no resource asked.
    fn problem(&self, field: &str, reason: impl Into<String>) -> Option<Problem> {
        let policy = self.telemetry.policies.last()?;
        let problem = Problem::new(Severity::Warning, policy.source.clone(), reason);
        Some(problem.of(policy.reference.clone()).at(field))
    }
}

fn line(path: &str, format: AccessLogFormat, filter: Option<AccessLogFilter>) -> AccessLog {
    AccessLog {
        path: path.into(),
        format,
        filter,
    }
}

fn log_format(format: &LogFormat) -> AccessLogFormat {
    match format {
        LogFormat::Istio => AccessLogFormat::Text(AccessLogFormat::ISTIO_TEXT.into()),
        LogFormat::Text(text) => {
            AccessLogFormat::Text(text.strip_suffix('\n').unwrap_or(text).into())
        }
        LogFormat::Json(Some(values)) => AccessLogFormat::Json(values.clone()),
        LogFormat::Json(None) => {
            let values = AccessLogFormat::ISTIO_JSON.iter();
            let values = values.map(|(key, value)| (String::from(*key), String::from(*value)));
            AccessLogFormat::Json(values.collect())
        }
    }
}

fn span_tag(name: &str, tag: &mesh::SpanTag) -> SpanTag {
    let value = match tag.clone() {
        mesh::SpanTag::Literal(text) => SpanTagValue::Literal(text),
        mesh::SpanTag::Environment { name, default } => SpanTagValue::Environment { name, default },
        mesh::SpanTag::Header { name, default } => SpanTagValue::Header { name, default },
        mesh::SpanTag::Format(text) => SpanTagValue::Format(text),
    };
    SpanTag {
        name: name.into(),
        value,
    }
}

fn settings(metrics: mesh::MetricsUse) -> MetricSettings {
    let changes = metrics.changes.into_iter();
    let changes = changes.map(|(name, change)| {
        let dropped = change.disabled;
        let tags: BTreeMap<_, _> = change
            .tags
            .into_iter()
            .map(|(tag, value)| (tag.to_string(), value))
            .collect();
        (name.to_string(), MetricChange { dropped, tags })
    });
    MetricSettings {
        changes: changes.collect(),
    }
}
