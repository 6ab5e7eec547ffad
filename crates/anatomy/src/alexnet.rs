//! AlexNet for 224×224 images, with the authors' narrower second hidden layer (digest §1.3).

use crate::After;
use crate::builder::{Bias, Builder, Kernel};

/// (position in PyTorch's `features`, channels, kernel, position of the max-pool that follows).
const CONVOLUTIONS: [(usize, usize, Kernel, Option<usize>); 5] = [
    (0, 64, Kernel::new(11, 4, 2), Some(2)),
    (3, 192, Kernel::new(5, 1, 2), Some(5)),
    (6, 384, Kernel::three(1), None),
    (8, 256, Kernel::three(1), None),
    (10, 256, Kernel::three(1), Some(12)),
];

pub(crate) fn build(builder: &mut Builder, divided: impl Fn(usize) -> usize) {
    for (position, width, kernel, pool) in CONVOLUTIONS {
        builder.conv(format!("features.{position}"), divided(width), kernel, Bias::With, After::Relu);
        if let Some(position) = pool {
            builder.max_pool(format!("features.{position}"), 3, 2, 0);
        }
    }
    builder.dropout("classifier.0");
    builder.linear("classifier.1", divided(4096), After::Relu);
    builder.dropout("classifier.3");
    builder.linear("classifier.4", divided(2048), After::Relu);
}
