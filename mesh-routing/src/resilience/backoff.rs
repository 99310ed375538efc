use std::time::Duration;

use mesh_core::dataplane::Backoff;

use crate::dice::{Purpose, scale};

/// The wait before a retry, the first being number one: uniform between zero and the smaller of
/// `base * (2^retry - 1)` and the maximum ("full jitter", as in Envoy).
pub fn backoff(backoff: &Backoff, retry: u32, seed: u64) -> Duration {
    let factor = 1_u32.checked_shl(retry).map_or(u32::MAX, |power| power - 1);
    let bound = backoff.base.saturating_mul(factor).min(backoff.max);
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(scale(Purpose::Backoff(retry).draw(seed), nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let policy = Backoff::default();
        for (retry, bound_ms) in [
            (1, 25),
            (2, 75),
            (3, 175),
            (4, 250),
            (31, 250),
            (32, 250),
            (99, 250),
        ] {
            let longest = (0..5_000)
                .map(|seed| backoff(&policy, retry, seed))
                .max()
                .unwrap();
            let bound = Duration::from_millis(bound_ms);
            assert!(
                longest < bound && longest > bound.mul_f64(0.99),
                "{retry} {longest:?}"
            );
        }
        let none = Backoff {
            base: Duration::ZERO,
            max: Duration::ZERO,
        };
        assert_eq!(backoff(&none, 3, 1), Duration::ZERO);
    }
}
