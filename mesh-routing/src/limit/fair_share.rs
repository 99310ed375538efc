use std::{collections::HashMap, hash::Hash, time::Duration};

/// Divides what there is among what is asked for, max-min fairly: nobody gets more than he asks
/// for, and nobody could get more without somebody getting less who has no more than he. What some
/// leave is shared by the others; of a remainder the first get one each.
pub fn fair_shares(capacity: u64, asked: &[u64]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_by_key(|&place| (asked[place], place));
    let mut shares = vec![0; asked.len()];
    let mut left = capacity;
    let mut others = asked.len() as u64;
    for place in order {
        // Those who ask for least are served first: what they leave is in what is left.
        shares[place] = asked[place].min(left.div_ceil(others.max(1)));
        left -= shares[place];
        others -= 1;
    }
    shares
}

/// Divides a stream of requests fairly among callers.
///
/// Time is cut into rounds. What callers asked for in one round says how much each may have in the
/// next: all of it as long as there is enough for all, else at most an equal share, the higher the
/// less others want. What is expected of callers who want less than that is kept for them until
/// they ask, or the round is over. Who comes anew may have as much as anybody. How many pass in all is for somebody else to
/// count.
#[derive(Debug, Clone)]
pub struct FairShare<K> {
    capacity: u64,
    round: Duration,
    since: Duration,
    /// The most a caller may have in this round; none for no bound.
    level: Option<u64>,
    callers: HashMap<K, Caller>,
    /// What is kept for all callers.
    kept: u64,
    most_callers: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Caller {
    asked: u64,
    had: u64,
    /// What he will want, going by the last round, if that is no more than his share.
    expected: u64,
}

impl<K: Eq + Hash> FairShare<K> {
    /// For so many requests in each round, and at most so many callers told apart: beyond them a
    /// new one waits for the next round while there is not enough for all.
    pub fn new(capacity: u64, round: Duration, most_callers: usize, now: Duration) -> Self {
        Self {
            capacity,
            round,
            since: now,
            level: None,
            callers: HashMap::new(),
            kept: 0,
            most_callers,
        }
    }

    /// Whether a caller may have one more now, and how many he must leave to others. It counts as
    /// asked for.
    pub fn ask(&mut self, now: Duration, caller: K) -> Option<u64> {
        self.turn(now);
        let is_known = self.callers.contains_key(&caller);
        if !is_known && self.callers.len() >= self.most_callers {
            return self.level.is_none().then_some(0);
        }
        let caller = self.callers.entry(caller).or_default();
        caller.asked += 1;
        let leaves = match caller.had < caller.expected {
            true => 0,
            false => self.kept,
        };
        let may = self.level.is_none_or(|level| caller.had < level);
        may.then_some(leaves)
    }

    /// A caller had one, after [`Self::ask`].
    pub fn had(&mut self, caller: &K) {
        if let Some(caller) = self.callers.get_mut(caller) {
            if caller.had < caller.expected {
                self.kept -= 1;
            }
            caller.had += 1;
        }
    }

    /// How long until the next round.
    pub fn wait(&self, now: Duration) -> Duration {
        (self.since + self.round).saturating_sub(now)
    }

    fn turn(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since);
        if passed < self.round {
            return;
        }
        let is_next = passed < self.round * 2;
        let asked: Vec<u64> = self.callers.values().map(|caller| caller.asked).collect();
        let wanted: u64 = asked.iter().sum();
        let shares = fair_shares(self.capacity, &asked);
        // Whoever asked for more than he got got the level.
        let level = shares.into_iter().max().unwrap_or_default().max(1);
        self.level = (is_next && wanted > self.capacity).then_some(level);
        self.since = match is_next {
            true => self.since + self.round,
            false => now,
        };
        match self.level {
            None => self.callers.clear(),
            Some(level) => self.callers.retain(|_, caller| {
                let expected = caller.asked;
                *caller = Caller {
                    expected,
                    ..Caller::default()
                };
                (1..level).contains(&expected)
            }),
        }
        self.kept = self.callers.values().map(|caller| caller.expected).sum();
    }
}
