use std::time::Duration;

use mesh_core::dataplane::OutlierDetection;

use super::Outcome;
use crate::EndpointIndex;

/// Who of a cluster's instances is left out for a while. Times are measured from any fixed start.
///
/// ```text
///            failures in a row, room left
///   in use ───────────────────────────────▶ ejected (base × times)
///     ▲                                        │
///     └──────── time is over, at a sweep ──────┘
/// ```
#[derive(Debug)]
pub struct OutlierDetector {
    settings: OutlierDetection,
    instances: Vec<Record>,
    ejected: usize,
    next_sweep: Duration,
}

#[derive(Debug, Clone, Default)]
struct Record {
    server_errors: u32,
    gateway_errors: u32,
    local_failures: u32,
    /// How often it was ejected; sinks while it behaves.
    times: u32,
    until: Option<Duration>,
}

/// Why an instance is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ejection {
    /// 5xx in a row.
    ServerErrors,
    /// 502, 503 or 504 in a row.
    GatewayErrors,
    /// Failures to reach it in a row.
    LocalFailures,
}

impl OutlierDetector {
    /// The longest an instance is left out, as in Envoy, unless the first time is longer already.
    pub const MAX_EJECTION: Duration = Duration::from_secs(300);

    /// A detector for so many instances, all in use.
    pub fn new(settings: OutlierDetection, instances: usize) -> Self {
        Self {
            settings,
            instances: vec![Record::default(); instances],
            ejected: 0,
            next_sweep: Duration::ZERO,
        }
    }

    /// A detector that goes on where another stopped, for instances that stood at these positions
    /// of its own, if at all (see [`Balancer::positions_in`](crate::Balancer::positions_in)).
    pub fn carried(&self, settings: OutlierDetection, from: &[Option<EndpointIndex>]) -> Self {
        let before = |position: &Option<EndpointIndex>| {
            let record = self.instances.get((*position)?.0 as usize);
            record.cloned()
        };
        let instances: Vec<Record> = from
            .iter()
            .map(|position| before(position).unwrap_or_default())
            .collect();
        Self {
            settings,
            ejected: instances
                .iter()
                .filter(|record| record.is_ejected())
                .count(),
            instances,
            next_sweep: self.next_sweep,
        }
    }

    /// Takes note of how an attempt ended, and says whether that ejects the instance.
    pub fn record(
        &mut self,
        instance: EndpointIndex,
        outcome: &Outcome,
        now: Duration,
    ) -> Option<Ejection> {
        let settings = self.settings;
        let record = self.instances.get_mut(instance.0 as usize)?;
        let reason = record.count(outcome, &settings)?;
        if record.is_ejected() || !self.has_room() {
            return None;
        }
        let record = &mut self.instances[instance.0 as usize];
        record.times += 1;
        let longest = Self::MAX_EJECTION.max(settings.base_ejection);
        let time = settings
            .base_ejection
            .saturating_mul(record.times)
            .min(longest);
        record.until = Some(now.saturating_add(time));
        self.ejected += 1;
        Some(reason)
    }

    /// Lets instances back whose time is over, calling `returned` for each. Does something once per
    /// interval at most; call it as often as convenient.
    pub fn sweep(&mut self, now: Duration, mut returned: impl FnMut(EndpointIndex)) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now.saturating_add(self.settings.interval);
        for (index, record) in (0..).map(EndpointIndex).zip(&mut self.instances) {
            match record.until {
                Some(until) if until <= now => {
                    record.until = None;
                    self.ejected -= 1;
                    returned(index);
                }
                Some(_) => {}
                None => record.times = record.times.saturating_sub(1),
            }
        }
    }

    /// Whether an instance is left out.
    pub fn is_ejected(&self, instance: EndpointIndex) -> bool {
        self.instances
            .get(instance.0 as usize)
            .is_some_and(Record::is_ejected)
    }

    /// How many are left out.
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    /// One may always be left out, as in Envoy, unless the limit is zero.
    fn has_room(&self) -> bool {
        let most = self.instances.len() * usize::from(self.settings.max_ejection_percent) / 100;
        let most = most.max(usize::from(self.settings.max_ejection_percent > 0));
        self.ejected < most
    }
}

impl Record {
    fn is_ejected(&self) -> bool {
        self.until.is_some()
    }

    /// Failures to reach an instance count as gateway errors unless they are counted apart.
    fn count(&mut self, outcome: &Outcome, settings: &OutlierDetection) -> Option<Ejection> {
        let local = outcome.is_local_origin_failure();
        let apart = local && settings.split_local_origin;
        let answered = matches!(outcome, Outcome::Response { .. });
        if !local && !answered {
            return None;
        }
        if answered || apart {
            bump(&mut self.local_failures, apart);
        }
        if !apart {
            bump(&mut self.server_errors, local || outcome.is_server_error());
            bump(
                &mut self.gateway_errors,
                local || outcome.is_gateway_error(),
            );
        }
        let reached = |count: u32, limit: u32| limit > 0 && count >= limit;
        let reason = if reached(self.server_errors, settings.consecutive_5xx) {
            Ejection::ServerErrors
        } else if reached(self.gateway_errors, settings.consecutive_gateway_errors) {
            Ejection::GatewayErrors
        } else if reached(
            self.local_failures,
            settings.consecutive_local_origin_failures,
        ) {
            Ejection::LocalFailures
        } else {
            return None;
        };
        (self.server_errors, self.gateway_errors, self.local_failures) = (0, 0, 0);
        Some(reason)
    }
}

/// Counts failures in a row.
fn bump(count: &mut u32, failed: bool) {
    *count = if failed { count.saturating_add(1) } else { 0 };
}
