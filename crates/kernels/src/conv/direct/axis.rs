//! Where the pixels of an image lie along one axis of a padded plane.
//!
//! A convolution of stride s reads the padded row (or column) `s * o + tap` for output `o`. Sorting the padded rows by their
//! *phase*, their remainder modulo s, turns every tap into a constant shift: tap `t` reads phase `t % s` at `o + t / s`. So
//! with one plane per phase, and all planes of equal pitch, a tap is one offset, the same for every pixel of every image,
//! and a vector of neighbouring pixels is read in one go.
//!
//! The zeros behind an image's row serve as those before the next row, which keeps the planes short.

use crate::conv::shape::ConvShape;

/// One axis of the planes that a pass reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Zeros before the pixels.
    pub(crate) front: usize,
    /// Distance of two images' rows (or of two rows' columns), zeros included.
    pub(crate) pitch: usize,
    /// Pixels of each phase: the first, and how many, `stride` apart.
    pub(crate) phases: Vec<Pixels>,
    pub(crate) stride: usize,
}

/// Every `stride`th pixel from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// The numbers of one axis of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Extent {
    /// The vertical axis of a convolution.
    pub(crate) fn rows(s: &ConvShape) -> Self {
        Self { inputs: s.height, outputs: s.out_height(), kernel: s.kernel, stride: s.stride, padding: s.padding }
    }

    /// The horizontal axis of a convolution.
    pub(crate) fn columns(s: &ConvShape) -> Self {
        Self { inputs: s.width, outputs: s.out_width(), ..Self::rows(s) }
    }

    /// Phases that some tap reads.
    fn phases(&self) -> usize {
        self.stride.min(self.kernel)
    }

    /// Last shift of a phase's taps.
    fn last_shift(&self, phase: usize) -> usize {
        (self.kernel - 1 - phase) / self.stride
    }

    /// First place of a phase that holds a pixel rather than padding.
    fn first_place(&self, phase: usize) -> usize {
        self.padding.saturating_sub(phase).div_ceil(self.stride)
    }

    /// Pixels of a phase.
    pub(crate) fn pixels(&self, phase: usize) -> Pixels {
        let first = self.first_place(phase) * self.stride + phase - self.padding;
        Pixels { first, count: self.inputs.saturating_sub(first).div_ceil(self.stride) }
    }

    /// The axis of the input's planes, and for each tap its phase and shift.
    pub(crate) fn of_input(&self) -> (Axis, Vec<(usize, usize)>) {
        let phases: Vec<Pixels> = (0..self.phases()).map(|phase| self.pixels(phase)).collect();
        let front = (0..phases.len()).map(|phase| self.first_place(phase)).max().unwrap_or(0);
        let pitch = |(phase, pixels): (usize, &Pixels)| {
            let read = self.outputs + self.last_shift(phase);
            let behind = read.saturating_sub(self.first_place(phase) + pixels.count);
            (front + pixels.count).max(pixels.count + behind)
        };
        let pitch = phases.iter().enumerate().map(pitch).max().unwrap_or(0).max(self.outputs);
        let taps = (0..self.kernel).map(|tap| {
            let phase = tap % self.stride;
            (phase, tap / self.stride + front - self.first_place(phase))
        });
        let taps = taps.collect();
        (Axis { front, pitch, phases, stride: self.stride }, taps)
    }

    /// The axis of the output gradient's planes, and for each phase of the input that has taps, its taps and their shifts.
    pub(crate) fn of_gradient(&self) -> (Axis, Vec<Vec<(usize, usize)>>) {
        let (mut front, mut behind) = (0, 0);
        for phase in 0..self.phases() {
            let first = self.first_place(phase);
            front = front.max(self.last_shift(phase).saturating_sub(first));
            behind = behind.max((first + self.pixels(phase).count).saturating_sub(self.outputs));
        }
        let axis = Axis {
            front,
            pitch: self.outputs + front.max(behind),
            phases: vec![Pixels { first: 0, count: self.outputs }],
            stride: 1,
        };
        let taps_of = |phase: usize| {
            let shifts = 0..=self.last_shift(phase);
            // Place u of the phase is padded row (u + first) * stride + phase, which output u + first - shift read by
            // the tap phase + shift * stride.
            shifts.map(|shift| (phase + shift * self.stride, front + self.first_place(phase) - shift)).collect()
        };
        (axis, (0..self.phases()).map(taps_of).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extents() -> impl Strategy<Value = Extent> {
        (1usize..20, 1usize..6, 1usize..5, 0usize..4)
            .prop_filter("has outputs", |&(inputs, kernel, _, padding)| inputs + 2 * padding >= kernel)
            .prop_map(|(inputs, kernel, stride, padding)| {
                let outputs = (inputs + 2 * padding - kernel) / stride + 1;
                Extent { inputs, outputs, kernel, stride, padding }
            })
    }

    /// Three images' rows one after the other: place -> pixel (image, row), or none for a zero.
    fn place(axis: &Axis, phase: usize, place: usize) -> Option<(usize, usize)> {
        let (image, within) = (place / axis.pitch, place % axis.pitch);
        let index = within.checked_sub(axis.front)?;
        let pixels = axis.phases[phase];
        (index < pixels.count).then(|| (image, pixels.first + index * axis.stride))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_tap_reads_its_pixel_or_a_zero(e in extents()) {
            let (axis, taps) = e.of_input();
            prop_assert!(axis.pitch >= e.outputs);
            for image in 0..3 {
                for output in 0..e.outputs {
                    for (tap, &(phase, shift)) in taps.iter().enumerate() {
                        let row = (output * e.stride + tap).checked_sub(e.padding).filter(|&row| row < e.inputs);
                        let read = place(&axis, phase, image * axis.pitch + output + shift);
                        prop_assert_eq!(read, row.map(|row| (image, row)));
                    }
                }
            }
        }

        #[test]
        fn every_input_gradient_reads_the_outputs_that_read_it(e in extents()) {
            let (axis, phases) = e.of_gradient();
            for (phase, taps) in phases.iter().enumerate() {
                let pixels = e.pixels(phase);
                prop_assert!(pixels.count == 0 || axis.pitch >= pixels.count);
                for image in 0..3 {
                    for u in 0..pixels.count {
                        let row = pixels.first + u * e.stride;
                        for &(tap, shift) in taps {
                            let output = (row + e.padding).checked_sub(tap).map(|o| {
                                assert_eq!(o % e.stride, 0, "the tap belongs to another phase");
                                o / e.stride
                            });
                            let output = output.filter(|&o| o < e.outputs).map(|o| (image, o));
                            prop_assert_eq!(place(&axis, 0, image * axis.pitch + u + shift), output);
                        }
                    }
                }
            }
        }
    }
}
