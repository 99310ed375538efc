use std::time::Duration;

use mesh_core::dataplane::{Fraction, SlowStart};

/// The part of its weight an instance of this age has: `max(start, (age / window)^(1 / aggression))`,
/// all of it once the window is over (Envoy, *Slow start mode*). An age below a second counts as one.
pub fn warmed_up(settings: &SlowStart, age: Duration) -> Fraction {
    if age >= settings.window {
        return Fraction::ALL;
    }
    let age = age.max(Duration::from_secs(1));
    let time = (age.as_secs_f64() / settings.window.as_secs_f64()).min(1.0);
    let exponent = 1000.0 / f64::from(settings.aggression.max(1));
    // Between zero and one, so that it is a number of millionths.
    let grown = (time.powf(exponent) * 1_000_000.0).round() as u32;
    Fraction::per_million(grown).max(settings.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights as the formula says, computed by hand for a window of 60 s.
    #[test]
    fn weights_grow_as_the_formula_says() {
        let of = |aggression, start, age_ms| {
            let settings = SlowStart {
                window: Duration::from_secs(60),
                aggression,
                start: Fraction::per_million(start),
            };
            warmed_up(&settings, Duration::from_millis(age_ms)).parts()
        };
        for (aggression, start, age_ms, want) in [
            // Evenly: a tenth at least, then what part of the window has passed.
            (1000, 100_000, 0, 100_000),
            (1000, 100_000, 6_000, 100_000),
            (1000, 100_000, 15_000, 250_000),
            (1000, 100_000, 30_000, 500_000),
            (1000, 100_000, 59_999, 999_983),
            (1000, 100_000, 60_000, 1_000_000),
            // The square root: quick at first.
            (2000, 100_000, 15_000, 500_000),
            (2000, 0, 600, 129_099),
            // The square: slow at first.
            (500, 0, 30_000, 250_000),
            (500, 300_000, 30_000, 300_000),
        ] {
            assert_eq!(of(aggression, start, age_ms), want, "{aggression} {age_ms}");
        }
    }

    #[test]
    fn nobody_shrinks() {
        for aggression in [1, 500, 1000, 3000] {
            let settings = SlowStart {
                window: Duration::from_secs(30),
                aggression,
                start: Fraction::per_million(50_000),
            };
            let parts = (0..400)
                .map(|tenth| warmed_up(&settings, Duration::from_millis(tenth * 100)).parts());
            let parts: Vec<u32> = parts.collect();
            assert!(parts.is_sorted(), "{aggression}");
            assert_eq!(parts.last(), Some(&1_000_000));
        }
    }
}
