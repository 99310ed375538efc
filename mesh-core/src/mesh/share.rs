use std::fmt;

/// A share of requests, in millionths: 0 to 1,000,000.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PerMillion(u32);

impl PerMillion {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// A percentage, rounded to a millionth; none outside 0 to 100.
    pub fn percent(value: f64) -> Option<Self> {
        (0.0..=100.0)
            .contains(&value)
            .then(|| Self((value * 10_000.0).round() as u32))
    }

    /// In millionths.
    pub fn parts(self) -> u32 {
        self.0
    }
}

/// As a percentage.
impl fmt::Display for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

impl fmt::Debug for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
