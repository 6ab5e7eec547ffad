use proptest::prelude::*;

use super::{forward, input_gradient, weight_gradient};
use crate::conv::checks::{Implementation, cases, check_against_definition, shapes};
use crate::conv::shape::ConvShape;

const DIRECT: Implementation =
    Implementation { tolerance: 5e-5, bf16_tolerance: 5e-5, forward, input_gradient, weight_gradient };

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn every_instruction_set_computes_the_definition(s in shapes()) {
        check_against_definition(&s, &DIRECT);
    }
}

#[test]
fn the_layers_of_real_networks_compute_the_definition() {
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
        layer(33, 3, 8, 32, 3, 1, 1),   // stem, last group of images smaller
        layer(2, 64, 64, 32, 3, 1, 1),  // several groups' worth of numbers
        layer(3, 40, 70, 16, 3, 2, 1),  // strided, channels that fill no panel
        layer(5, 16, 24, 16, 1, 2, 0),  // shortcut
        layer(2, 200, 220, 4, 3, 2, 1), // weights too large for partial sums
        layer(1, 3, 16, 224, 7, 2, 3),  // large image
        layer(2, 3, 16, 63, 11, 4, 2),
        layer(70, 50, 30, 1, 1, 1, 0), // a linear layer
        layer(3, 2, 2, 1, 1, 3, 1),    // padding alone is read
        layer(5, 37, 45, 8, 1, 1, 0),  // pointwise
        layer(2, 20, 3, 16, 1, 1, 0),
    ] {
        check_against_definition(&s, &DIRECT);
    }
}
