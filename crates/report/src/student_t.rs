//! Quantiles of Student's t distribution for whole degrees of freedom.

use std::{f64::consts::FRAC_PI_2, num::NonZeroUsize};

/// The t for which P(|T| ≤ t) = 0.95 with so many degrees of freedom: the factor of a two-sided 95 % interval.
///
/// Found by bisection on the angle θ = atan(t/√ν), in which the distribution function is a finite sum.
pub(crate) fn quantile95(degrees: NonZeroUsize) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // Each step halves the angle's error: 60 of them exhaust a double.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match probability_within(middle, degrees.get()) < 0.95 {
            true => low = middle,
            false => high = middle,
        }
    }
    (degrees.get() as f64).sqrt() * (0.5 * (low + high)).tan()
}

/// P(|T| ≤ √ν·tan θ): Abramowitz & Stegun, 26.7.3 for odd ν and 26.7.4 for even.
fn probability_within(theta: f64, degrees: usize) -> f64 {
    let (sine, cosine) = theta.sin_cos();
    if degrees.is_multiple_of(2) {
        sine * series(cosine, 1.0, 1, degrees / 2)
    } else {
        (theta + sine * series(cosine, cosine, 2, degrees / 2)) / FRAC_PI_2
    }
}

/// `first` · (1 + a/(a+1)·cos² + a(a+2)/((a+1)(a+3))·cos⁴ + …), so many terms.
fn series(cosine: f64, first: f64, numerator: usize, terms: usize) -> f64 {
    let mut term = first;
    let mut sum = 0.0;
    for index in 0..terms {
        sum += term;
        let a = (numerator + 2 * index) as f64;
        term *= a / (a + 1.0) * cosine * cosine;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_published_tables() {
        // Fisher & Yates, Table III; NIST/SEMATECH e-Handbook, 1.3.6.7.2: t(0.975, ν).
        let published = [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (9, 2.262),
            (10, 2.228),
            (11, 2.201),
            (29, 2.045),
            (30, 2.042),
            (100, 1.984),
        ];
        for (degrees, expected) in published {
            let found = quantile95(NonZeroUsize::new(degrees).unwrap());
            assert!((found - expected).abs() < 5.1e-4, "{degrees}: {found} is not {expected}");
        }
    }

    #[test]
    fn quantile_tends_to_the_normal_distributions() {
        let found = quantile95(NonZeroUsize::new(10_000).unwrap());
        assert!(found > 1.959_964 && found < 1.960_5, "{found}");
    }
}
