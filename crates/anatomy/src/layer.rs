//! One layer, and what it holds.

use std::fmt;

/// A layer of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// PyTorch's name of the module, such as `layer1.0.conv1`; empty where the reference code has a function and no module.
    pub name: String,
    /// What it does.
    pub operation: Operation,
    /// What is done to its output on the spot.
    pub after: After,
    /// Of one image's output.
    pub output: Shape,
    /// Its tensors, in the order of PyTorch's `state_dict`.
    pub tensors: Vec<Tensor>,
    /// Multiplications with an addition, for one image forward.
    pub multiply_adds: u64,
}

impl Layer {
    /// Numbers that training moves along the gradient.
    pub fn parameters(&self) -> u64 {
        let parameters = self.tensors.iter().filter(|tensor| tensor.role == Role::Parameter);
        parameters.map(|tensor| tensor.elements() as u64).sum()
    }
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Convolution with square kernels; lengths in pixels.
    Conv {
        /// Side of the kernel.
        kernel: usize,
        /// Distance of neighbouring outputs.
        stride: usize,
        /// Width of the border of zeros.
        padding: usize,
    },
    /// Batch-norm.
    Norm,
    /// Fully connected.
    Linear,
    /// Maximum over squares; lengths in pixels.
    MaxPool {
        /// Side of the square.
        kernel: usize,
        /// Distance of neighbouring squares.
        stride: usize,
        /// Width of the border.
        padding: usize,
    },
    /// Mean over the whole image.
    AveragePool,
    /// Drops half of the numbers in training.
    Dropout,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pixels = |f: &mut fmt::Formatter<'_>, what: &str, [kernel, stride, padding]: [&usize; 3]| {
            write!(f, "{what} {kernel}×{kernel}")?;
            if *stride != 1 {
                write!(f, " stride {stride}")?;
            }
            if *padding != 0 { write!(f, " padding {padding}") } else { Ok(()) }
        };
        match self {
            Self::Conv { kernel, stride, padding } => pixels(f, "conv", [kernel, stride, padding]),
            Self::Norm => f.write_str("batch-norm"),
            Self::Linear => f.write_str("linear"),
            Self::MaxPool { kernel, stride, padding } => pixels(f, "max-pool", [kernel, stride, padding]),
            Self::AveragePool => f.write_str("average-pool"),
            Self::Dropout => f.write_str("dropout"),
        }
    }
}

/// What is done to a layer's output on the spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// ReLU.
    Relu,
    /// The sum of a residual block's two ways.
    Sum,
    /// That sum, then ReLU.
    SumRelu,
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "",
            Self::Relu => "ReLU",
            Self::Sum => "sum",
            Self::SumRelu => "sum, ReLU",
        })
    }
}

/// The shape of what one image has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A square image.
    Image {
        /// Channels.
        channels: usize,
        /// Height and width, in pixels.
        side: usize,
    },
    /// So many numbers.
    Vector(usize),
}

impl Shape {
    /// How many numbers it is.
    pub fn elements(self) -> usize {
        match self {
            Self::Image { channels, side } => channels * side * side,
            Self::Vector(width) => width,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { channels, side } => write!(f, "{channels}×{side}×{side}"),
            Self::Vector(width) => write!(f, "{width}"),
        }
    }
}

/// An entry of a `state_dict`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// PyTorch's name.
    pub key: String,
    /// Its sizes; none for a lone number.
    pub shape: Vec<usize>,
    /// What becomes of it in training.
    pub role: Role,
}

impl Tensor {
    /// How many numbers it holds.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What becomes of a tensor in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Moves along the gradient.
    Parameter,
    /// A running mean or variance.
    Statistic,
    /// Counts a batch-norm's batches, a whole number.
    Counter,
}
