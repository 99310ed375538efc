//! Changes of Istio's metrics ⇄ `stats.PluginConfig`.

use mesh_core::{
    dataplane::{HttpFilter, MetricChange, MetricSettings},
    expression::Expression,
};

use super::{any::unpack, reader::Reader};
use crate::proto::{MetricConfig, PluginConfig, wkt};

pub(super) fn plugin(settings: &MetricSettings) -> PluginConfig {
    let metrics = settings.changes.iter().map(|(name, change)| {
        let tags = change.tags.iter();
        let value = |(tag, value): (&String, &Option<Expression>)| {
            Some((tag.clone(), value.as_ref()?.text().to_owned()))
        };
        let removed = change.tags.iter().filter(|(_, value)| value.is_none());
        MetricConfig {
            name: name.clone(),
            dimensions: tags.filter_map(value).collect(),
            tags_to_remove: removed.map(|(tag, _)| tag.clone()).collect(),
            drop: change.dropped,
            ..MetricConfig::default()
        }
    });
    PluginConfig {
        metrics: metrics.collect(),
        ..PluginConfig::default()
    }
}

/// What is not understood is left out: nothing but a metric is otherwise.
pub(super) fn read(r: &mut Reader, any: &wkt::Any) -> Option<HttpFilter> {
    let wire: PluginConfig = unpack(r, any)?;
    let mut settings = MetricSettings::default();
    for (index, wire) in wire.metrics.into_iter().enumerate() {
        r.within(format!("metrics[{index}]"), |r| {
            let mut change = MetricChange {
                dropped: wire.drop,
                ..MetricChange::default()
            };
            if !wire.r#match.is_empty() {
                r.ignore("match", "is not supported");
            }
            let mut dimensions: Vec<_> = wire.dimensions.into_iter().collect();
            dimensions.sort();
            for (tag, text) in dimensions {
                match Expression::parse(&text) {
                    Ok(expression) => drop(change.tags.insert(tag, Some(expression))),
                    Err(error) => r.ignore(&format!("dimensions.{tag}"), error.to_string()),
                }
            }
            let removed = wire.tags_to_remove.into_iter();
            change.tags.extend(removed.map(|tag| (tag, None)));
            settings.changes.insert(wire.name, change);
        });
    }
    Some(match settings.changes.is_empty() {
        true => HttpFilter::IstioStats,
        false => HttpFilter::ChangedStats(settings),
    })
}
