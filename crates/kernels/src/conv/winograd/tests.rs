use proptest::prelude::*;

use super::{can, forward, input_gradient, weight_gradient};
use crate::conv::checks::{Implementation, cases, check_against_definition, shapes};
use crate::conv::shape::ConvShape;

const WINOGRAD: Implementation =
    Implementation { tolerance: 1e-4, bf16_tolerance: 0.25, forward, input_gradient, weight_gradient };

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn every_instruction_set_computes_the_definition(s in shapes(), padding in 0usize..3) {
        let s = ConvShape { kernel: 3, stride: 1, padding, height: s.height.max(3), width: s.width.max(3), ..s };
        prop_assert!(can(&s));
        check_against_definition(&s, &WINOGRAD);
    }
}

#[test]
fn every_schedule_computes_the_definition() {
    let layer = |images, in_channels, out_channels, size| ConvShape {
        images,
        in_channels,
        out_channels,
        height: size,
        width: size,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    for s in [
        layer(3, 64, 48, 32),    // strips of an image
        layer(19, 33, 20, 8),    // several images per unit, more chunks than images per chunk
        layer(20, 140, 130, 4),  // shared channels
        layer(17, 140, 130, 16), // shared points
        layer(3, 350, 340, 4),   // more weights than are transformed at once
        layer(3, 17, 130, 30),   // tiles that stick out
    ] {
        check_against_definition(&s, &WINOGRAD);
    }
}
