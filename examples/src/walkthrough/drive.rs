//! Asks every question of a script, all at the same time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use mesh_proxy::ProxyHandle;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    ask::{Lane, Seen, Tellers},
    check::{Check, Outcome, Welcome},
    judge::Finding,
    party::Party,
    report::Report,
    script::Script,
    witness::Witness,
};

/// The most requests under way that do not wait on purpose.
const MAX_UNDER_WAY: usize = 48;

/// Asks running proxies whether they do what their plans say. `witness` must observe all of them.
pub async fn walk<'a>(
    proxies: impl IntoIterator<Item = &'a ProxyHandle>,
    witness: &Arc<Witness>,
) -> Report {
    let parties: Vec<_> = proxies.into_iter().map(Party::of).collect();
    drive(Script::of(&parties), witness).await
}

/// Asks every question of a script and compares the answers with what is expected. `witness` must
/// observe every proxy that takes part.
pub async fn drive(script: Script, witness: &Arc<Witness>) -> Report {
    let room = Arc::new(Semaphore::new(MAX_UNDER_WAY));
    let marks = Arc::new(AtomicU64::new(0));
    let mut walks = JoinSet::new();
    for (index, check) in script.checks.into_iter().enumerate() {
        let walk = Walk {
            check: Arc::new(check),
            witness: Arc::clone(witness),
            room: Arc::clone(&room),
            marks: Arc::clone(&marks),
        };
        walks.spawn(async move { (index, walk.finding().await) });
    }
    let mut findings = walks.join_all().await;
    findings.sort_by_key(|(index, _)| *index);
    Report {
        findings: findings.into_iter().map(|(_, finding)| finding).collect(),
        skipped: script.skipped,
    }
}

/// One check on its way.
#[derive(Clone)]
struct Walk {
    check: Arc<Check>,
    witness: Arc<Witness>,
    room: Arc<Semaphore>,
    marks: Arc<AtomicU64>,
}

impl Walk {
    async fn finding(self) -> Finding {
        let left = Arc::new(AtomicU32::new(self.check.requests));
        let mut lanes = JoinSet::new();
        for _ in 0..self.check.lanes.max(1) {
            lanes.spawn(self.clone().lane(Arc::clone(&left)));
        }
        let seen: Vec<_> = lanes.join_all().await.into_iter().flatten().collect();
        Finding::of((*self.check).clone(), &seen)
    }

    /// Asks one time after the other until none is left.
    async fn lane(self, left: Arc<AtomicU32>) -> Vec<Seen> {
        let tellers = tellers(&self.check);
        let mut lane = Lane::new(&self.check.question, &self.witness);
        let mut all = Vec::new();
        let take = |left: u32| left.checked_sub(1);
        while left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
        {
            let _room = match tellers.delay.is_zero() {
                true => self.room.acquire().await.ok(),
                false => None,
            };
            let mark = self.marks.fetch_add(1, Ordering::Relaxed);
            all.push(lane.ask(mark, tellers).await);
        }
        all
    }
}

fn tellers(check: &Check) -> Tellers {
    let mut outcomes = check.expected.outcomes.iter();
    let arrives = outcomes.all(|(outcome, _)| match outcome {
        Outcome::Reaches(reaches) => reaches
            .instances
            .values()
            .all(|one| one.tells && one.welcome != Welcome::Refused),
        _ => false,
    });
    let by_proxy = |(outcome, _): &(Outcome, f64)| match outcome {
        Outcome::Reaches(reaches) => reaches.cluster.is_some(),
        Outcome::Closed => false,
        _ => true,
    };
    Tellers {
        source: check.expected.outcomes.iter().any(by_proxy),
        destination: arrives,
        delay: check
            .expected
            .delay
            .map_or(Duration::ZERO, |(delay, _)| delay),
    }
}
