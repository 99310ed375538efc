use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use mesh_core::dataplane::{Name, Origin, RateLimit, RateLimitFilter};

use super::{
    FairShare, LimitRequest, Quota, TokenBucket,
    descriptors::{Found, Key},
    part::part_of,
};
use crate::{CompileError, compile_error::compile_all};

/// The most counts that one limit keeps apart. Beyond them those of which nothing of the past
/// matters are forgotten; if there are none, what is new shares one count.
pub const MAX_COUNTS: usize = 10_000;

/// After looking for counts to forget, none are looked for again for so long: looking takes longer
/// than answering.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);

/// The longest round of a fair share.
const LONGEST_ROUND: Duration = Duration::from_secs(10);

/// The limits of one filter with their counts, ready to ask.
///
/// It is one counter: who runs several side by side lets as many times the limits pass.
#[derive(Debug)]
pub struct RateLimiter {
    limits: Box<[Limit]>,
    origin: Option<Origin>,
    is_dry_run: bool,
}

/// What limits say of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitVerdict {
    /// It passes. What is left is of the limit that has the least left; none if no limit is for it.
    Pass(Option<Allowance>),
    /// It is beyond this limit.
    Limited(Allowance),
    /// It would be, were the limits in force: it passes.
    WouldBeLimited(Allowance),
}

/// Where a request stands with a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The limit.
    pub limit: Name,
    /// The resource that asked for it.
    pub origin: Option<Origin>,
    /// How many requests in [`Self::per`].
    pub requests: u32,
    /// The limit's span of time.
    pub per: Duration,
    /// How many more would pass now.
    pub left: u32,
    /// How long until one more passes; zero where it does now, none where none ever will.
    pub wait: Option<Duration>,
}

#[derive(Debug)]
struct Limit {
    name: Name,
    /// As written: what callers are told.
    requests: u32,
    per: Duration,
    /// What this counter has of it.
    planned: RateLimit,
    matches: Box<[Found]>,
    keys: Box<[Key]>,
    fair_share: Option<Key>,
    priorities: Box<[(Box<[Found]>, u32)]>,
    counts: HashMap<String, Count>,
    /// When to look for counts to forget at the earliest.
    sweeps_from: Duration,
}

#[derive(Debug)]
struct Count {
    stream: Stream,
    shares: Option<FairShare<String>>,
}

#[derive(Debug)]
enum Stream {
    Bucket(TokenBucket),
    Quota(Quota),
}

/// What a limit found out about a request before any count is changed.
struct Asked {
    limit: usize,
    count: String,
    sharer: Option<String>,
    leaves: u32,
}

impl RateLimiter {
    /// Prepares a filter's limits. Refuses bad patterns, naming the limit.
    pub fn compile(filter: &RateLimitFilter) -> Result<Self, CompileError> {
        Self::compile_part(filter, NonZeroU32::MIN)
    }

    /// Prepares what one of so many counters side by side has of a filter's limits: its part of the
    /// rate, and of the burst rounded up. Refuses what [`Self::compile`] does.
    pub fn compile_part(
        filter: &RateLimitFilter,
        counters: NonZeroU32,
    ) -> Result<Self, CompileError> {
        let compile = |limit: &RateLimit| Limit::compile(limit, counters);
        Ok(Self {
            limits: compile_all("limits", &filter.limits, compile)
                .map_err(|error| error.because_of(filter.origin.as_ref()))?,
            origin: filter.origin.clone(),
            is_dry_run: filter.is_dry_run,
        })
    }

    /// The resource that asked for the limits.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Whether another one counts for the same resource by the same limits.
    pub fn is_like(&self, other: &Self) -> bool {
        let limits = || self.limits.iter().zip(&other.limits);
        self.origin == other.origin
            && self.is_dry_run == other.is_dry_run
            && self.limits.len() == other.limits.len()
            && limits().all(|(mine, theirs)| mine.is_like(theirs))
    }

    /// Goes on from the counts of another one, which loses them: limits that did not change do not
    /// begin anew.
    pub fn carry_on(&mut self, before: &mut Self) {
        for limit in &mut self.limits {
            let mut before = before.limits.iter_mut();
            if let Some(before) = before.find(|before| limit.is_like(before)) {
                limit.counts = std::mem::take(&mut before.counts);
                limit.sweeps_from = before.sweeps_from;
            }
        }
    }

    /// Asks every limit that is for a request. Only if all let it pass is it counted, by all.
    pub fn check(&mut self, request: &LimitRequest<'_>, now: Duration) -> LimitVerdict {
        let mut asked = Vec::new();
        let mut limited: Option<Allowance> = None;
        for place in 0..self.limits.len() {
            let limit = &mut self.limits[place];
            let Some(found) = limit.asked(place, request) else {
                continue;
            };
            let (passes, allowance) = limit.ask(&found, &self.origin, now);
            if !passes && limited.is_none() {
                limited = Some(allowance);
            }
            asked.push(found);
        }
        match limited {
            Some(allowance) if self.is_dry_run => LimitVerdict::WouldBeLimited(allowance),
            Some(allowance) => LimitVerdict::Limited(allowance),
            None => {
                let each = asked.into_iter();
                let left = each.map(|found| {
                    let limit = &mut self.limits[found.limit];
                    limit.take(&found, &self.origin, now)
                });
                LimitVerdict::Pass(left.min_by_key(|allowance| allowance.left))
            }
        }
    }
}

impl Limit {
    fn compile(written: &RateLimit, counters: NonZeroU32) -> Result<Self, CompileError> {
        let planned = part_of(written, counters);
        let priorities = planned.priorities.iter().map(|class| {
            let matches = compile_all("match", &class.matches, Found::compile)?;
            let share = u64::from(class.leaves.min(100));
            let leaves = (u64::from(planned.burst) * share).div_ceil(100);
            Ok((matches, u32::try_from(leaves).unwrap_or(u32::MAX)))
        });
        Ok(Self {
            name: planned.name.clone(),
            requests: written.requests,
            per: written.per,
            matches: compile_all("match", &planned.matches, Found::compile)?,
            keys: compile_all("keys", &planned.keys, Key::compile)?,
            fair_share: planned.fair_share.as_ref().map(Key::compile).transpose()?,
            priorities: priorities.collect::<Result<_, CompileError>>()?,
            counts: HashMap::new(),
            sweeps_from: Duration::ZERO,
            planned,
        })
    }

    fn is_like(&self, other: &Self) -> bool {
        let written = |limit: &Self| (limit.requests, limit.per);
        self.planned == other.planned && written(self) == written(other)
    }

    /// Which count a request uses; none if the limit is not for it.
    fn asked(&self, limit: usize, request: &LimitRequest<'_>) -> Option<Asked> {
        let matched =
            |found: &[Found]| found.is_empty() || found.iter().any(|found| found.matches(request));
        if !matched(&self.matches) {
            return None;
        }
        let mut count = String::new();
        self.keys
            .iter()
            .for_each(|key| key.write(request, &mut count));
        let sharer = self.fair_share.as_ref().map(|key| {
            let mut sharer = String::new();
            key.write(request, &mut sharer);
            sharer
        });
        let mut classes = self.priorities.iter();
        let class = classes.find(|(found, _)| matched(found));
        // A request of no class is less important than all that are.
        let last = self.priorities.last().map_or(0, |(_, leaves)| *leaves);
        Some(Asked {
            limit,
            count,
            sharer,
            leaves: class.map_or(last, |(_, leaves)| *leaves),
        })
    }

    fn ask(&mut self, asked: &Asked, origin: &Option<Origin>, now: Duration) -> (bool, Allowance) {
        // Who waits for a count that is never so full would wait for ever.
        let most_kept = u64::from(self.planned.burst / 2);
        let count = self.count(&asked.count, now);
        let kept = match (&mut count.shares, &asked.sharer) {
            (Some(shares), Some(sharer)) => shares.ask(now, sharer.clone()),
            _ => Some(0),
        };
        let has_share = kept.is_some();
        let kept = u32::try_from(kept.unwrap_or_default().min(most_kept)).unwrap_or_default();
        let leaves = asked.leaves.max(kept);
        let (left, mut wait) = count.stream.left(now, leaves);
        let passes = has_share && left > 0;
        if let (false, Some(shares)) = (has_share, &count.shares) {
            wait = wait.map(|wait| wait.max(shares.wait(now)));
        }
        let left = if has_share { left } else { 0 };
        (passes, self.allowance(origin, left, wait))
    }

    fn take(&mut self, asked: &Asked, origin: &Option<Origin>, now: Duration) -> Allowance {
        let count = self.count(&asked.count, now);
        count.stream.take(now, asked.leaves);
        if let (Some(shares), Some(sharer)) = (&mut count.shares, &asked.sharer) {
            shares.had(sharer);
        }
        let (left, wait) = count.stream.left(now, asked.leaves);
        self.allowance(origin, left, wait)
    }

    fn allowance(&self, origin: &Option<Origin>, left: u32, wait: Option<Duration>) -> Allowance {
        Allowance {
            limit: self.name.clone(),
            origin: origin.clone(),
            requests: self.requests,
            per: self.per,
            left,
            wait,
        }
    }

    fn count(&mut self, name: &str, now: Duration) -> &mut Count {
        let is_new = !self.counts.contains_key(name);
        if is_new && self.counts.len() >= MAX_COUNTS && now >= self.sweeps_from {
            self.counts.retain(|_, count| !count.is_full(now));
            self.sweeps_from = now + SWEEP_PAUSE;
        }
        // No name that keys write is like this one.
        let name = match is_new && self.counts.len() >= MAX_COUNTS {
            true => "others",
            false => name,
        };
        let planned = &self.planned;
        let shares = self.fair_share.is_some();
        self.counts
            .entry(name.to_owned())
            .or_insert_with(|| Count::new(planned, shares, now))
    }
}

impl Count {
    fn new(planned: &RateLimit, shares: bool, now: Duration) -> Self {
        let RateLimit {
            requests,
            per,
            burst,
            ..
        } = *planned;
        let round = per.min(LONGEST_ROUND).max(Duration::from_millis(1));
        let in_round = u128::from(requests) * round.as_nanos() / per.as_nanos().max(1);
        let in_round = u64::try_from(in_round).unwrap_or(u64::MAX).max(1);
        Self {
            stream: match planned.is_quota {
                true => Stream::Quota(Quota::new(requests, per)),
                false => Stream::Bucket(TokenBucket::new(requests, per, burst, now)),
            },
            shares: shares.then(|| FairShare::new(in_round, round, MAX_COUNTS, now)),
        }
    }

    fn is_full(&mut self, now: Duration) -> bool {
        match &mut self.stream {
            Stream::Bucket(bucket) => bucket.is_full(now),
            Stream::Quota(quota) => quota.is_full(now),
        }
    }
}

impl Stream {
    fn take(&mut self, now: Duration, leaves: u32) -> bool {
        match self {
            Self::Bucket(bucket) => bucket.take(now, leaves),
            Self::Quota(quota) => quota.take(now, leaves),
        }
    }

    /// How many more would pass that leave so much to others, and how long until one does.
    fn left(&mut self, now: Duration, leaves: u32) -> (u32, Option<Duration>) {
        let (left, wait) = match self {
            Self::Bucket(bucket) => (bucket.left(now), bucket.wait(now, leaves)),
            Self::Quota(quota) => (quota.left(now), quota.wait(now, leaves)),
        };
        (left.saturating_sub(leaves), wait)
    }
}
