//! Whether what is seen is what was expected.

use std::{collections::BTreeMap, time::Duration};

use mesh_core::dataplane::Fraction;

use super::{
    ask::Seen,
    binomial,
    check::{Check, Expected, Instance, Outcome, Reaches, Welcome},
    witness::Sighting,
    words,
};

/// How rarely a sound mesh may fail one comparison by chance.
const SURPRISE: f64 = 1e-6;
/// How much longer than asked for a delay may take on a busy machine.
const LATE: Duration = Duration::from_secs(5);
/// The most requests that a finding tells of one by one.
const MAX_DETAILS: usize = 3;

/// A check that was driven.
#[derive(Debug)]
pub struct Finding {
    /// What was asked and expected.
    pub check: Check,
    /// What was seen, in short.
    pub seen: String,
    /// What is wrong; empty if nothing is.
    pub wrong: Vec<String>,
}

impl Finding {
    /// Whether everything was seen as expected.
    pub fn is_as_expected(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(super) fn of(check: Check, seen: &[Seen]) -> Self {
        let expected = &check.expected;
        let mut wrong = Vec::new();
        let mut hits = vec![0_u32; expected.outcomes.len()];
        let mut delayed = 0;
        for one in seen {
            let fits = |(outcome, _): &(Outcome, f64)| outcome.is_seen(one);
            let outcome = expected.outcomes.iter().position(fits);
            match outcome {
                Some(index) => hits[index] += 1,
                None => wrong.push(words::account(one)),
            }
            delayed += u32::from(one.is_delayed());
            if outcome.is_some() {
                wrong.extend(expected.misses(one));
            }
        }
        wrong.truncate(MAX_DETAILS);
        let trials = u32::try_from(seen.len()).unwrap_or(u32::MAX);
        if wrong.is_empty() {
            wrong.extend(expected.unlikely(trials, &hits));
            wrong.extend(expected.unlikely_delays(trials, delayed));
        }
        Self {
            seen: summary(&check, seen),
            check,
            wrong,
        }
    }
}

impl Expected {
    /// What an answer that fits otherwise lacks.
    fn misses(&self, seen: &Seen) -> Option<String> {
        let (delay, share) = self.delay.unwrap_or((Duration::ZERO, Fraction::NONE));
        let in_time = delay..=delay + LATE;
        if seen.is_delayed() != (share == Fraction::ALL) && !is_chance(share) {
            let how = if seen.is_delayed() { "" } else { " not" };
            return Some(format!("it was{how} delayed"));
        }
        if seen.is_delayed() && !in_time.contains(&seen.elapsed) {
            return Some(format!("it took {:.1?} instead of {delay:?}", seen.elapsed));
        }
        let answered = seen.source.as_ref().is_none_or(Sighting::is_answered);
        let wanted = self.headers.iter().filter(|_| answered);
        wanted
            .into_iter()
            .find(|(name, value)| seen.headers.get(name) != Some(value))
            .map(|(name, value)| format!("the answer lacks {name}: {value:?}"))
    }

    fn unlikely(&self, trials: u32, hits: &[u32]) -> Vec<String> {
        let each = self.outcomes.iter().zip(hits);
        each.filter_map(|((outcome, share), hits)| {
            let bounds = binomial::bounds(trials, *share, SURPRISE);
            (!bounds.contains(hits)).then(|| {
                let (low, high) = bounds.into_inner();
                let what = words::outcome(outcome);
                format!("{what}: {hits} of {trials}, where {low} to {high} were expected")
            })
        })
        .collect()
    }

    fn unlikely_delays(&self, trials: u32, delayed: u32) -> Option<String> {
        let (_, share) = self.delay.filter(|(_, share)| is_chance(*share))?;
        let chance = f64::from(share.parts()) / f64::from(Fraction::ALL.parts());
        let bounds = binomial::bounds(trials, chance, SURPRISE);
        (!bounds.contains(&delayed)).then(|| {
            let (low, high) = bounds.into_inner();
            format!("{delayed} of {trials} delayed, where {low} to {high} were expected")
        })
    }
}

fn is_chance(share: Fraction) -> bool {
    share != Fraction::ALL && share != Fraction::NONE
}

impl Outcome {
    /// Whether this is what became of a request.
    fn is_seen(&self, seen: &Seen) -> bool {
        let source = seen.source.as_ref();
        let at =
            |cluster: &str| source.is_some_and(|told| told.cluster.as_deref() == Some(cluster));
        let with = |status: u16, flag: &str| {
            seen.status == Some(status) && source.is_some_and(|told| told.has_flag(flag))
        };
        match self {
            Self::Reaches(reaches) => reaches.is_seen(seen),
            Self::Leaves { cluster } => {
                let failed = matches!(seen.status, Some(503 | 504));
                let says_why =
                    |told: &Sighting| told.is_answered() || (failed && told.flags != "-");
                at(cluster) && source.is_some_and(says_why)
            }
            Self::NoInstance { cluster } => {
                let says_so = seen.body.as_ref() == b"no healthy upstream";
                at(cluster) && with(503, "UH") && says_so
            }
            Self::NoCluster { status, .. } => with(*status, "NC"),
            Self::Aborted { status } => with(*status, "FI"),
            Self::Redirected { status, location } => {
                let found = seen.headers.get(http::header::LOCATION);
                let leads = found.and_then(|value| value.to_str().ok());
                // The mark of the walk is in the query.
                let leads = leads.map(|text| text.split('?').next().unwrap_or(text));
                let location = location.split('?').next();
                seen.status == Some(*status) && leads == location
            }
            Self::Responded { status } => {
                let here = source.is_some_and(|told| told.cluster.is_none());
                seen.status == Some(*status) && here
            }
            Self::NoRoute => with(404, "NR"),
            Self::Closed => seen.status.is_none() && source.is_none(),
        }
    }
}

impl Reaches {
    fn is_seen(&self, seen: &Seen) -> bool {
        let told = seen.source.as_ref();
        let cluster = told.and_then(|told| told.cluster.as_deref());
        if cluster != self.cluster.as_deref() {
            return false;
        }
        let late = |limit: Duration| seen.status == Some(504) && seen.elapsed >= limit;
        if self.timeout.is_some_and(late) && told.is_some_and(|told| told.has_flag("UT")) {
            return true;
        }
        let address = match told {
            Some(told) => told.address,
            None => self.instances.keys().next().copied(),
        };
        let instance = address.and_then(|address| self.instances.get(&address));
        instance.is_some_and(|instance| self.is_taken(instance, seen))
    }

    fn is_taken(&self, instance: &Instance, seen: &Seen) -> bool {
        let told = seen.source.as_ref();
        let answered = told.is_none_or(Sighting::is_answered);
        match instance.welcome {
            Welcome::Refused => {
                let says_so = |told: &Sighting| told.has_flag("UF") || told.has_flag("UC");
                seen.status == Some(503) && told.is_some_and(says_so)
            }
            Welcome::Denied => {
                let said = seen.body.as_ref() == b"RBAC: access denied";
                let denied = |told: &Sighting| told.details.starts_with("rbac_access_denied");
                let denied = seen.destination.as_ref().is_some_and(denied);
                answered && seen.status == Some(403) && said && denied
            }
            Welcome::Answers => answered && (!instance.tells || self.is_answered(instance, seen)),
        }
    }

    /// Whether the destination's side confirms that the application answered whom it should.
    fn is_answered(&self, instance: &Instance, seen: &Seen) -> bool {
        let Some(told) = &seen.destination else {
            return false;
        };
        let mutual = instance.mutual.as_ref();
        let caller = mutual.map(|mutual| &mutual.caller);
        let called = mutual.map(|mutual| &mutual.called);
        let by_source = seen.source.as_ref();
        let proved = by_source.is_none_or(|source| source.called.as_ref() == called);
        told.is_answered()
            && told.path == self.path
            && told.caller.as_ref() == caller
            && told.mutual == mutual.is_some()
            && proved
    }
}

impl Seen {
    pub(super) fn is_delayed(&self) -> bool {
        let told = self.source.as_ref();
        told.is_some_and(|told| told.has_flag("DI"))
    }
}

/// What was seen, the most frequent first.
fn summary(check: &Check, seen: &[Seen]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in seen {
        *counts.entry(words::seen(check, one)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
    let share = |count: usize| count as f64 * 100.0 / seen.len().max(1) as f64;
    let each = counts.iter().map(|(what, count)| match seen.len() {
        1 => what.clone(),
        all if all == *count => format!("{what} ×{count}"),
        _ => format!("{:.1} % {what}", share(*count)),
    });
    let each: Vec<_> = each.collect();
    each.join(", ") + &words::delays(seen).unwrap_or_default()
}
