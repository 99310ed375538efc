//! What one Telemetry means by itself.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    CallSide, LogRule, MetricNames, MetricsChange, MetricsRule, Sides, SpanTag, TelemetryPolicy,
    TracingRule,
};
use crate::{
    config::{
        Problem, Resource,
        istio::{self, IstioMetric, TagOperation, WorkloadMode},
    },
    expression::{Attribute, Expression, ExpressionError},
    mesh::findings::Findings,
};

/// What a Telemetry means.
pub(in crate::mesh) fn telemetry_policy(
    resource: &Resource,
    written: &istio::Telemetry,
) -> (Option<TelemetryPolicy>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let selector = written.selector.as_ref().map(|s| s.match_labels.clone());
    let policy = TelemetryPolicy {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        selector: selector.filter(|selector| !selector.is_empty()),
        tracing: each(&mut findings, "spec.tracing", &written.tracing, tracing),
        metrics: each(&mut findings, "spec.metrics", &written.metrics, metrics),
        access_logs: each(
            &mut findings,
            "spec.accessLogging",
            &written.access_logging,
            access_log,
        ),
    };
    if policy.tracing.is_empty() && policy.metrics.is_empty() && policy.access_logs.is_empty() {
        findings.warn("spec", "says nothing of tracing, metrics or accessLogging");
        findings.advise("without it the same is in effect");
    }
    findings.conclude(policy)
}

fn each<'r, W, T>(
    findings: &mut Findings<'r>,
    field: &str,
    written: &[W],
    lower: fn(&mut Findings<'r>, &str, &W) -> T,
) -> Vec<T> {
    let each = written.iter().enumerate();
    each.map(|(i, written)| lower(findings, &format!("{field}[{i}]"), written))
        .collect()
}

fn sides(mode: WorkloadMode) -> Sides {
    match mode {
        WorkloadMode::ClientAndServer => Sides::Both,
        WorkloadMode::Client => Sides::Only(CallSide::Client),
        WorkloadMode::Server => Sides::Only(CallSide::Server),
    }
}

fn names(written: &[istio::ProviderRef]) -> Vec<Arc<str>> {
    let names = written.iter();
    names
        .map(|provider| provider.name.as_str().into())
        .collect()
}

fn tracing(findings: &mut Findings<'_>, field: &str, written: &istio::Tracing) -> TracingRule {
    if written.providers.len() > 1 {
        findings.warn(
            &format!("{field}.providers"),
            "only the first takes spans: Istio supports one",
        );
    }
    if written.use_request_id_for_trace_sampling == Some(false) {
        findings.warn(
            &format!("{field}.useRequestIdForTraceSampling"),
            "is not honoured yet: whether a request is traced follows from its trace context alone",
        );
    }
    if written.enable_istio_tags == Some(false) {
        findings.warn(&format!("{field}.enableIstioTags"), "is not honoured yet");
    }
    let sampling = written.random_sampling_percentage;
    let tags = written.custom_tags.as_ref();
    TracingRule {
        sides: sides(written.matches.clone().unwrap_or_default().mode),
        providers: names(&written.providers),
        sampling: sampling
            .map(|share| findings.percent(&format!("{field}.randomSamplingPercentage"), share)),
        disabled: written.disable_span_reporting,
        tags: tags.map(|tags| {
            let (tags, wrong) = custom_tags(tags);
            for (name, reason) in wrong {
                findings.error(&format!("{field}.customTags.{name}"), reason);
            }
            tags
        }),
    }
}

/// Tags by name.
type SpanTags = BTreeMap<Arc<str>, SpanTag>;

/// What tags of spans mean, with what is wrong with some, by name.
pub(in crate::mesh) fn custom_tags(
    written: &BTreeMap<String, istio::CustomTag>,
) -> (SpanTags, Vec<(String, String)>) {
    let mut tags = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, tag) in written {
        let kinds = [
            tag.literal
                .as_ref()
                .map(|tag| SpanTag::Literal(tag.value.clone())),
            tag.environment.as_ref().map(|tag| SpanTag::Environment {
                name: tag.name.clone(),
                default: tag.default_value.clone(),
            }),
            tag.header.as_ref().map(|tag| SpanTag::Header {
                name: tag.name.to_ascii_lowercase(),
                default: tag.default_value.clone(),
            }),
            tag.formatter
                .as_ref()
                .map(|tag| SpanTag::Format(tag.value.clone())),
        ];
        let mut kinds = kinds.into_iter().flatten();
        match (kinds.next(), kinds.next()) {
            (Some(tag), None) => {
                tags.insert(name.as_str().into(), tag);
            }
            (None, _) => wrong.push((
                name.clone(),
                "needs one of literal, environment, header, formatter".to_owned(),
            )),
            (Some(_), Some(_)) => {
                wrong.push((name.clone(), "has more than one source".to_owned()));
            }
        }
    }
    (tags, wrong)
}

fn metrics(findings: &mut Findings<'_>, field: &str, written: &istio::Metrics) -> MetricsRule {
    MetricsRule {
        providers: names(&written.providers),
        changes: each(
            findings,
            &format!("{field}.overrides"),
            &written.overrides,
            metrics_change,
        ),
    }
}

fn metrics_change(
    findings: &mut Findings<'_>,
    field: &str,
    written: &istio::MetricsOverride,
) -> MetricsChange {
    let matches = written.matches.clone().unwrap_or_default();
    if matches.metric.is_some() && matches.custom_metric.is_some() {
        let reason = "metric and customMetric cannot both be given";
        findings.error(&format!("{field}.match"), reason);
    }
    let metrics = match (matches.metric, matches.custom_metric) {
        (_, Some(name)) => MetricNames::Custom(name.into()),
        (Some(IstioMetric::AllMetrics), None) => MetricNames::All,
        (Some(metric), None) => MetricNames::Istio(metric),
        (None, None) => MetricNames::Any,
    };
    let mut tags = BTreeMap::new();
    for (name, tag) in &written.tag_overrides {
        let place = format!("{field}.tagOverrides.{name}");
        let value = match tag.operation {
            TagOperation::Remove if !tag.value.is_empty() => {
                findings.error(&format!("{place}.value"), "REMOVE takes no value");
                None
            }
            TagOperation::Remove => None,
            TagOperation::Upsert => {
                let place = format!("{place}.value");
                expression(findings, &place, Expression::parse(&tag.value))
            }
        };
        tags.insert(name.as_str().into(), value);
    }
    MetricsChange {
        metrics,
        sides: sides(matches.mode),
        disabled: written.disabled,
        tags,
    }
}

fn access_log(findings: &mut Findings<'_>, field: &str, written: &istio::AccessLogging) -> LogRule {
    let filter = written.filter.as_ref().and_then(|filter| {
        let place = format!("{field}.filter.expression");
        let parsed = Expression::parse_condition(&filter.expression);
        let condition = expression(findings, &place, parsed)?;
        // Logging nothing without a word would be found out when a log is needed.
        if let Some(unknown) = condition.unknown_to(Attribute::is_logged) {
            let name = unknown.name();
            findings.error(&place, format!("{name} is not kept for logs yet"));
        }
        Some(condition)
    });
    LogRule {
        sides: sides(written.matches.clone().unwrap_or_default().mode),
        providers: names(&written.providers),
        disabled: written.disabled == Some(true),
        filter,
    }
}

fn expression(
    findings: &mut Findings<'_>,
    field: &str,
    parsed: Result<Expression, ExpressionError>,
) -> Option<Expression> {
    match parsed {
        Ok(expression) => Some(expression),
        Err(error) => {
            findings.error(field, error.to_string());
            None
        }
    }
}
