use std::{collections::BTreeMap, time::Duration};

use mesh_core::{
    config::{ConfigSet, Problem},
    mesh::{MeshDefaults, read},
};
use tokio::time::Instant;

use super::source::SourceEvent;

/// When changes take effect: together, once nothing more comes for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debounce {
    /// Wait for so long without a further change.
    pub quiet: Duration,
    /// Wait no longer than so long in all.
    pub longest: Duration,
}

/// Istio's: 100 ms, at most 10 s.
impl Default for Debounce {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            longest: Duration::from_secs(10),
        }
    }
}

/// Gathers what sources tell to versions of the written configuration. A resource that is broken
/// keeps its last good version, whether its text cannot be read or cannot be meant.
#[derive(Debug)]
pub struct ConfigStore {
    defaults: MeshDefaults,
    set: ConfigSet,
    problems: BTreeMap<String, Vec<Problem>>,
    loading: usize,
    debounce: Debounce,
    waiting: Option<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    first: Instant,
    last: Instant,
}

impl ConfigStore {
    /// An empty store that waits for so many sources to have told what they hold.
    pub fn new(sources: usize, debounce: Debounce, defaults: MeshDefaults) -> Self {
        Self {
            defaults,
            set: ConfigSet::default(),
            problems: BTreeMap::new(),
            loading: sources,
            debounce,
            waiting: None,
        }
    }

    /// Takes a change in. Returns a trouble the source tells of.
    pub fn take(&mut self, event: SourceEvent, now: Instant) -> Option<String> {
        match event {
            SourceEvent::File { name, text } => {
                let parsed = read(&name, &text, &self.defaults);
                let (set, kept) = self.set.replace_file(&name, &parsed);
                let problems = parsed.problems.into_iter().chain(kept).collect();
                self.set = set;
                self.problems.insert(name, problems);
            }
            SourceEvent::FileGone { name } => {
                self.set = self.set.remove_file(&name);
                self.problems.remove(&name);
            }
            SourceEvent::Change(change) => self.set = self.set.apply([*change]),
            SourceEvent::Synced => self.loading = self.loading.saturating_sub(1),
            SourceEvent::Trouble { reason } => return Some(reason),
        }
        let first = self.waiting.map_or(now, |waiting| waiting.first);
        self.waiting = Some(Waiting { first, last: now });
        None
    }

    /// When the changes so far take effect; none if there are none, or sources are still loading.
    pub fn due(&self) -> Option<Instant> {
        let Waiting { first, last } = self.waiting.filter(|_| self.loading == 0)?;
        Some((last + self.debounce.quiet).min(first + self.debounce.longest))
    }

    /// The configuration as it takes effect now, with what is wrong with how it is written.
    pub fn version(&mut self) -> (&ConfigSet, Vec<Problem>) {
        self.waiting = None;
        let written = self.problems.values().flatten().cloned();
        let problems = written.chain(self.set.shadowed()).collect();
        (&self.set, problems)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_core::config::Resource;

    use super::*;

    #[test]
    fn changes_take_effect_together() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut store = ConfigStore::new(1, Debounce::default(), MeshDefaults::default());
        let event = || SourceEvent::FileGone { name: "a".into() };
        store.take(event(), start);
        assert_eq!(store.due(), None, "nothing takes effect while sources load");
        store.take(SourceEvent::Synced, start);
        assert_eq!(store.due(), Some(ms(100)));
        for time in (50..20_000).step_by(50) {
            store.take(event(), ms(time));
            assert_eq!(store.due(), Some(ms((time + 100).min(10_000))));
        }
        store.version();
        assert_eq!(store.due(), None);
    }

    /// What counts after an edit, and what is said about it.
    fn after_edit(good: &str, edit: &str) -> (Vec<Arc<Resource>>, Vec<String>) {
        let mut store = ConfigStore::new(0, Debounce::default(), MeshDefaults::default());
        for text in [good, edit] {
            let name = "reviews.yaml".to_owned();
            let text = text.to_owned();
            store.take(SourceEvent::File { name, text }, Instant::now());
        }
        let (set, problems) = store.version();
        let said = problems.iter().map(ToString::to_string).collect();
        (set.iter().cloned().collect(), said)
    }

    #[test]
    fn a_broken_edit_leaves_the_last_good_version_in_force() {
        let good = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}, weight: 100}], timeout: 5s}]
";
        let (in_force, said) = after_edit(good, good);
        assert_eq!(said, [""; 0]);
        let edits = [
            ("spec:", "spec: ["),
            ("weight: 100", "weigth: 100"),
            ("weight: 100", "weight: -1"),
            ("timeout: 5s", "timeout: five"),
            ("timeout: 5s", "match: [{uri: {regex: 'a(b'}}]"),
            ("timeout: 5s", "retries: {retryOn: bogus}"),
            ("timeout: 5s", "fault: {abort: {httpStatus: 9999}}"),
            ("timeout: 5s", "delegate: {name: other}"),
        ];
        for (from, to) in edits {
            let (kept, said) = after_edit(good, &good.replace(from, to));
            assert!(kept == in_force, "{to}: {said:?}");
            let last = said.last().unwrap();
            assert!(
                last.contains("its last good version stays"),
                "{to}: {said:?}"
            );
        }
    }
}
