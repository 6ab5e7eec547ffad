//! What is kept of frozen weights changes no number, and is made anew when the weights change.

use candle_core::{DType, Result, Tensor, Var};
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, KeptConv2d, Precision, SgdConfig, autocast, conv2d_activated,
    conv2d_frozen_norm, sgd_step, update_running,
};

use crate::support::{bits, tensor};

/// A convolution and its norm, of variables.
struct Layer {
    weight: Var,
    bias: Var,
    norm: [Var; 4],
    config: Conv2dConfig,
}

/// An output and the gradient of its sum of squares in the input, as bits.
type Found = [Vec<u64>; 2];

impl Layer {
    fn new(weight: [usize; 4], config: Conv2dConfig) -> Self {
        let of = |seed, dims: &[usize]| Var::from_tensor(&tensor(seed, dims, DType::F32)).unwrap();
        let channels = &[weight[0]][..];
        let variance = Var::from_tensor(&(tensor(6, channels, DType::F32).abs().unwrap() + 0.5).unwrap()).unwrap();
        let norm = [of(3, channels), of(4, channels), of(5, channels), variance];
        Self { weight: of(1, &weight), bias: of(2, channels), norm, config }
    }

    /// Of a layer that is frozen: what `plain` and `normed` make of images.
    fn found(&self, x: &Tensor, kept: Option<&[KeptConv2d; 2]>) -> [Found; 2] {
        let [weight, bias] = [&self.weight, &self.bias].map(Var::as_detached_tensor);
        let [gamma, beta, mean, variance] = self.norm.each_ref().map(Var::as_detached_tensor);
        let (config, activation) = (self.config, Activation::Relu);
        let norm =
            FrozenNorm { gamma: &gamma, beta: &beta, running_mean: &mean, running_var: &variance, epsilon: 1e-5 };
        let epilogue = Epilogue { residual: None, activation };
        let plain = |x: &Tensor| match kept {
            Some([kept, _]) => kept.conv2d_activated(x, &weight, Some(&bias), config, activation),
            None => conv2d_activated(x, &weight, Some(&bias), config, activation),
        };
        let normed = |x: &Tensor| match kept {
            Some([_, kept]) => kept.conv2d_frozen_norm(x, &weight, Some(&bias), config, norm, epilogue),
            None => conv2d_frozen_norm(x, &weight, Some(&bias), config, norm, epilogue),
        };
        [found(x, plain).unwrap(), found(x, normed).unwrap()]
    }
}

fn found(x: &Tensor, layer: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Found> {
    let x = Var::from_tensor(x)?;
    let y = layer(x.as_tensor())?;
    let gradients = y.sqr()?.sum_all()?.backward()?;
    Ok([bits(&y), bits(gradients.get(x.as_tensor()).expect("tracked"))])
}

/// By Winograd (few and many weights), directly (strided, pointwise, with a large kernel), and as a matrix of pixels.
const LAYERS: [([usize; 3], [usize; 4], usize); 6] = [
    ([20, 8, 8], [24, 20, 3, 3], 1),
    ([350, 4, 4], [340, 350, 3, 3], 1),
    ([20, 9, 9], [24, 20, 3, 3], 2),
    ([32, 8, 8], [48, 32, 1, 1], 1),
    ([3, 13, 13], [16, 3, 5, 5], 1),
    ([40, 2, 2], [48, 40, 3, 3], 1),
];

#[test]
fn kept_weights_give_the_bits_of_passing_ones_until_they_change() {
    for precision in [Precision::F32, Precision::Bf16] {
        for ([channels, height, width], weight, stride) in LAYERS {
            let layer = Layer::new(weight, Conv2dConfig { stride, padding: weight[2] / 2 });
            let kept = [KeptConv2d::default(), KeptConv2d::default()];
            let same = |when: &str, images: usize| {
                let x = tensor(7, &[images, channels, height, width], DType::F32);
                let [kept, passing] = [Some(&kept), None].map(|kept| autocast(precision, || layer.found(&x, kept)));
                assert!(kept == passing, "{when}: {weight:?} in {precision:?}");
                kept
            };
            let first = same("first", 3);
            assert!(same("again", 3) == first);
            same("with other images", 5);

            let config = SgdConfig { learning_rate: 0.5, momentum: 0.0, weight_decay: 0.0 };
            let buffer = Var::from_tensor(&layer.weight.zeros_like().unwrap()).unwrap();
            sgd_step(&layer.weight, &layer.weight.ones_like().unwrap(), &buffer, config).unwrap();
            let stepped = same("after a step", 3);
            assert!(stepped[0] != first[0] && stepped[1] != first[1]);

            update_running(&layer.norm[2], &layer.norm[2].ones_like().unwrap(), 0.5).unwrap();
            let moved = same("after a batch", 3);
            assert!(moved[0] == stepped[0] && moved[1] != stepped[1]);
        }
    }
}

#[test]
fn tracked_weights_get_their_gradients() {
    let layer = Layer::new([6, 3, 3, 3], Conv2dConfig { stride: 1, padding: 1 });
    let (x, kept) = (tensor(7, &[2, 3, 8, 8], DType::F32), KeptConv2d::default());
    for _ in 0..2 {
        let y = kept.conv2d_activated(&x, &layer.weight, None, layer.config, Activation::Identity).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(layer.weight.as_tensor()).is_some());
    }
}
