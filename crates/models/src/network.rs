//! A network: its layers, and its weights under their names.

use std::collections::HashMap;

use candle_core::{DType, Device, Result as TensorResult, Tensor, Var, bail};
use candle_nn::VarBuilder;
use rrm_spec::{Family, Mode, Precision};

use crate::alexnet::AlexNet;
use crate::dnn::Dnn;
use crate::dropout::{Dropout, Masks};
use crate::head::{Head, Plan};
use crate::init::Beginning;
use crate::preact_resnet::PreActResNet;
use crate::resnet::ResNet;
use crate::vgg::Vgg;
use crate::vgg16::Vgg16;
use crate::weights::{Given, Seed, Source, Weights};
use crate::{Model, ModelError, NetworkSpec, Output};

/// Everything between normalised pixels and the architecture's own representation.
pub(crate) trait Backbone: Send + Sync {
    /// From (N, C, side, side), of the family's image side, to (N, the architecture's feature width).
    fn forward(&self, x: &Tensor, mode: Mode) -> TensorResult<Tensor>;
}

/// A classifier of square images with its weights.
pub struct Network {
    spec: NetworkSpec,
    mean: Vec<f64>,
    std: Vec<f64>,
    layers: Layers,
    masks: Masks,
    weights: Weights,
    device: Device,
    dtype: DType,
    precision: Precision,
}

struct Layers {
    backbone: Box<dyn Backbone>,
    head: Head,
}

impl Layers {
    /// In the order of PyTorch's `state_dict`.
    fn build(spec: &NetworkSpec, masks: &Masks, vb: VarBuilder<'_>) -> TensorResult<Self> {
        let plain = Plan::plain;
        let (backbone, plan): (Box<dyn Backbone>, _) = match spec.arch.family() {
            Family::Dnn => (Box::new(Dnn::new(&vb, spec)?), plain("classifier")),
            Family::Vgg11 => (Box::new(Vgg::vgg11(&vb, spec)?), plain("classifier")),
            Family::Vgg19 => (Box::new(Vgg::vgg19(&vb, spec)?), plain("classifier")),
            Family::ResNet18 => (Box::new(ResNet::resnet18(&vb, spec)?), plain("linear")),
            Family::PreActResNet18 => (Box::new(PreActResNet::new(&vb, spec)?), plain("linear")),
            Family::ResNet50 => (Box::new(ResNet::resnet50(&vb, spec)?), plain("linear")),
            Family::AlexNet => (Box::new(AlexNet::new(&vb, spec, masks)?), plain("last_layer")),
            Family::ResNet50ImageNet => (Box::new(ResNet::resnet50_imagenet(&vb, spec)?), plain("fc")),
            Family::Vgg16 => {
                let dropout = Some(Dropout::new(masks));
                let plan = Plan { dropout, beginning: Beginning::Normal, classifier: "classifier.6" };
                (Box::new(Vgg16::new(&vb, spec, masks)?), plan)
            }
        };
        Ok(Self { backbone, head: Head::new(&vb, spec, plan)? })
    }
}

impl Network {
    /// A network with PyTorch's default initialisation, drawn from `seed` and the parameters' names.
    ///
    /// # Errors
    /// When no network has this shape, or the device refuses.
    pub fn initialize(spec: &NetworkSpec, seed: u64, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        spec.validate()?;
        Ok(Self::from_source(spec, &Seed(seed), device, dtype)?)
    }

    /// A network with the given weights, which are copied; keys and shapes must be exactly the network's.
    ///
    /// # Errors
    /// When no network has this shape, the device refuses, or keys, shapes or number types differ: all that differ are
    /// named.
    pub fn from_tensors(
        spec: &NetworkSpec,
        tensors: HashMap<String, Tensor>,
        device: &Device,
        dtype: DType,
    ) -> Result<Self, ModelError> {
        spec.validate()?;
        let given = Given::new(tensors);
        let network = Self::from_source(spec, &given, device, dtype)?;
        let mismatches = given.mismatches();
        if mismatches.0.is_empty() { Ok(network) } else { Err(ModelError::Mismatch { arch: spec.arch, mismatches }) }
    }

    fn from_source(spec: &NetworkSpec, source: &dyn Source, device: &Device, dtype: DType) -> TensorResult<Self> {
        let masks = Masks::default();
        let (weights, layers) = Weights::make(source, device, dtype, |vb| Layers::build(spec, &masks, vb))?;
        let (mean, std) = spec.normalization_per_channel();
        let (spec, device, precision) = (spec.clone(), device.clone(), Precision::F32);
        Ok(Self { spec, mean, std, layers, masks, weights, device, dtype, precision })
    }

    /// The same network, sharing weights and running statistics, but without gradients for the weights.
    ///
    /// In-place changes of either are seen by both. Its forward pass is the cheap one for attacks, evaluation and
    /// teachers: the backward pass computes the input's gradient alone.
    pub fn frozen(&self) -> Self {
        let layers = self
            .weights
            .share(&self.device, self.dtype, |vb| Layers::build(&self.spec, &self.masks, vb))
            .expect("the same layers ask for the same tensors, all of which are there");
        Self {
            spec: self.spec.clone(),
            mean: self.mean.clone(),
            std: self.std.clone(),
            layers,
            masks: self.masks.clone(),
            weights: self.weights.clone(),
            device: self.device.clone(),
            dtype: self.dtype,
            precision: self.precision,
        }
    }

    /// The same network, whose forward passes and their gradients compute in `precision`; a fresh or loaded one in f32.
    ///
    /// Parameters, statistics and what goes in and comes out keep their type. In bf16 the products' factors are rounded on the
    /// CPU ([`rrm_kernels::autocast`]), and on a CUDA device all activations between normalised pixels and the outputs are bf16. A
    /// network in f64 is for comparisons, and is never rounded.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same network, whose logits are divided by `temperature`, above 0, instead of by what it has been trained with.
    ///
    /// No prediction changes; what loss functions and their gradients see of it does.
    pub fn with_temperature(self, temperature: f64) -> Self {
        Self { spec: NetworkSpec { temperature, ..self.spec }, ..self }
    }

    /// What the network computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Begins a training step: from here on, passes in train mode drop what the masks of (`seed`, `step`) say, one mask after the
    /// other, whatever was dropped before. Frozen views draw from the same masks. A fresh network begins at (0, 0); one without
    /// dropout takes no notice.
    pub fn restart_dropout(&self, seed: u64, step: u64) {
        self.masks.restart(seed, step);
    }

    /// What the network is made of.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// What training moves along the gradient, by name, in PyTorch's order.
    pub fn parameters(&self) -> &[(String, Var)] {
        &self.weights.parameters
    }

    /// Running means and variances, by name, in PyTorch's order; without the batch counters.
    pub fn buffers(&self) -> &[(String, Var)] {
        &self.weights.buffers
    }

    /// Numbers that training moves.
    pub fn parameter_count(&self) -> u64 {
        self.parameters().iter().map(|(_, var)| var.elem_count() as u64).sum()
    }

    /// Every tensor that makes up the network's state: parameters, running statistics, and batch counters (i64), by name,
    /// in the order of PyTorch's `state_dict`.
    ///
    /// The tensors share the network's storage: they change when it is trained on.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.weights.state.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// The type of what is between the layers. On a CUDA device it decides what the kernels compute in.
    fn activation_type(&self) -> DType {
        match (self.precision, &self.device, self.dtype) {
            (Precision::Bf16, Device::Cuda(_), DType::F32) => DType::BF16,
            (_, _, dtype) => dtype,
        }
    }

    fn layers_forward(&self, normalized: &Tensor, mode: Mode) -> TensorResult<Output> {
        let x = normalized.to_dtype(self.activation_type())?;
        let Output { logits, representation } =
            self.layers.head.forward(self.layers.backbone.forward(&x, mode)?, mode)?;
        // Losses and their gradients are computed in the network's own type.
        let logits = self.softened(logits.to_dtype(self.dtype)?)?;
        Ok(Output { logits, representation: representation.to_dtype(self.dtype)? })
    }

    fn softened(&self, logits: Tensor) -> TensorResult<Tensor> {
        if self.spec.temperature == 1.0 { Ok(logits) } else { logits / self.spec.temperature }
    }

    fn check_pixels(&self, pixels: &Tensor) -> TensorResult<()> {
        let side = self.spec.arch.family().image_side();
        let expected = [self.spec.channels, side, side];
        match pixels.dims() {
            [_, image @ ..] if image == expected => Ok(()),
            found => bail!("{}: images must be (N, C, H, W) = (N, {expected:?}), not {found:?}", self.spec.arch),
        }
    }
}

/// The kernels know nothing of specs.
fn in_kernels(precision: Precision) -> rrm_kernels::Precision {
    match precision {
        Precision::F32 => rrm_kernels::Precision::F32,
        Precision::Bf16 => rrm_kernels::Precision::Bf16,
    }
}

impl Model for Network {
    fn forward(&self, pixels: &Tensor, mode: Mode) -> TensorResult<Output> {
        self.check_pixels(pixels)?;
        let normalized = rrm_kernels::normalize(pixels, &self.mean, &self.std)?;
        rrm_kernels::autocast(in_kernels(self.precision), || self.layers_forward(&normalized, mode))
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("spec", &self.spec)
            .field("device", &self.device.location())
            .field("dtype", &self.dtype)
            .field("precision", &self.precision)
            .finish_non_exhaustive()
    }
}
