//! How many requests limits let pass, as one worker counts them.

use std::{
    cell::{Cell, RefCell},
    num::NonZeroU32,
    rc::Rc,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use mesh_routing::{LimitRequest, LimitVerdict, RateLimiter};

use crate::live::{LimitsInForce, LiveConfig};

/// What one worker counted for limits: its part of each, so that nothing is shared on the way of a
/// request.
///
/// All chains with the limits of one resource have one count, whatever port or protocol they are
/// for. Counts outlive changes of configuration: a limit that did not change goes on.
pub(crate) struct Limits {
    workers: NonZeroU32,
    started: Instant,
    kept: RefCell<Vec<Kept>>,
    limited: Cell<u64>,
    limited_on_trial: Cell<u64>,
}

struct Kept {
    /// Weak, so that what only a connection of an old configuration uses goes away with it.
    planned: Weak<LimitsInForce>,
    limiter: Rc<RefCell<RateLimiter>>,
    /// Part of the newest configuration.
    is_in_force: bool,
}

impl Limits {
    /// For one of so many workers.
    pub(crate) fn divided_by(workers: NonZeroU32) -> Self {
        Self {
            workers,
            started: Instant::now(),
            kept: RefCell::default(),
            limited: Cell::new(0),
            limited_on_trial: Cell::new(0),
        }
    }

    /// Takes over the limits of a configuration.
    pub(crate) fn apply(&self, live: &LiveConfig) {
        let mut kept = self.kept.borrow_mut();
        for old in kept.iter_mut() {
            old.is_in_force = live.limits().any(|limits| old.is_of(limits));
        }
        for limits in live.limits() {
            if !kept.iter().any(|old| old.is_of(limits)) {
                let limiter = self.limiter(limits, &kept);
                kept.push(Kept::new(limits, limiter));
            }
        }
        kept.retain(|old| old.is_in_force || old.planned.strong_count() > 0);
    }

    /// What a request's limits say of it.
    pub(crate) fn check(
        &self,
        limits: &Arc<LimitsInForce>,
        request: &LimitRequest<'_>,
        now: Duration,
    ) -> LimitVerdict {
        let kept = self.kept.borrow();
        let known = kept.iter().find(|kept| kept.is_of(limits));
        let limiter = known.map(|kept| Rc::clone(&kept.limiter));
        drop(kept);
        let limiter = limiter.unwrap_or_else(|| {
            let mut kept = self.kept.borrow_mut();
            let limiter = self.limiter(limits, &kept);
            kept.push(Kept::new(limits, Rc::clone(&limiter)));
            limiter
        });
        let verdict = limiter.borrow_mut().check(request, now);
        let counter = match verdict {
            LimitVerdict::Pass(_) => return verdict,
            LimitVerdict::Limited(_) => &self.limited,
            LimitVerdict::WouldBeLimited(_) => &self.limited_on_trial,
        };
        counter.set(counter.get() + 1);
        verdict
    }

    /// The time that limits go by: since this worker began.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many requests were refused.
    pub(crate) fn limited(&self) -> u64 {
        self.limited.get()
    }

    /// How many requests would have been refused, were the limits in force.
    pub(crate) fn limited_on_trial(&self) -> u64 {
        self.limited_on_trial.get()
    }

    /// A counter for limits that are new here: another one's that counts the same already, or the
    /// successor of one of the same resource.
    fn limiter(&self, limits: &LimitsInForce, kept: &[Kept]) -> Rc<RefCell<RateLimiter>> {
        let mut fresh = RateLimiter::compile_part(&limits.planned, self.workers)
            .expect("limits are compiled before they are put in force");
        if let Some(same) = kept
            .iter()
            .find(|kept| kept.limiter.borrow().is_like(&fresh))
        {
            return Rc::clone(&same.limiter);
        }
        let is_in_use = |limiter: &Rc<RefCell<RateLimiter>>| {
            let mut in_force = kept.iter().filter(|kept| kept.is_in_force);
            in_force.any(|kept| Rc::ptr_eq(&kept.limiter, limiter))
        };
        let before = kept.iter().map(|kept| &kept.limiter).find(|limiter| {
            let origin = limiter.borrow().origin().cloned();
            origin.is_some() && origin.as_ref() == fresh.origin() && !is_in_use(limiter)
        });
        match before {
            // In place: connections of the old configuration are counted with all others.
            Some(before) => {
                fresh.carry_on(&mut before.borrow_mut());
                *before.borrow_mut() = fresh;
                Rc::clone(before)
            }
            None => Rc::new(RefCell::new(fresh)),
        }
    }
}

impl Kept {
    fn new(limits: &Arc<LimitsInForce>, limiter: Rc<RefCell<RateLimiter>>) -> Self {
        Self {
            planned: Arc::downgrade(limits),
            limiter,
            is_in_force: true,
        }
    }

    fn is_of(&self, limits: &Arc<LimitsInForce>) -> bool {
        std::ptr::eq(self.planned.as_ptr(), Arc::as_ptr(limits))
    }
}
