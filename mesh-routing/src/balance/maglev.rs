use super::EndpointIndex;
use crate::hash::xxh64;

/// Google's Maglev table (Eisenbud et al., NSDI 2016, section 3.4): a look-up is one index, shares
/// are almost exact, and few keys move when instances change.
#[derive(Debug)]
pub(super) struct Maglev(Box<[EndpointIndex]>);

/// An instance filling its slots, in its own order of preference.
struct Filler {
    index: EndpointIndex,
    offset: u64,
    skip: u64,
    next: u64,
    share: f64,
    target: f64,
}

impl Maglev {
    pub(super) const DEFAULT_SIZE: u64 = 65_537;

    /// A table of so many slots, a prime.
    pub(super) fn build(entries: &[(EndpointIndex, String, f64)], size: u64) -> Self {
        let most = entries.iter().map(|(.., share)| *share).fold(0.0, f64::max);
        let mut fillers: Vec<Filler> = entries
            .iter()
            .map(|(index, address, share)| Filler {
                index: *index,
                offset: xxh64(address.as_bytes(), 0) % size,
                skip: xxh64(address.as_bytes(), 1) % (size - 1).max(1) + 1,
                next: 0,
                share: *share,
                target: 0.0,
            })
            .collect();
        let mut slots: Vec<Option<EndpointIndex>> = vec![None; size as usize];
        let mut free = if fillers.is_empty() { 0 } else { slots.len() };
        let mut round = 0.0;
        while free > 0 {
            round += 1.0;
            for filler in &mut fillers {
                // The largest share fills a slot a round, smaller ones now and then.
                if free == 0 || round * filler.share < filler.target {
                    continue;
                }
                filler.target += most;
                filler.take(&mut slots);
                free -= 1;
            }
        }
        Self(slots.into_iter().flatten().collect())
    }

    /// The instance of a hash, then those of the slots after it.
    pub(super) fn from(&self, hash: u64) -> impl Iterator<Item = EndpointIndex> {
        let start = hash.checked_rem(self.0.len() as u64).unwrap_or(0);
        let (before, after) = self.0.split_at(start as usize);
        after.iter().chain(before).copied()
    }
}

impl Filler {
    fn take(&mut self, slots: &mut [Option<EndpointIndex>]) {
        let size = slots.len() as u64;
        loop {
            let slot = ((self.offset + self.next * self.skip) % size) as usize;
            self.next += 1;
            if slots[slot].is_none() {
                slots[slot] = Some(self.index);
                return;
            }
        }
    }
}
