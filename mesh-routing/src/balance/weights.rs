use crate::Dice;

/// Positions to draw from, each in proportion to its weight.
#[derive(Debug)]
pub(super) struct Weights {
    len: usize,
    /// Growing sums, unless all weigh the same.
    bounds: Option<Box<[u64]>>,
}

impl Weights {
    pub(super) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let weights: Vec<u64> = weights.into_iter().collect();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1])
            && weights.first().is_none_or(|weight| *weight > 0);
        let sums = weights.iter().scan(0_u64, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self {
            len: weights.len(),
            bounds: (!equal).then(|| sums.collect()),
        }
    }

    /// Whether all weigh the same.
    pub(super) fn are_equal(&self) -> bool {
        self.bounds.is_none()
    }

    pub(super) fn weight(&self, position: usize) -> u64 {
        match &self.bounds {
            None => 1,
            Some(bounds) => bounds[position] - position.checked_sub(1).map_or(0, |p| bounds[p]),
        }
    }

    /// A position; none if nothing weighs anything.
    pub(super) fn draw(&self, dice: &mut Dice) -> Option<usize> {
        self.at(dice.below(self.total()?))
    }

    /// The position of a turn. In equal weights each comes once a round; otherwise turns follow a
    /// Weyl sequence, in which over any stretch everyone's share is as close to its weight as a
    /// turn or two.
    pub(super) fn turn(&self, turn: u32) -> Option<usize> {
        let total = self.total()?;
        match self.bounds {
            None => Some(turn as usize % self.len),
            Some(_) => {
                let point = u64::from(turn).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                self.at(crate::dice::scale(point, total))
            }
        }
    }

    fn total(&self) -> Option<u64> {
        let total = match &self.bounds {
            None => self.len as u64,
            Some(bounds) => *bounds.last()?,
        };
        (total > 0).then_some(total)
    }

    fn at(&self, point: u64) -> Option<usize> {
        Some(match &self.bounds {
            None => point as usize,
            Some(bounds) => bounds.partition_point(|bound| *bound <= point),
        })
    }
}
