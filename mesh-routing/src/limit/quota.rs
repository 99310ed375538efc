use std::time::Duration;

/// So many requests in a span of time, counted anew from the first request after each span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    requests: u32,
    per: Duration,
    used: u32,
    /// When the span in use began; none before a first request.
    since: Option<Duration>,
}

impl Quota {
    /// Nothing used yet.
    pub fn new(requests: u32, per: Duration) -> Self {
        Self {
            requests,
            per,
            used: 0,
            since: None,
        }
    }

    /// Whether a request would pass that leaves at least `leaves` requests to others.
    pub fn has(&mut self, now: Duration, leaves: u32) -> bool {
        self.turn(now);
        u64::from(self.used) + u64::from(leaves) < u64::from(self.requests)
    }

    /// Lets a request pass.
    pub fn take(&mut self, now: Duration, leaves: u32) -> bool {
        let passes = self.has(now, leaves);
        if passes {
            self.used += 1;
            self.since.get_or_insert(now);
        }
        passes
    }

    /// How many requests are left.
    pub fn left(&mut self, now: Duration) -> u32 {
        self.turn(now);
        self.requests - self.used
    }

    /// How long until a request would pass; none if none ever will.
    pub fn wait(&mut self, now: Duration, leaves: u32) -> Option<Duration> {
        if leaves >= self.requests {
            return None;
        }
        if self.has(now, leaves) {
            return Some(Duration::ZERO);
        }
        let since = self.since?;
        Some((since + self.per).saturating_sub(now))
    }

    /// Whether nothing of the past matters.
    pub fn is_full(&mut self, now: Duration) -> bool {
        self.turn(now);
        self.used == 0
    }

    fn turn(&mut self, now: Duration) {
        if self.since.is_some_and(|since| now >= since + self.per) {
            self.used = 0;
            self.since = None;
        }
    }
}
