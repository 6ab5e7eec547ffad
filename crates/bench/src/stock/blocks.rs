//! The ResNet18 of CIFAR as a list of blocks.

/// Widths of the four stages, from the usual ones and a divisor.
pub(crate) fn widths(divisor: usize) -> [usize; 4] {
    [64, 128, 256, 512].map(|width| width / divisor)
}

/// One residual block.
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) stride: usize,
}

impl Block {
    /// Whether the shortcut has a convolution of its own.
    pub(crate) fn projects(&self) -> bool {
        self.stride != 1 || self.inputs != self.outputs
    }
}

/// The eight blocks.
pub(crate) fn blocks(divisor: usize) -> Vec<Block> {
    let widths = widths(divisor);
    let mut inputs = widths[0];
    let mut blocks = Vec::new();
    for (stage, &outputs) in widths.iter().enumerate() {
        for index in 0..2 {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            blocks.push(Block { name: format!("layer{}.{index}", stage + 1), inputs, outputs, stride });
            inputs = outputs;
        }
    }
    blocks
}
