//! Fully connected layers of few images.
//!
//! With few images a layer's weights, which may be a hundred megabytes, are read more slowly than multiplied. So here they are read
//! once, where they lie: a [`Direct`](super::choice::Algorithm::Direct) product would pack them first, which pays when many images
//! share what was packed. Every output and every image's gradient is the same sum in the same order as there, to the bit: an image's
//! results do not depend on its batch.

mod kernel;

use std::mem::MaybeUninit;

use rayon::prelude::*;

use self::kernel::Kernels;
use super::shape::ConvShape;
use super::weight::Weight;
use crate::epilogue::Finish;
use crate::output::Shared;
use crate::scratch;
use crate::simd::Isa;

/// Images beyond which packing pays.
const MAX_IMAGES: usize = 32;

/// Outputs whose weights one task reads.
const TASK_OUTPUTS: usize = 56;

/// Inputs whose gradient one task sums: as many as a first-level cache holds for all images.
const TASK_INPUTS: usize = 512;

/// Whether this is such a layer, of weights that a second-level cache does not hold.
pub(crate) fn suits(s: &ConvShape) -> bool {
    const MIN_WEIGHTS: usize = 1 << 18;
    /// Numbers of a row that kernels take at once at most.
    const STEP: usize = 32;
    *s == ConvShape::of_pixels(s.images, s.in_channels, s.out_channels)
        && (1..=MAX_IMAGES).contains(&s.images)
        && s.weight_len() >= MIN_WEIGHTS
        && s.in_channels.is_multiple_of(STEP)
}

/// `out = finish(x weightᵀ)`; writes all of `out`.
pub(crate) fn forward(
    isa: Isa,
    s: &ConvShape,
    x: &[f32],
    weight: Weight<'_, f32>,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let (kernels, inputs) = (Kernels::of(isa), s.in_channels);
    // Images lie side by side in vectors.
    let width = s.images.next_multiple_of(kernels.lanes);
    let mut images = vec![0.0; inputs * width];
    images.par_chunks_exact_mut(width).enumerate().for_each(|(input, images)| {
        images.iter_mut().zip(x[input..].iter().step_by(inputs)).for_each(|(to, from)| *to = *from);
    });
    let out = Shared::new(out);
    weight.numbers.par_chunks(TASK_OUTPUTS * inputs).enumerate().for_each(|(task, weight)| {
        let (first, outputs) = (task * TASK_OUTPUTS, weight.len() / inputs);
        scratch::with(outputs * width, |sums: &mut [f32]| {
            kernels.forward(inputs, weight, &images, sums);
            for image in 0..s.images {
                // SAFETY: tasks share no outputs.
                let out = unsafe { out.plane(image * s.out_channels + first, outputs) };
                for (output, (out, sums)) in out.iter_mut().zip(sums.chunks_exact(width)).enumerate() {
                    let channel = first + output;
                    out.write(finish.one(image * s.out_channels + channel, channel, sums[image]));
                }
            }
        });
    });
}

/// Gradient of the input, from the gradient of the output; writes all of `out`.
pub(crate) fn input_gradient(
    isa: Isa,
    s: &ConvShape,
    gradient: &[f32],
    weight: Weight<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let (kernels, out) = (Kernels::of(isa), Shared::new(out));
    (0..s.in_channels).into_par_iter().step_by(TASK_INPUTS).for_each(|first| {
        // Rows a power of two apart would share their cache sets.
        let (inputs, stride) = (TASK_INPUTS.min(s.in_channels - first), TASK_INPUTS + 16);
        scratch::with(s.images * stride, |sums: &mut [f32]| {
            sums.fill(0.0);
            kernels.input_gradient(s, gradient, &weight.numbers[first..], inputs, (sums, stride));
            for (image, sums) in sums.chunks_exact(stride).enumerate() {
                // SAFETY: tasks share no inputs.
                let out = unsafe { out.plane(image * s.in_channels + first, inputs) };
                out.iter_mut().zip(sums).for_each(|(out, &sum)| {
                    out.write(sum);
                });
            }
        });
    });
}

/// `out[o][i] = Σ gradient * x` over the images; writes all of `out`.
pub(crate) fn weight_gradient(isa: Isa, s: &ConvShape, x: &[f32], gradient: &[f32], out: &mut [MaybeUninit<f32>]) {
    let kernels = Kernels::of(isa);
    out.par_chunks_mut(TASK_OUTPUTS * s.in_channels).enumerate().for_each(|(task, out)| {
        kernels.weight_gradient(s, x, &gradient[task * TASK_OUTPUTS..], out);
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conv::checks::{Implementation, cases, check_against_definition, numbers};
    use crate::conv::direct;
    use crate::output::overwritable;

    const FEW: Implementation =
        Implementation { tolerance: 5e-5, bf16_tolerance: 5e-5, forward, input_gradient, weight_gradient };

    fn layers() -> impl Strategy<Value = ConvShape> {
        (1usize..=MAX_IMAGES, 1usize..40, 1usize..150)
            .prop_map(|(images, inputs, outputs)| ConvShape::of_pixels(images, 32 * inputs, outputs))
    }

    proptest! {
        #![proptest_config(cases(60))]

        #[test]
        fn every_instruction_set_computes_the_definition(s in layers()) {
            check_against_definition(&s, &FEW);
        }

        #[test]
        fn outputs_and_image_gradients_have_the_bits_of_a_packed_product(s in layers()) {
            let (x, weight, gradient) = (numbers(1, s.in_len()), numbers(2, s.weight_len()), numbers(3, s.out_len()));
            for isa in Isa::available() {
                let mut found = [vec![f32::NAN; s.out_len()], vec![f32::NAN; s.in_len()]];
                let mut packed = found.clone();
                let weight = Weight::passing(&weight);
                forward(isa, &s, &x, weight, Finish::NONE, overwritable(&mut found[0]));
                direct::forward(isa, &s, &x, weight, Finish::NONE, overwritable(&mut packed[0]));
                input_gradient(isa, &s, &gradient, weight, overwritable(&mut found[1]));
                direct::input_gradient(isa, &s, &gradient, weight, overwritable(&mut packed[1]));
                prop_assert!(found.concat().iter().map(|n| n.to_bits()).eq(packed.concat().iter().map(|n| n.to_bits())));
            }
        }
    }
}
