//! Layers one after the other, each with the shape that the one before left.

use crate::{After, Layer, Operation, Role, Shape, Tensor};

/// Size and movement of a square convolution kernel, in pixels.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    size: usize,
    stride: usize,
    padding: usize,
}

impl Kernel {
    /// `size` pixels a side, `stride` pixels between neighbours, and a border of `padding` zero pixels.
    pub(crate) const fn new(size: usize, stride: usize, padding: usize) -> Self {
        Self { size, stride, padding }
    }

    /// 3×3 with a border of one zero pixel.
    pub(crate) const fn three(stride: usize) -> Self {
        Self::new(3, stride, 1)
    }

    /// 1×1 without border.
    pub(crate) const fn one(stride: usize) -> Self {
        Self::new(1, stride, 0)
    }

    /// The side of what comes out of an image.
    fn leaves(self, side: usize) -> usize {
        (side + 2 * self.padding - self.size) / self.stride + 1
    }
}

/// Whether a convolution has a bias.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bias {
    With,
    Without,
}

/// The layers so far.
pub(crate) struct Builder {
    pub(crate) layers: Vec<Layer>,
    /// What the last layer left.
    pub(crate) shape: Shape,
}

impl Builder {
    pub(crate) fn new(channels: usize, side: usize) -> Self {
        Self { layers: Vec::new(), shape: Shape::Image { channels, side } }
    }

    fn image(&self) -> (usize, usize) {
        match self.shape {
            Shape::Image { channels, side } => (channels, side),
            Shape::Vector(_) => unreachable!("convolutions, norms and pools come before the first linear layer"),
        }
    }

    pub(crate) fn conv(&mut self, name: impl Into<String>, outputs: usize, kernel: Kernel, bias: Bias, after: After) {
        let (name, (inputs, side)) = (name.into(), self.image());
        let output = Shape::Image { channels: outputs, side: kernel.leaves(side) };
        let Kernel { size, stride, padding } = kernel;
        let mut tensors = vec![parameter(&name, "weight", vec![outputs, inputs, size, size])];
        if bias == Bias::With {
            tensors.push(parameter(&name, "bias", vec![outputs]));
        }
        let multiply_adds = (output.elements() * inputs * size * size) as u64;
        let operation = Operation::Conv { kernel: size, stride, padding };
        self.push(Layer { name, operation, after, output, tensors, multiply_adds });
    }

    pub(crate) fn norm(&mut self, name: impl Into<String>, after: After) {
        let (name, (channels, _)) = (name.into(), self.image());
        let statistic = |key: &str| Tensor { role: Role::Statistic, ..parameter(&name, key, vec![channels]) };
        let tensors = vec![
            parameter(&name, "weight", vec![channels]),
            parameter(&name, "bias", vec![channels]),
            statistic("running_mean"),
            statistic("running_var"),
            Tensor { role: Role::Counter, ..parameter(&name, "num_batches_tracked", Vec::new()) },
        ];
        self.push(Layer { name, operation: Operation::Norm, after, output: self.shape, tensors, multiply_adds: 0 });
    }

    pub(crate) fn linear(&mut self, name: impl Into<String>, outputs: usize, after: After) {
        let (name, inputs) = (name.into(), self.shape.elements());
        let tensors = vec![parameter(&name, "weight", vec![outputs, inputs]), parameter(&name, "bias", vec![outputs])];
        let (output, multiply_adds) = (Shape::Vector(outputs), (inputs * outputs) as u64);
        self.push(Layer { name, operation: Operation::Linear, after, output, tensors, multiply_adds });
    }

    pub(crate) fn max_pool(&mut self, name: impl Into<String>, kernel: usize, stride: usize, padding: usize) {
        let (channels, side) = self.image();
        let output = Shape::Image { channels, side: Kernel::new(kernel, stride, padding).leaves(side) };
        self.bare(name, Operation::MaxPool { kernel, stride, padding }, output);
    }

    pub(crate) fn average_pool(&mut self, name: impl Into<String>) {
        let (channels, _) = self.image();
        self.bare(name, Operation::AveragePool, Shape::Vector(channels));
    }

    pub(crate) fn dropout(&mut self, name: impl Into<String>) {
        self.bare(name, Operation::Dropout, self.shape);
    }

    /// A layer without tensors.
    fn bare(&mut self, name: impl Into<String>, operation: Operation, output: Shape) {
        let (name, after) = (name.into(), After::Nothing);
        self.push(Layer { name, operation, after, output, tensors: Vec::new(), multiply_adds: 0 });
    }

    fn push(&mut self, layer: Layer) {
        self.shape = layer.output;
        self.layers.push(layer);
    }
}

fn parameter(module: &str, name: &str, shape: Vec<usize>) -> Tensor {
    Tensor { key: format!("{module}.{name}"), shape, role: Role::Parameter }
}
