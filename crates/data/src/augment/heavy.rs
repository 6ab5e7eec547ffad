use super::{Colour, Draws, adjust, light, rotate};
use crate::{ImageRng, Shape};

/// Factors are uniform in 1 ± this.
const JITTER: f64 = 0.25;

/// Angles are uniform in 0 ± this, in degrees.
const LARGEST_ANGLE: f64 = 2.0;

/// The random choices of heavy augmentation (digest §4.1) for one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeavyDraws {
    /// Crop and flip, the same as light augmentation of the image draws.
    pub light: Draws,
    /// Changes of colour and their factors, in their order.
    pub colours: [(Colour, f32); 3],
    /// The angle of the rotation at the end, counter-clockwise.
    pub degrees: f64,
}

impl HeavyDraws {
    /// The next choices of a stream.
    pub fn from_rng(rng: &mut ImageRng) -> Self {
        let light = Draws::from_rng(rng);
        let colours = jitter(rng, JITTER);
        Self { light, colours, degrees: around(rng, 0.0, LARGEST_ANGLE) }
    }
}

/// torchvision's `ColorJitter(spread, spread, spread)`: three factors in random order.
pub(super) fn jitter(rng: &mut ImageRng, spread: f64) -> [(Colour, f32); 3] {
    let mut colours = Colour::ALL.map(|colour| (colour, around(rng, 1.0, spread) as f32));
    for last in (1..colours.len()).rev() {
        colours.swap(last, rng.below(last as u64 + 1) as usize);
    }
    colours
}

fn around(rng: &mut ImageRng, middle: f64, spread: f64) -> f64 {
    middle + spread * (2.0 * rng.uniform() - 1.0)
}

/// Crops, flips, changes the colours and turns `pixels` (C·H·W, C = 1 or 3): MadryLab's transforms of CIFAR-10's
/// training images with the choices made, to the byte.
///
/// # Panics
/// Where `pixels` or `out` is not of `shape`, or an offset exceeds 2·[`super::PADDING`].
pub fn heavy(pixels: &[u8], shape: Shape, draws: &HeavyDraws, out: &mut [u8]) {
    let mut upright = vec![0; shape.image_len()];
    light(pixels, shape, draws.light, &mut upright);
    for (colour, factor) in draws.colours {
        adjust(&mut upright, shape, colour, factor);
    }
    rotate(&upright, shape, draws.degrees, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    fn draws() -> impl Iterator<Item = HeavyDraws> {
        (0..6_000).map(|image| HeavyDraws::from_rng(&mut ImageRng::new(3, Stream::Augmentation, &[1, image])))
    }

    #[test]
    fn colours_come_in_every_order_equally_often() {
        let mut counts = std::collections::HashMap::<String, u32>::new();
        draws().for_each(|d| *counts.entry(format!("{:?}", d.colours.map(|(colour, _)| colour))).or_default() += 1);
        // 1000 expected of each of the 6; four standard deviations are 115.
        assert!(counts.len() == 6 && counts.values().all(|count| count.abs_diff(1_000) < 115), "{counts:?}");
    }

    #[test]
    fn factors_and_angles_fill_their_ranges_evenly() {
        for colour in Colour::ALL {
            let factor = |draws: HeavyDraws| draws.colours.into_iter().find(|(c, _)| *c == colour).unwrap().1;
            assert_uniform(draws().map(|draws| f64::from(factor(draws))), 0.75, 1.25);
        }
        assert_uniform(draws().map(|draws| draws.degrees), -2.0, 2.0);
    }

    fn assert_uniform(values: impl Iterator<Item = f64>, low: f64, high: f64) {
        let mut quarters = [0u32; 4];
        for value in values {
            assert!((low..=high).contains(&value), "{value}");
            quarters[((value - low) / (high - low) * 4.0).min(3.0) as usize] += 1;
        }
        // 1500 expected in each quarter; four standard deviations are 134.
        assert!(quarters.iter().all(|count| count.abs_diff(1_500) < 134), "{quarters:?}");
    }

    #[test]
    fn the_crop_is_the_one_of_light_augmentation() {
        let key = [7, 11];
        let light = Draws::from_rng(&mut ImageRng::new(3, Stream::Augmentation, &key));
        assert_eq!(HeavyDraws::from_rng(&mut ImageRng::new(3, Stream::Augmentation, &key)).light, light);
    }
}
