//! When to renew. Pure: time and dice are arguments.

use std::time::{Duration, SystemTime};

use crate::certificate::LeafFacts;

/// When credentials are renewed, and how long to wait after a failure.
///
/// Shares are of the time a certificate was still valid for when it was obtained. Its beginning
/// does not count: authorities put it before the moment of issuing, and the shorter a certificate
/// lives, the more that would matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenewalSchedule {
    /// Renew when this share of that time is over. Istio's `SECRET_GRACE_PERIOD_RATIO`, 0.5.
    pub renew_at: f64,
    /// Move that point by up to this share either way, so that a fleet does not renew at once.
    /// Istio's `SECRET_GRACE_PERIOD_RATIO_JITTER`, 0.01.
    pub jitter: f64,
    /// Wait at least this long between renewals, even of a certificate that has ended.
    pub shortest_wait: Duration,
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
            shortest_wait: Duration::from_secs(1),
            first_retry: Duration::from_millis(500),
            longest_retry: Duration::from_secs(60),
        }
    }
}

impl RenewalSchedule {
    /// When a certificate that was obtained at `obtained` is due for renewal. `dice` is in
    /// `0.0..1.0`.
    pub fn due(&self, facts: &LeafFacts, obtained: SystemTime, dice: f64) -> SystemTime {
        let share = self.renew_at + self.jitter * (2.0 * dice - 1.0);
        let wait = facts.remaining(obtained).mul_f64(share.clamp(0.0, 1.0));
        obtained + wait.max(self.shortest_wait)
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

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn due_at_half_life_give_or_take_a_percent() {
        let obtained = SystemTime::UNIX_EPOCH + 1000 * HOUR;
        let check = |valid_for: i32, dice, want: f64| {
            let facts = LeafFacts {
                serial: String::new(),
                subject: String::new(),
                not_before: obtained - 200 * HOUR,
                not_after: obtained - 200 * HOUR + HOUR * (200 + valid_for).unsigned_abs(),
                uris: Vec::new(),
                dns_names: Vec::new(),
                addresses: Vec::new(),
            };
            let due = RenewalSchedule::default().due(&facts, obtained, dice);
            let wait = due.duration_since(obtained).unwrap();
            assert_eq!(wait, HOUR.mul_f64(want), "valid for {valid_for} h");
        };
        check(100, 0.5, 50.0);
        check(100, 0.0, 49.0);
        check(100, 1.0, 51.0);
        check(0, 0.5, 1.0 / 3600.0);
        check(-100, 0.5, 1.0 / 3600.0);
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
