//! What is recorded of traffic: what Telemetry resources and the mesh's providers mean.
//!
//! Of each level (mesh, namespace, workload) the oldest resource counts. What a level does not say
//! it takes from the level above: providers and sampling as they are, tags of spans as a whole,
//! changes of metrics tag by tag.

mod defaults;
mod lower;
mod merge;
mod provider;

pub use defaults::TelemetryDefaults;
pub(super) use lower::{custom_tags, telemetry_policy};
pub(super) use merge::in_effect;
pub use merge::{LogUse, MetricUse, MetricsUse, TracingUse, WorkloadTelemetry};
pub use provider::{LogFormat, Provider, ProviderKind};

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::{Source, istio::IstioMetric},
    expression::Expression,
    mesh::PerMillion,
    name::{ResourceRef, Selector},
};

/// What a Telemetry means.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryPolicy {
    /// The Telemetry.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// The workloads; none for all of the namespace, or of the mesh in the root namespace.
    pub selector: Option<Selector>,
    /// Spans.
    pub tracing: Vec<TracingRule>,
    /// Metrics.
    pub metrics: Vec<MetricsRule>,
    /// Access logs.
    pub access_logs: Vec<LogRule>,
}

/// Which side of a call a workload is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallSide {
    /// It calls, or stands at the edge.
    Client,
    /// It is called.
    Server,
}

/// Which sides of calls a rule is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sides {
    /// Both.
    #[default]
    Both,
    /// One.
    Only(CallSide),
}

/// A rule on spans. What it does not say is left as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TracingRule {
    /// For which sides.
    pub sides: Sides,
    /// Who takes them, by name; empty leaves it.
    pub providers: Vec<Arc<str>>,
    /// The share of requests that start a trace.
    pub sampling: Option<PerMillion>,
    /// Take none.
    pub disabled: Option<bool>,
    /// Tags of every span, in place of all tags before.
    pub tags: Option<BTreeMap<Arc<str>, SpanTag>>,
}

/// Where a tag of a span comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanTag {
    /// This text.
    Literal(String),
    /// A variable of the proxy's environment, or this text.
    Environment {
        /// The variable.
        name: String,
        /// Where there is none.
        default: String,
    },
    /// A request's header, or this text.
    Header {
        /// Its name.
        name: String,
        /// Where there is none.
        default: String,
    },
    /// A text with `%COMMAND%` operators.
    Format(String),
}

/// A rule on metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsRule {
    /// Who takes them, by name; empty for those of the level above.
    pub providers: Vec<Arc<str>>,
    /// Changes, in order.
    pub changes: Vec<MetricsChange>,
}

/// A change of some metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsChange {
    /// Which metrics.
    pub metrics: MetricNames,
    /// For which sides.
    pub sides: Sides,
    /// Do not count them.
    pub disabled: Option<bool>,
    /// Tags by name: an expression for their value, or none to leave them out.
    pub tags: BTreeMap<Arc<str>, Option<Expression>>,
}

/// Which metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricNames {
    /// Every one of Istio's: what is said without a match.
    Any,
    /// Every one of Istio's, by `ALL_METRICS`: switched off so, none is counted at all.
    All,
    /// One of Istio's.
    Istio(IstioMetric),
    /// Another, by name.
    Custom(Arc<str>),
}

/// A rule on access logs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogRule {
    /// For which sides.
    pub sides: Sides,
    /// Who takes them, by name; empty for those of the level above.
    pub providers: Vec<Arc<str>>,
    /// Log nothing.
    pub disabled: bool,
    /// Only requests for which this holds.
    pub filter: Option<Expression>,
}

impl Sides {
    /// Whether a rule for these is for this one.
    pub fn include(self, side: CallSide) -> bool {
        self == Self::Both || self == Self::Only(side)
    }
}
