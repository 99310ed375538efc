//! What Istio's metrics filter is told (`stats.PluginConfig`), which no crate of Envoy's types has.

use std::collections::HashMap;

use prost::{Message, Name};

/// Settings of Istio's metrics filter, as far as they are used.
#[derive(Clone, PartialEq, Message)]
pub struct PluginConfig {
    /// Do not take the host asked for as the destination.
    #[prost(bool, tag = "6")]
    pub disable_host_header_fallback: bool,
    /// Changes of metrics.
    #[prost(message, repeated, tag = "8")]
    pub metrics: Vec<MetricConfig>,
}

/// A change of one metric, or of all.
#[derive(Clone, PartialEq, Message)]
pub struct MetricConfig {
    /// Expressions by tag.
    #[prost(map = "string, string", tag = "1")]
    pub dimensions: HashMap<String, String>,
    /// The metric; empty for all.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Tags to leave out.
    #[prost(string, repeated, tag = "3")]
    pub tags_to_remove: Vec<String>,
    /// Not implemented by Istio.
    #[prost(string, tag = "4")]
    pub r#match: String,
    /// Do not count it.
    #[prost(bool, tag = "5")]
    pub drop: bool,
}

impl Name for PluginConfig {
    const PACKAGE: &'static str = "stats";
    const NAME: &'static str = "PluginConfig";
}
