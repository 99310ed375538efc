//! When to renew. Pure: time and dice are arguments.

use std::time::{Duration, SystemTime};

use crate::certificate::LeafFacts;

/// When credentials are renewed, and how long to wait after a failure.
///
/// Durations are as written; shares are of a certificate's lifetime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenewalSchedule {
    /// Renew when this share of the lifetime is over. Istio's `SECRET_GRACE_PERIOD_RATIO`, 0.5.
    pub renew_at: f64,
    /// Move that point by up to this share either way, so that a fleet does not renew at once.
    /// Istio's `SECRET_GRACE_PERIOD_RATIO_JITTER`, 0.01.
    pub jitter: f64,
    /// Wait this long after the first failure; twice as long after each further one.
    pub first_retry: Duration,
    /// Never wait longer than this after a failure.
    pub longest_retry: Duration,
}

impl Default for RenewalSchedule {
    fn default() -> Self {
        Self {
            renew_at: 0.5,
            jitter: 0.01,
            first_retry: Duration::from_millis(500),
            longest_retry: Duration::from_secs(60),
        }
    }
}

impl RenewalSchedule {
    /// When a certificate is due for renewal. `dice` is in `0.0..1.0`.
    pub fn due(&self, facts: &LeafFacts, dice: f64) -> SystemTime {
        let share = self.renew_at + self.jitter * (2.0 * dice - 1.0);
        let age = facts.lifetime().mul_f64(share.clamp(0.0, 1.0));
        facts.not_before + age
    }

    /// How long to wait after the given number of failures in a row (1 is the first).
    /// `dice` is in `0.0..1.0` and shortens the wait by up to a quarter.
    pub fn retry_after(&self, failures: u32, dice: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let wait = self.first_retry.saturating_mul(1 << doublings);
        wait.min(self.longest_retry).mul_f64(1.0 - 0.25 * dice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid_for(hours: u64) -> LeafFacts {
        LeafFacts {
            serial: String::new(),
            subject: String::new(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3600),
            uris: Vec::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn due_at_half_life_give_or_take_a_percent() {
        let check = |dice, minutes| {
            let due = RenewalSchedule::default().due(&valid_for(100), dice);
            let age = due.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!((age.as_secs_f64() / 60.0).round(), minutes);
        };
        check(0.5, 50.0 * 60.0);
        check(0.0, 49.0 * 60.0);
        check(1.0, 51.0 * 60.0);
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let check = |failures, dice, want| {
            let wait = RenewalSchedule::default().retry_after(failures, dice);
            assert_eq!(wait, Duration::from_millis(want), "{failures} failures");
        };
        check(1, 0.0, 500);
        check(2, 0.0, 1_000);
        check(3, 0.0, 2_000);
        check(3, 1.0, 1_500);
        check(8, 0.0, 60_000);
        check(u32::MAX, 0.0, 60_000);
    }
}
