use mesh_core::dataplane::{Fraction, Mirror, Name};

use crate::dice::Purpose;

/// Where copies of requests go.
#[derive(Debug)]
pub struct Mirrors(Box<[(Name, Fraction)]>);

impl Mirrors {
    /// Prepares the choice.
    pub fn new(mirrors: &[Mirror]) -> Self {
        Self(
            mirrors
                .iter()
                .map(|mirror| (mirror.cluster.clone(), mirror.share))
                .collect(),
        )
    }

    /// The clusters that get a copy of this request. Each decides for itself.
    pub fn choose(&self, seed: u64) -> impl Iterator<Item = &Name> {
        (0..)
            .zip(&self.0)
            .filter_map(move |(index, (cluster, share))| {
                share
                    .includes(Purpose::Mirror(index).draw(seed))
                    .then_some(cluster)
            })
    }

    /// Whether no request is ever copied.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
