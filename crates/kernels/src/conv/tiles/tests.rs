use proptest::prelude::*;

use super::{forward, input_gradient, weight_gradient};
use crate::conv::checks::{Implementation, cases, check_on, shapes};
use crate::conv::shape::ConvShape;
use crate::simd::Isa;

const TILES: Implementation =
    Implementation { tolerance: 5e-5, bf16_tolerance: 5e-5, forward, input_gradient, weight_gradient };

fn check(s: &ConvShape) {
    let isas = Isa::available_for_bf16().into_iter().filter(|&isa| isa == Isa::Avx512Amx);
    check_on(&isas.collect::<Vec<_>>(), s, &TILES);
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn tiles_compute_the_definition(s in shapes()) {
        check(&s);
    }
}

#[test]
fn tiles_compute_the_layers_of_real_networks() {
    let layer = |images, in_channels, out_channels, size, kernel, stride, padding| ConvShape {
        images,
        in_channels,
        out_channels,
        height: size,
        width: size,
        kernel,
        stride,
        padding,
    };
    for s in [
        layer(35, 3, 40, 32, 3, 1, 1),  // stem, last group of images smaller
        layer(17, 64, 64, 32, 3, 1, 1), // strips
        layer(3, 70, 100, 16, 3, 2, 1), // strided, channels that fill no tile
        layer(5, 32, 48, 16, 1, 2, 0),  // shortcut: some inputs are read by no tap
        layer(40, 150, 130, 4, 3, 1, 1),
        layer(33, 64, 64, 2, 3, 1, 1),
        layer(2, 16, 20, 63, 11, 4, 2),
        layer(5, 80, 40, 8, 1, 1, 0), // pointwise
        layer(3, 16, 17, 1, 1, 3, 1), // padding alone is read
    ] {
        check(&s);
    }
}
