//! How coarsely Winograd's algorithm rounds: bounds on its error against f64, pass by pass.
//!
//! For uniform numbers the images of both passes are off by 1.0e-7 √channels (relative, L2; 7.8e-7 at 64 channels, 2.3e-6 at 512),
//! which is oneDNN's Winograd to the digit, and single numbers by up to 1.6e-6 √channels of the root mean square. Weight
//! gradients, sums over the tiles, are off by 4.8e-7 to 1.5e-6. A direct convolution is off by 2e-7. Code without a fused
//! multiply-add comes within a few percent of this.
//!
//! With factors of bf16 every pass is off by 1.1e-2 to 1.3e-2 (relative, L2): it is the transformed numbers that are rounded, which
//! are larger than what their sums leave.

use super::{forward, input_gradient, weight_gradient};
use crate::conv::checks::numbers;
use crate::conv::plain;
use crate::conv::shape::ConvShape;
use crate::conv::weight::Weight;
use crate::epilogue::Finish;
use crate::output::overwritable;
use crate::simd::Isa;

/// An error against f64.
#[derive(Clone, Copy, Debug)]
struct Rounding {
    /// Length of the error over the length of the result.
    relative: f64,
    /// Largest error of a number over the root mean square of the result.
    worst: f64,
}

impl Rounding {
    fn of(found: &[f32], exact: &[f64]) -> Self {
        assert_eq!(found.len(), exact.len());
        let errors = || found.iter().zip(exact).map(|(&found, exact)| (f64::from(found) - exact).abs());
        let length = exact.iter().map(|exact| exact * exact).sum::<f64>().sqrt();
        let worst =
            errors().fold(0.0, |worst: f64, error| if error.is_nan() { f64::INFINITY } else { worst.max(error) });
        Self {
            relative: errors().map(|error| error * error).sum::<f64>().sqrt() / length,
            worst: worst / (length / (exact.len() as f64).sqrt()),
        }
    }

    #[track_caller]
    fn within(self, bound: Self, what: &str) {
        let fits = self.relative <= bound.relative && self.worst <= bound.worst;
        assert!(fits, "{what}: {self:?}, and {bound:?} is allowed");
    }
}

/// The layers of ResNet18 on CIFAR, whose weight gradients go by different schedules, and a narrow one.
fn layers() -> [ConvShape; 5] {
    [(4, 64, 64, 32), (4, 128, 128, 16), (6, 256, 256, 8), (8, 512, 512, 4), (3, 16, 16, 32)].map(
        |(images, in_channels, out_channels, size)| ConvShape {
            images,
            in_channels,
            out_channels,
            height: size,
            width: size,
            kernel: 3,
            stride: 1,
            padding: 1,
        },
    )
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&number| f64::from(number)).collect()
}

/// What is allowed of images: it grows with the root of the number of products in a sum.
fn of_images(channels: usize) -> Rounding {
    let root = (channels as f64).sqrt();
    Rounding { relative: 1.6e-7 * root, worst: 2.4e-6 * root }
}

/// Over any number of tiles: partial sums keep it.
const OF_WEIGHTS: Rounding = Rounding { relative: 2e-6, worst: 1.6e-5 };

/// With factors of bf16, over any number of channels or tiles.
const OF_BF16: Rounding = Rounding { relative: 1.5e-2, worst: 0.15 };

#[test]
fn every_pass_rounds_no_coarser_than_winograd_must_on_every_instruction_set() {
    for s in layers() {
        let (x, weight, gradient) = (numbers(1, s.in_len()), numbers(2, s.weight_len()), numbers(3, s.out_len()));
        let (wide_x, wide_weight, wide_gradient) = (wide(&x), wide(&weight), wide(&gradient));
        let y = plain::forward(&s, &wide_x, &wide_weight, Finish::NONE);
        let dx = plain::input_gradient(&s, &wide_gradient, &wide_weight);
        let dw = plain::weight_gradient(&s, &wide_x, &wide_gradient);
        let f32s = Isa::available().into_iter().map(|isa| (isa, of_images as fn(usize) -> Rounding, OF_WEIGHTS));
        let bf16 = Isa::available_for_bf16().into_iter();
        let bf16 = bf16.map(|isa| (isa, (|_| OF_BF16) as fn(usize) -> Rounding, OF_BF16));
        for (isa, of_images, of_weights) in f32s.chain(bf16) {
            let mut found = vec![f32::NAN; s.out_len()];
            forward(isa, &s, &x, Weight::passing(&weight), Finish::NONE, overwritable(&mut found));
            Rounding::of(&found, &y).within(of_images(s.in_channels), &format!("forward, {isa:?} {s:?}"));
            let mut found = vec![f32::NAN; s.in_len()];
            input_gradient(isa, &s, &gradient, Weight::passing(&weight), overwritable(&mut found));
            Rounding::of(&found, &dx).within(of_images(s.out_channels), &format!("input gradient, {isa:?} {s:?}"));
            let mut found = vec![f32::NAN; s.weight_len()];
            weight_gradient(isa, &s, &x, &gradient, overwritable(&mut found));
            Rounding::of(&found, &dw).within(of_weights, &format!("weight gradient, {isa:?} {s:?}"));
        }
    }
}
