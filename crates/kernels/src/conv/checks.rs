//! What the tests of every fast convolution share: random problems, and the f64 reference to compare with.

use std::mem::MaybeUninit;

use proptest::prelude::*;

use super::plain;
use super::shape::ConvShape;
use super::weight::{Forms, Weight};
use crate::epilogue::{Activation, Finish};
use crate::output::overwritable;
use crate::simd::Isa;

/// Convolutions of every kind that is worth a test, small.
pub(crate) fn shapes() -> impl Strategy<Value = ConvShape> {
    let sizes = (1usize..5, 1usize..20, 1usize..20, 1usize..15, 1usize..15);
    (sizes, 1usize..6, 1usize..4, 0usize..4)
        .prop_filter("has outputs", |&((_, _, _, height, width), kernel, _, padding)| {
            height.min(width) + 2 * padding >= kernel
        })
        .prop_map(|((images, in_channels, out_channels, height, width), kernel, stride, padding)| ConvShape {
            images,
            in_channels,
            out_channels,
            height,
            width,
            kernel,
            stride,
            padding,
        })
}

/// `usual` cases, or fewer where `PROPTEST_CASES` asks for fewer, as `tests/memcheck.sh` does for slow tools.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = asked.map_or(usual, |asked: u32| asked.min(usual));
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

type Forward = fn(Isa, &ConvShape, &[f32], Weight<'_, f32>, Finish<'_, f32>, &mut [MaybeUninit<f32>]);
type InputGradient = fn(Isa, &ConvShape, &[f32], Weight<'_, f32>, &mut [MaybeUninit<f32>]);
type WeightGradient = fn(Isa, &ConvShape, &[f32], &[f32], &mut [MaybeUninit<f32>]);

/// The three passes of one fast implementation, and how far a number of theirs may be from the definition's, over the root mean
/// square.
pub(crate) struct Implementation {
    pub(crate) tolerance: f64,
    /// With factors of bf16, for arguments that are bf16.
    pub(crate) bf16_tolerance: f64,
    pub(crate) forward: Forward,
    pub(crate) input_gradient: InputGradient,
    pub(crate) weight_gradient: WeightGradient,
}

/// Numbers in [-1, 1), from a counter, the same everywhere.
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.iter().map(|number| number.to_bits()).eq(b.iter().map(|number| number.to_bits()))
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&number| f64::from(number)).collect()
}

/// Largest difference, over the root mean square of the expected numbers, or `floor` where that is larger.
fn error(got: &[f32], expected: &[f64], floor: f64) -> f64 {
    let square = expected.iter().map(|e| e * e).sum::<f64>() / expected.len() as f64;
    let differences = got.iter().zip(expected).map(|(&g, e)| (f64::from(g) - e).abs());
    differences.fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { f64::max(worst, d) })
        / square.sqrt().max(floor)
}

/// Checks all three passes on every instruction set of this processor against the definition in f64.
pub(crate) fn check_against_definition(s: &ConvShape, implementation: &Implementation) {
    let tolerance = implementation.tolerance;
    check(s, implementation, &Isa::available(), numbers, |got, expected, _| (error(got, expected, 1e-3), tolerance));
    check_on(&Isa::available_for_bf16(), s, implementation);
}

/// Checks all three passes on instruction sets for bf16.
pub(crate) fn check_on(isas: &[Isa], s: &ConvShape, implementation: &Implementation) {
    let tolerance = implementation.bf16_tolerance;
    if !isas.is_empty() {
        // A sum of a few products may be small by chance, and then no measure of what their rounding may cost.
        let usual = |products: usize| (products as f64).sqrt() / 3.0;
        let cut = |seed, len| rounded(&numbers(seed, len));
        check(s, implementation, isas, cut, |got, expected, products| {
            (error(got, expected, usual(products)), tolerance)
        });
    }
}

/// The numbers, cut to what bf16 holds.
fn rounded(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().map(|number| f32::from_bits(number.to_bits() & 0xffff_0000)).collect()
}

/// Checks the passes on `isas`; `judge(got, expected, products in a sum)` says how far off they are, and may be.
fn check(
    s: &ConvShape,
    implementation: &Implementation,
    isas: &[Isa],
    numbers: impl Fn(u64, usize) -> Vec<f32>,
    judge: impl Fn(&[f32], &[f64], usize) -> (f64, f64),
) {
    let (x, weight) = (numbers(1, s.in_len()), numbers(2, s.weight_len()));
    let (gradient, residual, bias) = (numbers(3, s.out_len()), numbers(4, s.out_len()), numbers(5, s.out_channels));
    let finish = Finish { bias: Some(&bias[..]), residual: Some(&residual[..]), activation: Activation::Relu };
    let (wide_bias, wide_residual) = (wide(&bias), wide(&residual));
    let wide_finish =
        Finish { bias: Some(&wide_bias[..]), residual: Some(&wide_residual[..]), activation: Activation::Relu };

    let expected = plain::forward(s, &wide(&x), &wide(&weight), wide_finish);
    let expected_dx = plain::input_gradient(s, &wide(&gradient), &wide(&weight));
    let expected_dw = plain::weight_gradient(s, &wide(&x), &wide(&gradient));

    let judge = |pass: &str, isa: Isa, got: &[f32], expected: &[f64], products: usize| {
        let (error, tolerance) = judge(got, expected, products);
        assert!(error < tolerance, "{pass} {isa:?} {s:?}: {error}");
    };
    for &isa in isas {
        // Started from NaN: whatever is not written shows.
        let forward = |weight| {
            let mut got = vec![f32::NAN; s.out_len()];
            (implementation.forward)(isa, s, &x, weight, finish, overwritable(&mut got));
            got
        };
        let input_gradient = |weight| {
            let mut got = vec![f32::NAN; s.in_len()];
            (implementation.input_gradient)(isa, s, &gradient, weight, overwritable(&mut got));
            got
        };
        let (y, dx) = (forward(Weight::passing(&weight)), input_gradient(Weight::passing(&weight)));
        judge("forward", isa, &y, &expected, s.in_channels * s.taps());
        judge("input gradient", isa, &dx, &expected_dx, s.out_channels * s.taps());
        // The same bits, whether a form of the weight is made or found.
        let forms = Forms::default();
        for _ in 0..2 {
            let lasting = Weight::new(&weight, Some(&forms));
            assert!(same_bits(&forward(lasting), &y) && same_bits(&input_gradient(lasting), &dx), "{isa:?} {s:?}");
        }
        let mut got = vec![f32::NAN; s.weight_len()];
        (implementation.weight_gradient)(isa, s, &x, &gradient, overwritable(&mut got));
        judge("weight gradient", isa, &got, &expected_dw, s.images * s.out_plane());
    }
}
