//! How often something may happen by chance.

use std::ops::RangeInclusive;

/// Numbers of hits among `trials` independent draws, each a hit with probability `chance`, that are
/// no surprise: a number outside happens by chance less often than `surprise`, half of that on
/// either side. Summed exactly from the binomial distribution.
pub(super) fn bounds(trials: u32, chance: f64, surprise: f64) -> RangeInclusive<u32> {
    if chance <= 0.0 {
        return 0..=0;
    }
    if chance >= 1.0 {
        return trials..=trials;
    }
    let weights = weights(trials, chance);
    // How many numbers at an end are together too rare.
    let rare = |weights: &mut dyn Iterator<Item = f64>| {
        let mut sum = 0.0;
        weights
            .take_while(|weight| {
                sum += weight;
                sum <= surprise / 2.0
            })
            .count() as u32
    };
    let low = rare(&mut weights.iter().copied());
    let high = trials - rare(&mut weights.iter().rev().copied());
    low..=high
}

/// The probability of each number of hits.
fn weights(trials: u32, chance: f64) -> Vec<f64> {
    let odds = (chance / (1.0 - chance)).ln();
    let mut logarithm = f64::from(trials) * (1.0 - chance).ln();
    let mut weights = vec![logarithm.exp()];
    for hits in 1..=trials {
        logarithm += (f64::from(trials - hits + 1) / f64::from(hits)).ln() + odds;
        weights.push(logarithm.exp());
    }
    weights
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_bounds() {
        // Among 10 throws of a coin: P(0) = 1/1024, P(0 or 1) = 11/1024.
        for (surprise, want) in [
            (2.1 / 1024.0, 1..=9),
            (1.9 / 1024.0, 0..=10),
            (22.1 / 1024.0, 2..=8),
        ] {
            assert_eq!(bounds(10, 0.5, surprise), want, "{surprise}");
        }
        assert_eq!(bounds(400, 0.0, 1e-6), 0..=0);
        assert_eq!(bounds(400, 1.0, 1e-6), 400..=400);
    }

    proptest! {
        #[test]
        fn what_is_inside_is_as_likely_as_promised(trials in 1_u32..600, chance in 0.001_f64..0.999) {
            let surprise = 1e-6;
            let bounds = bounds(trials, chance, surprise);
            let weights = weights(trials, chance);
            let inside: f64 = bounds.clone().map(|hits| weights[hits as usize]).sum();
            prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(inside >= 1.0 - surprise - 1e-9);
            prop_assert!(bounds.contains(&((f64::from(trials) * chance).round() as u32)));
        }
    }
}
