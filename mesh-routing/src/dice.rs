/// Uniform draws from one seed (SplitMix64, Steele et al. 2014).
///
/// One random number per request is enough: a decision that draws once takes the seed itself and
/// salts it with its own purpose, so decisions do not depend on one another; a decision that draws
/// repeatedly takes the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dice(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// A stream of draws.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A draw below a bound, or zero if the bound is zero. A bound of n is met with a bias of at
    /// most n / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.draw(), bound)
    }
}

/// What a single draw is for. Its value is the salt.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    RouteShare(u32),
    Split,
    Mirror(u32),
    Delay,
    Abort,
    Cookie,
    Backoff(u32),
}

impl Purpose {
    /// The draw of this purpose under a seed.
    pub(crate) fn draw(self, seed: u64) -> u64 {
        let (kind, index) = match self {
            Self::RouteShare(index) => (1, index),
            Self::Split => (2, 0),
            Self::Mirror(index) => (3, index),
            Self::Delay => (4, 0),
            Self::Abort => (5, 0),
            Self::Cookie => (6, 0),
            Self::Backoff(attempt) => (7, attempt),
        };
        mix(seed ^ mix((kind << 32 | u64::from(index)).wrapping_mul(GOLDEN)))
    }
}

/// Maps a uniform draw to a number below a bound.
pub(crate) fn scale(draw: u64, bound: u64) -> u64 {
    ((u128::from(draw) * u128::from(bound)) >> 64) as u64
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_independent() {
        let (mut both, n) = (0, 40_000);
        for seed in 0..n {
            let low = |purpose: Purpose| purpose.draw(seed) < u64::MAX / 2;
            both += u32::from(low(Purpose::Split) && low(Purpose::Delay));
        }
        let want = n as f64 / 4.0;
        assert!(
            (f64::from(both) - want).abs() < 5.0 * (want * 0.75).sqrt(),
            "{both}"
        );
    }

    #[test]
    fn draws_stay_below() {
        let mut dice = Dice::new(7);
        assert_eq!(dice.below(0), 0);
        assert!((0..1000).all(|_| dice.below(3) < 3));
    }
}
