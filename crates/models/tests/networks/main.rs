//! The networks as others use them.

mod checkpoints;
mod frozen;
mod imported;
mod modes;
mod precision;
mod shapes;

use candle_core::{DType, Device, Tensor, Var};
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Mode, Normalization};

/// Every network at a sixteenth of its width.
const NARROW: [&str; 9] = [
    "dnn/16",
    "vgg11/16",
    "vgg19/16",
    "resnet18/16",
    "preactresnet18/16",
    "resnet50/16",
    "alexnet/16",
    "resnet50-imagenet/16",
    "vgg16/16",
];

/// Those of them that normalise by a batch's statistics.
const WITH_NORMS: [&str; 6] =
    ["vgg11/16", "vgg19/16", "resnet18/16", "preactresnet18/16", "resnet50/16", "resnet50-imagenet/16"];

/// The paper's network of that name, or a narrower one, for ten classes of colour images.
fn cifar10(arch: &str) -> NetworkSpec {
    let arch: rrm_spec::Arch = arch.parse().unwrap();
    NetworkSpec {
        arch,
        channels: 3,
        classes: 10,
        normalization: Normalization::Cifar10Fast,
        representation_width: arch.representation_width(),
        temperature: 1.0,
    }
}

fn network(spec: &NetworkSpec, dtype: DType) -> Network {
    Network::initialize(spec, 7, &Device::Cpu, dtype).unwrap()
}

/// `images` different images of 32×32 with pixels spread over [0, 1].
fn pixels(images: usize, channels: usize, dtype: DType) -> Tensor {
    square(images, channels, 32, dtype)
}

/// Such images of the network's own size and type.
fn pixels_for(network: &Network, images: usize) -> Tensor {
    square(images, network.spec().channels, network.spec().arch.family().image_side(), network.dtype())
}

fn square(images: usize, channels: usize, side: usize, dtype: DType) -> Tensor {
    let count = images * channels * side * side;
    let golden_ratio = 0.618_033_988_749_894_9;
    let numbers: Vec<f64> = (0..count).map(|i| ((i * i % 7919 + i) as f64 * golden_ratio).fract()).collect();
    Tensor::from_vec(numbers, (images, channels, side, side), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn logits(network: &Network, pixels: &Tensor, mode: Mode) -> Tensor {
    network.forward(pixels, mode).unwrap().logits.detach()
}

/// The gradient of the sum of squared logits with respect to the pixels.
fn pixel_gradient(network: &Network, pixels: &Tensor, mode: Mode) -> Tensor {
    let pixels = Var::from_tensor(pixels).unwrap();
    let logits = network.forward(pixels.as_tensor(), mode).unwrap().logits;
    let gradients = logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    gradients.get(pixels.as_tensor()).unwrap().clone()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn state(network: &Network) -> Vec<(String, Vec<f64>)> {
    network.state().into_iter().map(|(name, tensor)| (name, numbers(&tensor))).collect()
}

/// The largest difference, relative to the largest number.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (numbers(a), numbers(b));
    let largest = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0.0, |most: f64, x| most.max(x.abs()));
    largest(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / largest(&mut b.iter().copied())
}
