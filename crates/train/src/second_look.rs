//! A second look at adversarial images: whether each is what it is taken for.

use candle_core::{Result, Tensor};
use rrm_attacks::Ball;
use rrm_models::{Model, Network};
use rrm_spec::{Accuracy, Audit, ImageOutcome, Mode, Outcome};

use crate::step::predictions;

/// What was seen of one adversarial image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SecondLook {
    /// How far it is from its natural image in the attack's norm, in pixel units; means nothing where a pixel is not finite.
    pub(crate) change: f64,
    pub(crate) is_finite: bool,
    pub(crate) is_in_box: bool,
    /// Whether it is classified correctly.
    pub(crate) is_correct: bool,
    /// Whether it is, rounded to 8 bits.
    pub(crate) is_correct_rounded: bool,
}

/// Looks at images (N, C, H, W) of which `natural` are the originals; f32 both.
///
/// # Errors
/// Where the network fails.
pub(crate) fn look(
    victim: &Network,
    ball: Ball,
    images: &Tensor,
    natural: &Tensor,
    labels: &[u32],
) -> Result<Vec<SecondLook>> {
    let changes = ball.distances(images, natural)?;
    let pixels = images.flatten_from(1)?.to_vec2::<f32>()?;
    let rounded: Vec<f32> = pixels.iter().flatten().map(|&x| rounded(x)).collect();
    let rounded = Tensor::from_vec(rounded, images.shape(), images.device())?;
    let predicted = predictions(&victim.forward(images, Mode::Eval)?.logits)?;
    let predicted_rounded = predictions(&victim.forward(&rounded, Mode::Eval)?.logits)?;
    let looks = labels.iter().enumerate().map(|(row, &label)| SecondLook {
        change: changes[row],
        is_finite: pixels[row].iter().all(|x| x.is_finite()),
        // What is no number is counted as such.
        is_in_box: pixels[row].iter().all(|x| x.is_nan() || (0.0..=1.0).contains(x)),
        is_correct: predicted[row] == label,
        is_correct_rounded: predicted_rounded[row] == label,
    });
    Ok(looks.collect())
}

/// The nearest of the 256 levels that a picture's file holds, as a network gets it from there.
fn rounded(pixel: f32) -> f32 {
    let level = (pixel * 255.0).round().clamp(0.0, 255.0) as u8;
    f32::from(level) / 255.0
}

/// What the looks at all broken images come to; there is one for each.
pub(crate) fn audit(outcomes: &[ImageOutcome], looks: &[Option<SecondLook>]) -> Audit {
    let count = |holds: fn(&SecondLook) -> bool| looks.iter().flatten().filter(|look| holds(look)).count() as u64;
    let robust = outcomes.iter().filter(|image| image.outcome == Outcome::Robust).count() as u64;
    let accuracy = |regained| Accuracy { correct: robust + regained, total: outcomes.len() as u64 };
    let changes = looks.iter().flatten().filter(|look| look.is_finite).map(|look| look.change);
    Audit {
        largest_change: changes.fold(0.0, f64::max),
        outside_box: count(|look| !look.is_in_box),
        not_finite: count(|look| !look.is_finite),
        recounted: accuracy(count(|look| look.is_correct)),
        rounded: accuracy(count(|look| look.is_correct_rounded)),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rrm_models::NetworkSpec;
    use rrm_spec::{Norm, Normalization};

    use super::*;

    fn network() -> Network {
        let spec = NetworkSpec {
            arch: "dnn/16".parse().unwrap(),
            channels: 3,
            classes: 3,
            normalization: Normalization::Identity,
            representation_width: 32,
            temperature: 1.0,
        };
        Network::initialize(&spec, 1, &Device::Cpu, DType::F32).unwrap()
    }

    /// Images of one grey each.
    fn grey(levels: &[f32]) -> Tensor {
        let images: Vec<Tensor> =
            levels.iter().map(|&level| Tensor::full(level, (1, 3, 32, 32), &Device::Cpu).unwrap()).collect();
        Tensor::cat(&images, 0).unwrap()
    }

    #[test]
    fn a_change_beyond_the_box_and_pixels_that_are_no_numbers_are_seen() {
        let natural = grey(&[0.5, 0.99, 0.5]);
        let images = grey(&[0.53, 1.02, f32::NAN]);
        let ball = Ball { norm: Norm::Linf, epsilon: 8.0 / 255.0 };
        let looks = look(&network().frozen(), ball, &images, &natural, &[0, 1, 2]).unwrap();
        let seen: Vec<_> = looks.iter().map(|look| (look.is_finite, look.is_in_box)).collect();
        assert_eq!(seen, [(true, true), (true, false), (false, true)]);
        let outcome = |image| ImageOutcome {
            image,
            label: image,
            prediction: image,
            outcome: Outcome::Broken { restart: 0 },
            closest: None,
        };
        let outcomes: Vec<ImageOutcome> = (0..3).map(outcome).collect();
        let audit = audit(&outcomes, &looks.into_iter().map(Some).collect::<Vec<_>>());
        assert_eq!((audit.outside_box, audit.not_finite), (1, 1));
        assert!((audit.largest_change - 0.03).abs() < 1e-6, "{audit:?}");
    }

    #[test]
    fn what_a_network_says_of_the_images_and_of_the_rounded_ones_is_counted_beside_the_robust() {
        let (network, ball) = (network().frozen(), Ball { norm: Norm::Linf, epsilon: 1.0 });
        let images = grey(&[0.2, 0.7]);
        let predicted = predictions(&network.forward(&images, Mode::Eval).unwrap().logits).unwrap();
        // Of the first image the network says the label, of the second it does not.
        let labels = [predicted[0], (predicted[1] + 1) % 3];
        let looks = look(&network, ball, &images, &images, &labels).unwrap();
        let outcome = |image, outcome| ImageOutcome { image, label: 0, prediction: 0, outcome, closest: None };
        let broken = Outcome::Broken { restart: 0 };
        let outcomes =
            [outcome(0, broken), outcome(1, broken), outcome(2, Outcome::Robust), outcome(3, Outcome::Misclassified)];
        let audit = audit(&outcomes, &[Some(looks[0]), Some(looks[1]), None, None]);
        assert_eq!(audit.recounted, Accuracy { correct: 2, total: 4 });
        assert_eq!(audit.largest_change, 0.0);
    }

    #[test]
    fn a_picture_survives_the_rounding_and_what_lies_between_goes_to_the_nearest() {
        assert!((0..=255u8).all(|level| rounded(f32::from(level) / 255.0) == f32::from(level) / 255.0));
        let expected = [0u8, 1, 255, 0].map(|level| f32::from(level) / 255.0);
        assert_eq!([0.4, 0.6, 300.0, -1.0].map(|level| rounded(level / 255.0)), expected);
        assert_eq!(rounded(f32::NAN), 0.0);
    }
}
