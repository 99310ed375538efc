use std::num::NonZeroU32;

use mesh_core::dataplane::RateLimit;

/// The part of a limit that each of so many counters side by side has. Together they let as many
/// requests pass in the long run; at once, as many more as rounding up makes: fewer than there are
/// counters.
pub(super) fn part_of(limit: &RateLimit, counters: NonZeroU32) -> RateLimit {
    let counters = counters.get();
    let mut part = limit.clone();
    // Rounded down, a counter could be left with nothing, and its callers with none for ever.
    part.burst = limit.burst.div_ceil(counters);
    if limit.is_quota || limit.requests.is_multiple_of(counters) {
        part.requests = limit.requests.div_ceil(counters);
    } else {
        // As many in a longer time are the same rate, without rounding.
        part.per = limit.per.saturating_mul(counters);
    }
    part
}
