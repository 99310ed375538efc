use std::time::Duration;

/// A token bucket: so many requests in a span of time, and so many at once after a pause.
///
/// In any stretch of time `t` it lets at most `burst + requests * t / per` requests pass. It counts
/// in parts of requests, without rounding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBucket {
    requests: u32,
    per_ns: u128,
    burst: u32,
    /// What is left, in requests times `per_ns`.
    left: u128,
    /// When it was counted.
    at: Duration,
}

impl TokenBucket {
    /// A full bucket. `per` of zero is taken for a nanosecond.
    pub fn new(requests: u32, per: Duration, burst: u32, now: Duration) -> Self {
        let per_ns = per.as_nanos().max(1);
        Self {
            requests,
            per_ns,
            burst,
            left: u128::from(burst) * per_ns,
            at: now,
        }
    }

    /// Lets a request pass that leaves at least `leaves` requests to others.
    pub fn take(&mut self, now: Duration, leaves: u32) -> bool {
        let passes = self.has(now, leaves);
        if passes {
            self.left -= self.per_ns;
        }
        passes
    }

    /// Whether a request would pass.
    pub fn has(&mut self, now: Duration, leaves: u32) -> bool {
        self.refill(now);
        self.left >= (u128::from(leaves) + 1) * self.per_ns
    }

    /// How many requests are left, rounded down.
    pub fn left(&mut self, now: Duration) -> u32 {
        self.refill(now);
        u32::try_from(self.left / self.per_ns).unwrap_or(u32::MAX)
    }

    /// How long until a request would pass; none if none ever will.
    pub fn wait(&mut self, now: Duration, leaves: u32) -> Option<Duration> {
        self.refill(now);
        let wanted = (u128::from(leaves) + 1) * self.per_ns;
        if wanted > self.full() || self.requests == 0 && self.left < wanted {
            return None;
        }
        let lacking = wanted.saturating_sub(self.left);
        let ns = lacking.div_ceil(u128::from(self.requests.max(1)));
        Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)))
    }

    /// Whether it is full: then nothing of the past matters.
    pub fn is_full(&mut self, now: Duration) -> bool {
        self.refill(now);
        self.left == self.full()
    }

    fn full(&self) -> u128 {
        u128::from(self.burst) * self.per_ns
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_nanos();
        self.at = self.at.max(now);
        let gained = passed.saturating_mul(u128::from(self.requests));
        self.left = self.left.saturating_add(gained).min(self.full());
    }
}
