//! Every gradient against finite differences, in f64.

use candle_core::{DType, Tensor};
use proptest::prelude::*;
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, PoolConfig, avg_pool2d, batch_norm_eval, batch_norm_train, conv2d,
    conv2d_finished, conv2d_frozen_norm, linear, max_pool2d, normalize, relu,
};

use crate::support::{check_gradients, flat, tensor};

const F64: DType = DType::F64;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() }
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::Identity), Just(Activation::Relu)]
}

/// A shuffled ramp: no two numbers are closer than a finite difference's step, and none is near 0.
fn distinct(seed: u64, dims: &[usize]) -> Tensor {
    let numbers = flat(&tensor(seed, dims, F64));
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ramp = vec![0.0; numbers.len()];
    let middle = numbers.len() as f64 / 2.0 + 0.25;
    order.into_iter().enumerate().for_each(|(rank, i)| ramp[i] = (rank as f64 - middle) * 0.01);
    Tensor::from_vec(ramp, dims, &candle_core::Device::Cpu).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn of_conv2d(
        n in 1usize..3, c in 1usize..4, o in 1usize..4, h in 1usize..8, w in 1usize..8,
        k in 1usize..4, stride in 1usize..4, padding in 0usize..3,
    ) {
        prop_assume!(h.min(w) + 2 * padding >= k);
        let inputs = [tensor(1, &[n, c, h, w], F64), tensor(2, &[o, c, k, k], F64), tensor(3, &[o], F64)];
        let config = Conv2dConfig { stride, padding };
        check_gradients(|t| conv2d(&t[0], &t[1], Some(&t[2]), config), &inputs);
        check_gradients(|t| conv2d(&t[0], &t[1], None, config), &inputs[..2]);
    }

    #[test]
    fn of_conv2d_finished(
        n in 1usize..3, c in 1usize..4, o in 1usize..4, h in 1usize..7, k in 1usize..4, stride in 1usize..3,
        activation in activation(),
    ) {
        prop_assume!(h + 2 >= k);
        let config = Conv2dConfig { stride, padding: 1 };
        let side = (h + 2 - k) / stride + 1;
        let (x, weight) = (tensor(1, &[n, c, h, h], F64), tensor(2, &[o, c, k, k], F64));
        let inputs = [x, weight, tensor(3, &[n, o, side, side], F64), tensor(4, &[o], F64)];
        let finished = |t: &[Tensor], bias: Option<&Tensor>| {
            conv2d_finished(&t[0], &t[1], bias, config, Epilogue { residual: Some(&t[2]), activation })
        };
        check_gradients(|t| finished(t, Some(&t[3])), &inputs);
        check_gradients(|t| finished(t, None), &inputs[..3]);
    }

    #[test]
    fn of_batch_norm_train(n in 1usize..4, c in 1usize..4, h in 1usize..6, w in 1usize..6, activation in activation()) {
        prop_assume!(n * h * w > 2);
        let x = tensor(1, &[n, c, h, w], F64);
        let inputs = [x, tensor(2, &[c], F64), tensor(3, &[c], F64), tensor(4, &[n, c, h, w], F64)];
        check_gradients(
            |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Epilogue { residual: Some(&t[3]), activation })?.0),
            &inputs,
        );
        check_gradients(
            |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Epilogue { residual: None, activation })?.0),
            &inputs[..3],
        );
    }

    #[test]
    fn of_batch_norm_eval(n in 1usize..4, c in 1usize..4, h in 1usize..6, w in 1usize..6, activation in activation()) {
        let (mean, variance) = (tensor(5, &[c], F64), (tensor(6, &[c], F64).abs().unwrap() + 0.1).unwrap());
        let x = tensor(1, &[n, c, h, w], F64);
        let inputs = [x, tensor(2, &[c], F64), tensor(3, &[c], F64), tensor(4, &[n, c, h, w], F64)];
        check_gradients(
            |t| batch_norm_eval(&t[0], &t[1], &t[2], &mean, &variance, 1e-3, Epilogue { residual: Some(&t[3]), activation }),
            &inputs,
        );
        check_gradients(
            |t| batch_norm_eval(&t[0], &t[1], &t[2], &mean, &variance, 1e-3, Epilogue { residual: None, activation }),
            &inputs[..3],
        );
    }

    #[test]
    fn of_conv2d_frozen_norm(
        n in 1usize..3, c in 1usize..4, o in 1usize..4, h in 1usize..7, k in 1usize..4, stride in 1usize..3,
        activation in activation(),
    ) {
        let padding = k / 2;
        prop_assume!(h + 2 * padding >= k);
        let out = (h + 2 * padding - k) / stride + 1;
        let (weight, bias) = (tensor(2, &[o, c, k, k], F64), tensor(3, &[o], F64));
        let (gamma, beta, mean) = (tensor(4, &[o], F64), tensor(5, &[o], F64), tensor(6, &[o], F64));
        let variance = (tensor(7, &[o], F64).abs().unwrap() + 0.1).unwrap();
        let norm = FrozenNorm { gamma: &gamma, beta: &beta, running_mean: &mean, running_var: &variance, epsilon: 1e-3 };
        let config = Conv2dConfig { stride, padding };
        let inputs = [tensor(1, &[n, c, h, h], F64), tensor(8, &[n, o, out, out], F64)];
        check_gradients(
            |t| {
                let epilogue = Epilogue { residual: Some(&t[1]), activation };
                conv2d_frozen_norm(&t[0], &weight, Some(&bias), config, norm, epilogue)
            },
            &inputs,
        );
        let epilogue = Epilogue { residual: None, activation };
        check_gradients(|t| conv2d_frozen_norm(&t[0], &weight, None, config, norm, epilogue), &inputs[..1]);
    }

    #[test]
    fn of_pooling(n in 1usize..3, c in 1usize..3, h in 1usize..8, w in 1usize..8, kernel in 1usize..4, stride in 1usize..4, padding in 0usize..2) {
        prop_assume!(2 * padding <= kernel && h.min(w) + 2 * padding >= kernel);
        let inputs = [distinct(1, &[n, c, h, w])];
        let config = PoolConfig { kernel, stride, padding };
        check_gradients(|t| max_pool2d(&t[0], config), &inputs);
        check_gradients(|t| avg_pool2d(&t[0], config), &inputs);
    }

    #[test]
    fn of_linear(n in 1usize..5, i in 1usize..20, o in 1usize..6) {
        let inputs = [tensor(1, &[n, i], F64), tensor(2, &[o, i], F64), tensor(3, &[o], F64)];
        check_gradients(|t| linear(&t[0], &t[1], Some(&t[2])), &inputs);
        check_gradients(|t| linear(&t[0], &t[1], None), &inputs[..2]);
    }

    #[test]
    fn of_relu_and_normalize(n in 1usize..3, h in 1usize..6) {
        let inputs = [distinct(1, &[n, 3, h, h])];
        check_gradients(|t| relu(&t[0]), &inputs);
        check_gradients(|t| normalize(&t[0], &[0.4, 0.5, 0.6], &[0.2, 0.3, 0.25]), &inputs);
    }
}
