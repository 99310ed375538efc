use super::EndpointIndex;
use crate::hash::xxh64;

/// Instances on a ring: a hash belongs to the first at or after it. When an instance leaves, only
/// its own keys move.
#[derive(Debug)]
pub(super) struct Ring(Box<[(u64, EndpointIndex)]>);

impl Ring {
    const DEFAULT_SIZE: u64 = 1024;

    /// A ring of about so many points, each instance with its share of them and at least one.
    pub(super) fn build(entries: &[(EndpointIndex, String, f64)], size: u64) -> Self {
        let scale = points_per_share(entries, if size == 0 { Self::DEFAULT_SIZE } else { size });
        let mut points: Vec<_> = entries
            .iter()
            .flat_map(|(index, address, share)| {
                let count = (scale * share).round().max(1.0) as u64;
                (0..count)
                    .map(move |number| (xxh64(format!("{address}_{number}").as_bytes(), 0), *index))
            })
            .collect();
        points.sort_unstable();
        Self(points.into())
    }

    /// Instances along the ring from a hash on.
    pub(super) fn from(&self, hash: u64) -> impl Iterator<Item = EndpointIndex> {
        let start = self.0.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.0.split_at(start);
        after.iter().chain(before).map(|(_, index)| *index)
    }
}

/// The smallest share gets a power of two: so the others' points stay where they are when instances
/// come and go, until their number doubles or halves. The ring is then up to twice as large as
/// asked for; where shares differ too much for that, it is as large as asked for.
fn points_per_share(entries: &[(EndpointIndex, String, f64)], size: u64) -> f64 {
    let sum: f64 = entries.iter().map(|(.., share)| share).sum();
    let least = entries.iter().map(|(.., share)| *share).fold(sum, f64::min);
    let plain = size as f64 / sum;
    let even = (plain * least).log2().ceil().exp2() / least;
    if even <= 2.0 * plain { even } else { plain }
}
