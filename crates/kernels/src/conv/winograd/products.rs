//! Forward pass and input gradient: transformed tiles times transformed weights.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::kernel::{self, LINE};
use super::lines::{Lines, point_stride, points_len};
use super::points::{
    Destination, Images, Kind, Output, Panels, Products, Summed, strip_len, transform_unit, write_unit,
};
use super::tiling::{Tiling, UNIT_TILES, Unit};
use super::transform::POINTS;
use super::weights::{Transformed, Weights};
use crate::conv::shape::ConvShape;
use crate::conv::weight::{Purpose, Weight};
use crate::epilogue::Finish;
use crate::output::{Shared, overwritable};
use crate::scratch;
use crate::simd::{Isa, Ready};

/// Weights beyond this number (their transform takes 16 MB) are read once for many tiles, and, unless they last, transformed group by
/// group where they are used.
const MAX_SHARED_WEIGHTS: usize = 16 * 1024 * 1024 / (POINTS * 4);

/// Tiles that one transform of a group's weights serves.
const TILES_PER_WEIGHTS: usize = 160;

/// `out = finish(conv(x, weight))`; writes all of `out`.
pub(crate) fn forward(
    isa: Isa,
    s: &ConvShape,
    x: &[f32],
    weight: Weight<'_, f32>,
    finish: Finish<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let images = Images { numbers: x, channels: s.in_channels, height: s.height, width: s.width };
    let pass = Pass::new(isa, Tiling::forward(s), Weights::forward(s, weight.numbers), images);
    let transformed = (weight.lasts() || !pass.are_many())
        .then(|| weight.form(Purpose::Forward, isa, s, || pass.transform_weights()));
    pass.run(transformed.as_deref(), Output { numbers: &Shared::new(out), channels: s.out_channels, finish });
}

/// Gradient of the input, from the gradient of the output; writes all of `out`.
pub(crate) fn input_gradient(
    isa: Isa,
    s: &ConvShape,
    gradient: &[f32],
    weight: Weight<'_, f32>,
    out: &mut [MaybeUninit<f32>],
) {
    let images = Images { numbers: gradient, channels: s.out_channels, height: s.out_height(), width: s.out_width() };
    let pass = Pass::new(isa, Tiling::backward(s), Weights::backward(s, weight.numbers), images);
    let transformed = (weight.lasts() || !pass.are_many())
        .then(|| weight.form(Purpose::InputGradient, isa, s, || pass.transform_weights()));
    let output = Output { numbers: &Shared::new(out), channels: s.in_channels, finish: Finish::NONE };
    pass.run(transformed.as_deref(), output);
}

struct Pass<'a> {
    isa: Isa,
    functions: &'static Lines,
    products: &'static kernel::Products,
    tiling: Tiling,
    weights: Weights<'a>,
    images: Images<'a>,
}

impl<'a> Pass<'a> {
    fn new(isa: Isa, tiling: Tiling, weights: Weights<'a>, images: Images<'a>) -> Self {
        Self { isa, functions: Lines::of(isa), products: kernel::Products::of(isa), tiling, weights, images }
    }

    /// Whether a core's caches do not hold the weights' transform.
    fn are_many(&self) -> bool {
        self.weights.reduced * self.weights.computed > MAX_SHARED_WEIGHTS
    }

    fn transform_weights(&self) -> Transformed {
        self.weights.transform_all(self.functions, self.products)
    }

    fn run(&self, transformed: Option<&Transformed>, output: Output<'_>) {
        if let (false, Some(transformed)) = (self.are_many(), transformed) {
            return self.by_tiles(transformed, output);
        }
        let images = (TILES_PER_WEIGHTS / self.tiling.per_image()).max(1);
        for first in (0..self.tiling.images).step_by(images) {
            self.by_channels(first..self.tiling.images.min(first + images), transformed, output);
        }
    }

    /// Each task takes a unit of tiles from the images to the output.
    fn by_tiles(&self, transformed: &Transformed, output: Output<'_>) {
        let (rows, lines) = (self.weights.rows(self.products), self.lines());
        let units = self.tiling.units(0..self.tiling.images, UNIT_TILES);
        units.into_par_iter().for_each(|unit| {
            let panels = Panels::new(self.products, unit.tiles(&self.tiling));
            let tiles = panels.room();
            let (v_numbers, m_numbers) = (panels.numbers(tiles, lines.0), tiles * lines.1 * LINE);
            let (v_len, m_len) = (points_len(v_numbers), points_len(m_numbers));
            scratch::with(v_len + m_len + 2 * strip_len(&self.tiling, &unit), |memory| {
                let (v, rest) = memory.split_at_mut(v_len);
                let (m, strip) = rest.split_at_mut(m_len);
                self.transform(&unit, 0, &panels, &Shared::new(overwritable(v)), point_stride(v_numbers), strip);
                let ready = self.isa.ready();
                for point in 0..POINTS {
                    let v = &v[point * point_stride(v_numbers)..];
                    let m = &mut m[point * point_stride(m_numbers)..];
                    let u = &transformed.numbers[point * transformed.stride..];
                    for group in (0..lines.1).step_by(self.products.lines()) {
                        let width = self.products.lines().min(lines.1 - group);
                        let (u, m) = (&u[group * rows * LINE..], &mut m[group * tiles * LINE..]);
                        self.multiply(&ready, &panels, width, v, u, m);
                    }
                }
                drop(ready);
                let stride = point_stride(m_numbers);
                let products = Products { points: m, stride, tiles, first_line: 0, lines: lines.1 };
                // SAFETY: units share no rows of an image.
                unsafe { write_unit(self.functions, &self.tiling, &unit, products, output, strip) };
            });
        });
    }

    /// All tiles are transformed; then each task takes a group of computed channels from its weights to the output.
    fn by_channels(&self, images: std::ops::Range<usize>, transformed: Option<&Transformed>, output: Output<'_>) {
        let all = Unit { images: images.clone(), rows: 0..self.tiling.rows() };
        let lines = self.lines();
        let panels = Panels::new(self.products, all.tiles(&self.tiling));
        let v_stride = point_stride(panels.numbers(panels.room(), lines.0));
        scratch::with(POINTS * v_stride, |v| {
            let shared = Shared::new(overwritable(v));
            let units = self.tiling.units(images, self.products.tiles());
            units.into_par_iter().for_each(|unit| {
                scratch::with(strip_len(&self.tiling, &unit), |strip| {
                    let rows_before = (unit.images.start - all.images.start) * self.tiling.rows() + unit.rows.start;
                    self.transform(&unit, rows_before * self.tiling.columns(), &panels, &shared, v_stride, strip);
                });
            });
            let groups = (0..lines.1).into_par_iter().step_by(self.products.lines());
            groups.for_each(|group| self.group(&all, &panels, v, group, transformed, output));
        });
    }

    /// One group of computed channels for all tiles of a unit.
    fn group(
        &self,
        unit: &Unit,
        panels: &Panels,
        v: &[f32],
        group: usize,
        transformed: Option<&Transformed>,
        output: Output<'_>,
    ) {
        let (tiles, lines) = (panels.room(), group..self.lines().1.min(group + self.products.lines()));
        let v_stride = point_stride(panels.numbers(tiles, self.lines().0));
        let m_stride = point_stride(tiles * lines.len() * LINE);
        let u_len = if transformed.is_some() { 0 } else { points_len(self.u_numbers(lines.len())) };
        scratch::with(u_len + POINTS * m_stride + 2 * strip_len(&self.tiling, unit), |memory| {
            let (u, rest) = memory.split_at_mut(u_len);
            let (m, strip) = rest.split_at_mut(POINTS * m_stride);
            let (u, u_stride) = self.group_weights(lines.clone(), transformed, u);
            let ready = self.isa.ready();
            for point in 0..POINTS {
                let (v, u) = (&v[point * v_stride..], &u[point * u_stride..]);
                self.multiply(&ready, panels, lines.len(), v, u, &mut m[point * m_stride..]);
            }
            drop(ready);
            let products = Products { points: m, stride: m_stride, tiles, first_line: group, lines: lines.len() };
            // SAFETY: groups share no channels.
            unsafe { write_unit(self.functions, &self.tiling, unit, products, output, strip) };
        });
    }

    /// The transformed weights of a group of lines and the distance of their points; what is not transformed yet comes into `memory`.
    fn group_weights<'m>(
        &self,
        lines: std::ops::Range<usize>,
        transformed: Option<&'m Transformed>,
        memory: &'m mut [f32],
    ) -> (&'m [f32], usize) {
        if let Some(Transformed { numbers, stride }) = transformed {
            return (&numbers[self.u_numbers(lines.start)..], *stride);
        }
        let stride = point_stride(self.u_numbers(lines.len()));
        assert!(memory.len() >= POINTS * stride);
        // SAFETY: by the assert there is a stride for each point.
        unsafe {
            let functions = (self.functions, self.products);
            self.weights.transform(functions, 0..self.weights.reduced, lines, memory.as_mut_ptr(), stride);
        }
        (memory, stride)
    }

    /// Transforms a unit's windows to `points`, where its tiles start with `first_tile`.
    fn transform(
        &self,
        unit: &Unit,
        first_tile: usize,
        panels: &Panels,
        points: &Shared<'_, f32>,
        stride: usize,
        strip: &mut [f32],
    ) {
        let to = Destination { points, stride, summed: Summed::Channels(panels), first_tile };
        // SAFETY: units share no tiles, and the points have room for all of them.
        unsafe { transform_unit(self.functions, &self.tiling, unit, self.images, Kind::Window, to, strip) };
    }

    /// One point's product for `width` lines of computed channels, for all panels of tiles.
    fn multiply(&self, _: &Ready, panels: &Panels, width: usize, v: &[f32], u: &[f32], m: &mut [f32]) {
        let (rows, lines, tiles) = (self.weights.rows(self.products), self.lines().0, panels.room());
        let products = self.products.by_lines[width - 1].tiles;
        assert!(
            v.len() >= panels.numbers(tiles, lines)
                && u.len() >= rows * width * LINE
                && m.len() >= width * tiles * LINE
        );
        for panel in panels.iter() {
            // SAFETY: the assert bounds what is read and written: the panel's lines in `v`, the rows of weights in `u`, and the
            // panel's lines of each computed channel line in `m`, whole blocks of them where the products take blocks.
            unsafe {
                products[panel.len() - 1](
                    rows,
                    v.as_ptr().add(panels.numbers(panel.start, lines)),
                    u.as_ptr(),
                    m.as_mut_ptr().add(panel.start * LINE),
                    tiles * LINE,
                );
            }
        }
    }

    /// Lines of reduced and of computed channels.
    fn lines(&self) -> (usize, usize) {
        (self.weights.reduced_lines(), self.weights.computed_lines())
    }

    /// Numbers of the transformed weights of `lines` lines at one point.
    fn u_numbers(&self, lines: usize) -> usize {
        self.weights.rows(self.products) * lines * LINE
    }
}
