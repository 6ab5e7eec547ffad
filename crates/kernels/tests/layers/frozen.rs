//! What a frozen network costs, and that folding changes nothing.

use std::sync::Mutex;

use candle_core::{DType, Result, Tensor, Var};
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, batch_norm_eval, conv2d, conv2d_frozen_norm, linear, normalize,
    relu, weight_gradient_passes,
};

use crate::support::{distance, tensor};

/// The counter belongs to the process: tests that read it take turns.
static COUNTER: Mutex<()> = Mutex::new(());

struct Network {
    first: Tensor,
    bias: Tensor,
    second: Tensor,
    norm: [Tensor; 4],
    head: Tensor,
}

impl Network {
    /// Every parameter is a variable if `trainable`, else a detached tensor.
    fn new(track: impl Fn(Tensor) -> Tensor) -> Self {
        let f32s = |seed, dims: &[usize]| track(tensor(seed, dims, DType::F32));
        Self {
            first: f32s(1, &[6, 3, 3, 3]),
            bias: f32s(2, &[6]),
            second: f32s(3, &[6, 6, 3, 3]),
            norm: [f32s(4, &[6]), f32s(5, &[6]), f32s(6, &[6]), (f32s(7, &[6]).abs().unwrap() + 0.2).unwrap().detach()],
            head: f32s(8, &[10, 6 * 8 * 8]),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let config = Conv2dConfig { stride: 1, padding: 1 };
        let [gamma, beta, mean, variance] = &self.norm;
        let norm = FrozenNorm { gamma, beta, running_mean: mean, running_var: variance, epsilon: 1e-5 };
        let x = normalize(x, &[0.5; 3], &[0.2; 3])?;
        let x = relu(&conv2d(&x, &self.first, Some(&self.bias), config)?)?;
        let epilogue = Epilogue { residual: Some(&x), activation: Activation::Relu };
        let y = conv2d_frozen_norm(&x, &self.second, None, config, norm, epilogue)?;
        linear(&y.flatten_from(1)?, &self.head, None)
    }
}

fn variable(t: Tensor) -> Tensor {
    Var::from_tensor(&t).unwrap().into_inner()
}

#[test]
fn an_attack_step_on_frozen_weights_runs_no_weight_gradient() {
    let _turn = COUNTER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let network = Network::new(|t| t);
    let x = Var::from_tensor(&tensor(9, &[2, 3, 8, 8], DType::F32)).unwrap();
    let before = weight_gradient_passes();
    let gradients = network.forward(x.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(x.as_tensor()).is_some());
    assert_eq!(weight_gradient_passes(), before);
}

#[test]
fn a_training_step_counts_its_weight_gradients_and_gives_no_input_gradient() {
    let _turn = COUNTER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let network = Network::new(variable);
    let x = tensor(9, &[2, 3, 8, 8], DType::F32);
    let before = weight_gradient_passes();
    let gradients = network.forward(&x).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(weight_gradient_passes(), before + 3);
    assert!(gradients.get(&x).is_none());
    for parameter in [&network.first, &network.bias, &network.second, &network.norm[0], &network.norm[1], &network.head]
    {
        assert_eq!(gradients.get(parameter).unwrap().dims(), parameter.dims());
    }
}

#[test]
fn frozen_and_trainable_networks_agree() {
    let _turn = COUNTER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let x = Var::from_tensor(&tensor(9, &[3, 3, 8, 8], DType::F32)).unwrap();
    let run = |network: &Network| {
        let y = network.forward(x.as_tensor()).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().remove(x.as_tensor()).unwrap();
        (y, gradient)
    };
    let (frozen, trainable) = (run(&Network::new(|t| t)), run(&Network::new(variable)));
    assert!(distance(&frozen.0, &trainable.0) < 1e-3);
    assert!(distance(&frozen.1, &trainable.1) < 1e-3);
}

#[test]
fn folding_the_norm_changes_nothing_but_rounding() {
    let dims = [2, 5, 7, 7];
    let (x, weight, bias) =
        (tensor(1, &[2, 4, 7, 7], DType::F64), tensor(2, &[5, 4, 3, 3], DType::F64), tensor(3, &[5], DType::F64));
    let (gamma, beta, mean) = (tensor(4, &[5], DType::F64), tensor(5, &[5], DType::F64), tensor(6, &[5], DType::F64));
    let variance = (tensor(7, &[5], DType::F64).abs().unwrap() + 0.1).unwrap();
    let residual = tensor(8, &dims, DType::F64);
    let config = Conv2dConfig { stride: 1, padding: 1 };
    let epilogue = Epilogue { residual: Some(&residual), activation: Activation::Relu };
    let norm = FrozenNorm { gamma: &gamma, beta: &beta, running_mean: &mean, running_var: &variance, epsilon: 1e-5 };
    let folded = conv2d_frozen_norm(&x, &weight, Some(&bias), config, norm, epilogue).unwrap();
    let y = conv2d(&x, &weight, Some(&bias), config).unwrap();
    let apart = batch_norm_eval(&y, &gamma, &beta, &mean, &variance, 1e-5, epilogue).unwrap();
    assert!(distance(&folded, &apart) < 1e-12);
}
