//! Which sources an output reads along one axis.

use crate::conv::shape::ConvShape;

/// One axis of a pass: of the forward pass, whose outputs read inputs, or of an input gradient, whose outputs, the inputs, read the gradient.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) outputs: usize,
    pub(super) sources: usize,
    /// Sources from one output of a phase to the next.
    pub(super) step: usize,
    /// For each phase, the remainder of an output's place: its taps, and the source that the first output reads with each.
    pub(super) phases: Vec<Vec<(usize, isize)>>,
}

impl Axis {
    /// Output `o` reads source `stride * o + tap - padding`.
    fn forward(s: &ConvShape, sources: usize, outputs: usize) -> Self {
        let taps = (0..s.kernel).map(|tap| (tap, tap as isize - s.padding as isize)).collect();
        Self { outputs, sources, step: s.stride, phases: vec![taps] }
    }

    /// Output `o` reads each source whose `stride` times with a tap leads back to it.
    fn backward(s: &ConvShape, sources: usize, outputs: usize) -> Self {
        let stride = s.stride as isize;
        let taps_of = |phase: usize| {
            let place = |tap: usize| (phase + s.padding) as isize - tap as isize;
            let taps = (0..s.kernel).filter(|&tap| place(tap) % stride == 0);
            taps.map(|tap| (tap, place(tap) / stride)).collect()
        };
        Self { outputs, sources, step: 1, phases: (0..s.stride).map(taps_of).collect() }
    }

    /// Rows and columns of a forward pass.
    pub(super) fn of_forward(s: &ConvShape) -> [Self; 2] {
        [Self::forward(s, s.height, s.out_height()), Self::forward(s, s.width, s.out_width())]
    }

    /// Rows and columns of an input gradient.
    pub(super) fn of_backward(s: &ConvShape) -> [Self; 2] {
        [Self::backward(s, s.out_height(), s.height), Self::backward(s, s.out_width(), s.width)]
    }

    /// Outputs of a phase.
    pub(super) fn count(&self, phase: usize) -> usize {
        self.outputs.saturating_sub(phase).div_ceil(self.phases.len())
    }

    /// The taps of output `output` that read a source, and which.
    pub(super) fn taps(&self, output: usize) -> impl Iterator<Item = (usize, usize)> {
        let (phase, index) = (output % self.phases.len(), output / self.phases.len());
        let source = move |&(tap, first): &(usize, isize)| {
            let source = usize::try_from(first + (index * self.step) as isize).ok()?;
            (source < self.sources).then_some((tap, source))
        };
        self.phases[phase].iter().filter_map(source)
    }

    /// Zeros before and behind the sources that some output reads.
    pub(super) fn margins(&self) -> (usize, usize) {
        let reads = |(phase, taps): (usize, &Vec<(usize, isize)>)| {
            let last = (self.count(phase).saturating_sub(1) * self.step) as isize;
            taps.iter().map(|&(_, first)| (first, first + last)).collect::<Vec<_>>()
        };
        let reads: Vec<_> = self.phases.iter().enumerate().flat_map(reads).collect();
        let first = reads.iter().map(|&(first, _)| first).min().unwrap_or(0);
        let last = reads.iter().map(|&(_, last)| last).max().unwrap_or(0);
        ((-first).max(0) as usize, (last + 1 - self.sources as isize).max(0) as usize)
    }
}
