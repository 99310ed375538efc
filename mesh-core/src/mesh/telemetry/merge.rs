//! What holds for one workload: rules of the mesh, of its namespace and of its own, in this order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    CallSide, MetricNames, MetricsRule, Provider, SpanTag, TelemetryPolicy, TracingRule,
    provider::named,
};
use crate::{
    config::istio::IstioMetric,
    expression::Expression,
    mesh::{MeshDefaults, PerMillion},
    name::{Labels, ResourceRef},
};

/// The Telemetry resources in effect for a workload: of the mesh, its namespace, its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkloadTelemetry {
    /// At most one of each level, the narrowest last.
    pub policies: Vec<Arc<TelemetryPolicy>>,
}

/// One log of a side.
#[derive(Debug, Clone, PartialEq)]
pub struct LogUse {
    /// Who takes it.
    pub provider: Arc<str>,
    /// Only requests for which this holds.
    pub filter: Option<Expression>,
}

/// Spans of a side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TracingUse {
    /// Who takes them; without one none are made.
    pub provider: Option<Arc<str>>,
    /// Make none.
    pub disabled: bool,
    /// The share of requests that start a trace, where a rule says so.
    pub sampling: Option<PerMillion>,
    /// Tags of every span, where a rule says so.
    pub tags: Option<BTreeMap<Arc<str>, SpanTag>>,
}

/// Metrics of a side for one provider: what is changed of them, by metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsUse {
    /// Changes by the metric's name, without `istio_`.
    pub changes: BTreeMap<Arc<str>, MetricUse>,
}

/// What is changed of one metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricUse {
    /// It is not counted.
    pub disabled: bool,
    /// Tags by name: an expression for their value, or none to leave them out.
    pub tags: BTreeMap<Arc<str>, Option<Expression>>,
}

impl IstioMetric {
    /// Every metric but the word for all of them.
    pub const EACH: [Self; 10] = [
        Self::RequestCount,
        Self::RequestDuration,
        Self::RequestSize,
        Self::ResponseSize,
        Self::TcpOpenedConnections,
        Self::TcpClosedConnections,
        Self::TcpSentBytes,
        Self::TcpReceivedBytes,
        Self::GrpcRequestMessages,
        Self::GrpcResponseMessages,
    ];

    /// What Prometheus calls it, without `istio_`.
    pub fn series(self) -> &'static str {
        match self {
            Self::AllMetrics => "",
            Self::RequestCount => "requests_total",
            Self::RequestDuration => "request_duration_milliseconds",
            Self::RequestSize => "request_bytes",
            Self::ResponseSize => "response_bytes",
            Self::TcpOpenedConnections => "tcp_connections_opened_total",
            Self::TcpClosedConnections => "tcp_connections_closed_total",
            Self::TcpSentBytes => "tcp_sent_bytes_total",
            Self::TcpReceivedBytes => "tcp_received_bytes_total",
            Self::GrpcRequestMessages => "request_messages_total",
            Self::GrpcResponseMessages => "response_messages_total",
        }
    }
}

/// Chooses the resources for a workload. `policies` come oldest first.
pub(in crate::mesh) fn in_effect(
    policies: &[Arc<TelemetryPolicy>],
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> WorkloadTelemetry {
    let wide = |wanted: &str| {
        let mut all = policies.iter();
        all.find(|policy| *policy.reference.namespace == *wanted && policy.selector.is_none())
    };
    let own = (namespace != root_namespace).then(|| wide(namespace));
    let narrow = policies.iter().find(|policy| {
        let selector = policy.selector.as_ref();
        *policy.reference.namespace == *namespace
            && selector.is_some_and(|selector| selector.matches(labels))
    });
    let found = [wide(root_namespace), own.flatten(), narrow];
    WorkloadTelemetry {
        policies: found.into_iter().flatten().cloned().collect(),
    }
}

impl WorkloadTelemetry {
    /// The logs of a side, by provider. None if neither a resource nor the mesh's default
    /// providers say anything, and the mesh's older settings count.
    pub fn access_logs(&self, defaults: &MeshDefaults, side: CallSide) -> Option<Vec<LogUse>> {
        let fallback = &defaults.telemetry.default_logs;
        let levels: Vec<_> = self
            .policies
            .iter()
            .map(|policy| &policy.access_logs)
            .filter(|rules| !rules.is_empty())
            .collect();
        if levels.is_empty() && fallback.is_empty() {
            return None;
        }
        let mut logs: BTreeMap<Arc<str>, Option<Expression>> = BTreeMap::new();
        if levels.is_empty() {
            logs.extend(fallback.iter().map(|name| (name.clone(), None)));
        }
        // The narrowest level that names providers says who takes logs at all; of several rules
        // for one provider the last one's filter counts.
        let mut in_scope: BTreeSet<Arc<str>> = fallback.iter().cloned().collect();
        let mut filters: BTreeMap<Arc<str>, Option<Expression>> = BTreeMap::new();
        for level in &levels {
            let named: BTreeSet<_> = level.iter().flat_map(|rule| &rule.providers).collect();
            if !named.is_empty() {
                in_scope = named.into_iter().cloned().collect();
            }
            for rule in *level {
                let named = rule.providers.iter();
                filters.extend(named.map(|name| (name.clone(), rule.filter.clone())));
            }
        }
        let mut providers: Vec<Arc<str>> = fallback.clone();
        for rule in levels.into_iter().flatten() {
            if !rule.providers.is_empty() {
                providers.clone_from(&rule.providers);
            }
            for name in providers.iter().filter(|name| in_scope.contains(*name)) {
                match (rule.sides.include(side), rule.disabled) {
                    (false, _) => {}
                    (true, true) => drop(logs.remove(name)),
                    (true, false) => {
                        let filter = filters.get(name).cloned().flatten();
                        logs.insert(name.clone(), filter.or_else(|| rule.filter.clone()));
                    }
                }
            }
        }
        let logs = logs.into_iter();
        Some(
            logs.map(|(provider, filter)| LogUse { provider, filter })
                .collect(),
        )
    }

    /// Spans of a side. None if neither a resource nor the mesh's default providers say anything,
    /// and the mesh's older settings count.
    pub fn tracing(&self, defaults: &MeshDefaults, side: CallSide) -> Option<TracingUse> {
        let fallback = defaults.telemetry.default_tracing.first();
        let rules: Vec<&TracingRule> = self.policies.iter().flat_map(|p| &p.tracing).collect();
        if rules.is_empty() && fallback.is_none() {
            return None;
        }
        let mut found = TracingUse {
            provider: fallback.cloned(),
            ..TracingUse::default()
        };
        for rule in rules.into_iter().filter(|rule| rule.sides.include(side)) {
            if let Some(first) = rule.providers.first() {
                found.provider = Some(first.clone());
            }
            found.disabled = rule.disabled.unwrap_or(found.disabled);
            found.sampling = rule.sampling.or(found.sampling);
            if rule.tags.is_some() {
                found.tags.clone_from(&rule.tags);
            }
        }
        let provider = found.provider.take();
        let known = provider.filter(|name| named(&defaults.telemetry.providers, name).is_some());
        found.disabled |= known.is_none();
        found.provider = known;
        Some(found)
    }

    /// Metrics of a side, by provider. One that is not in it gets none.
    pub fn metrics(
        &self,
        defaults: &MeshDefaults,
        side: CallSide,
    ) -> BTreeMap<Arc<str>, MetricsUse> {
        let fallback = &defaults.telemetry.default_metrics;
        let rules: Vec<&MetricsRule> = self.policies.iter().flat_map(|p| &p.metrics).collect();
        let mut found: BTreeMap<Arc<str>, MetricsUse> = BTreeMap::new();
        if rules.is_empty() {
            found.extend(
                fallback
                    .iter()
                    .map(|name| (name.clone(), Default::default())),
            );
        }
        let named = rules.iter().rev().find(|rule| !rule.providers.is_empty());
        let in_scope = named.map_or(fallback, |rule| &rule.providers).clone();
        let mut off: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut providers = fallback.clone();
        for rule in rules {
            if !rule.providers.is_empty() {
                providers.clone_from(&rule.providers);
            }
            for name in providers.iter().filter(|name| in_scope.contains(name)) {
                let metrics = found.entry(name.clone()).or_default();
                for change in &rule.changes {
                    // Whatever is said later switches them on again, as in Istio.
                    if change.metrics == MetricNames::All && change.disabled == Some(true) {
                        off.insert(name.clone());
                        continue;
                    }
                    off.remove(name);
                    if change.sides.include(side) {
                        metrics.apply(change);
                    }
                }
            }
        }
        found.retain(|name, _| !off.contains(name));
        found
    }

    /// The narrowest resource, for problems of the whole.
    pub fn origin(&self) -> Option<&ResourceRef> {
        self.policies.last().map(|policy| &policy.reference)
    }
}

impl MetricsUse {
    fn apply(&mut self, change: &super::MetricsChange) {
        let names: Vec<Arc<str>> = match &change.metrics {
            MetricNames::Any | MetricNames::All => IstioMetric::EACH
                .iter()
                .map(|metric| metric.series().into())
                .collect(),
            MetricNames::Istio(metric) => vec![metric.series().into()],
            MetricNames::Custom(name) => vec![name.clone()],
        };
        for name in names {
            let found = self.changes.entry(name).or_default();
            found.disabled = change.disabled.unwrap_or(found.disabled);
            let tags = change.tags.iter();
            found.tags.extend(tags.map(|(k, v)| (k.clone(), v.clone())));
        }
    }
}

impl Provider {
    /// The provider of this name, without regard to case.
    pub fn named<'a>(all: &'a [Self], name: &str) -> Option<&'a Self> {
        named(all, name)
    }
}
