//! Every layer in f32 against itself in f64, on shapes that fill no vector: the f32 code has the vectors, the remainders and the
//! fast algorithms.

use candle_core::{DType, Result, Tensor, Var};
use proptest::prelude::*;
use rrm_kernels::{
    Activation, Conv2dConfig, Epilogue, FrozenNorm, PoolConfig, SgdConfig, avg_pool2d, batch_norm_eval,
    batch_norm_train, conv2d, conv2d_frozen_norm, linear, max_pool2d, normalize, relu, sgd_step, update_running,
    with_direct_convolutions,
};

use crate::support::{bits, flat, tensor};

const F32: DType = DType::F32;
const F64: DType = DType::F64;

/// Rounding of sums of a few thousand f32 products, relative to the largest number; see `conv/winograd/tests.rs` for what
/// Winograd's share of it is.
const TOLERANCE: f64 = 5e-5;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() }
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::Identity), Just(Activation::Relu)]
}

/// Result of `f` on `inputs`, and their gradients of a weighted sum of it.
fn everything(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor], dtype: DType) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tracked).unwrap();
    let sum = (&y * tensor(99, y.dims(), dtype)).unwrap().sum_all().unwrap();
    let gradients = sum.backward().unwrap();
    let gradient = |var: &Var| gradients.get(var.as_tensor()).expect("a gradient for every input").clone();
    std::iter::once(y).chain(vars.iter().map(gradient)).collect()
}

#[track_caller]
fn assert_close(single: &Tensor, double: &Tensor, what: &str) {
    assert_eq!(single.dims(), double.dims(), "{what}");
    let (single, double) = (flat(single), flat(double));
    let largest = double.iter().fold(1.0, |largest: f64, d| largest.max(d.abs()));
    for (i, (s, d)) in single.iter().zip(&double).enumerate() {
        assert!((s - d).abs() <= TOLERANCE * largest, "{what}, number {i}: {s} in f32, {d} in f64");
    }
}

/// Compares result and gradients in f32, by every algorithm, with those in f64.
fn check(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) {
    let double = everything(&f, inputs, F64);
    let compare = |algorithm: &str| {
        let single = everything(&f, inputs, F32);
        for (i, (single, double)) in single.iter().zip(&double).enumerate() {
            assert_close(single, double, &format!("{algorithm}, {}", if i == 0 { "result" } else { "gradient" }));
        }
    };
    compare("fastest");
    with_direct_convolutions(|| compare("direct"));
}

/// Compares results alone: a ReLU's gradient jumps where rounding decides.
fn check_result(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) {
    let in_type = |dtype| f(&inputs.iter().map(|t| t.to_dtype(dtype).unwrap()).collect::<Vec<_>>()).unwrap();
    let double = in_type(F64);
    assert_close(&in_type(F32), &double, "fastest");
    with_direct_convolutions(|| assert_close(&in_type(F32), &double, "direct"));
}

fn positive(seed: u64, channels: usize) -> Tensor {
    (tensor(seed, &[channels], F32).abs().unwrap() + 0.1).unwrap()
}

/// The frozen norm of a convolution, of the inputs' type.
fn frozen(
    t: &[Tensor],
    statistics: &[Tensor; 4],
    config: Conv2dConfig,
    residual: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    let [x, weight, ..] = t else { panic!("image and weight") };
    let [gamma, beta, running_mean, running_var] = statistics.each_ref().map(|s| s.to_dtype(x.dtype()).unwrap());
    let norm = FrozenNorm {
        gamma: &gamma,
        beta: &beta,
        running_mean: &running_mean,
        running_var: &running_var,
        epsilon: 1e-3,
    };
    conv2d_frozen_norm(x, &weight.detach(), None, config, norm, Epilogue { residual, activation })
}

fn statistics(channels: usize) -> [Tensor; 4] {
    [tensor(4, &[channels], F32), tensor(5, &[channels], F32), tensor(6, &[channels], F32), positive(7, channels)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn conv2d_in_f32_is_conv2d(
        n in 1usize..4, c in 1usize..37, o in 1usize..37, h in 1usize..18, w in 1usize..18,
        k in 1usize..6, stride in 1usize..4, padding in 0usize..3,
    ) {
        prop_assume!(h.min(w) + 2 * padding >= k);
        let inputs = [tensor(1, &[n, c, h, w], F32), tensor(2, &[o, c, k, k], F32), tensor(3, &[o], F32)];
        check(|t| conv2d(&t[0], &t[1], Some(&t[2]), Conv2dConfig { stride, padding }), &inputs);
    }

    #[test]
    fn a_frozen_convolution_in_f32_is_one_with_any_epilogue(
        n in 1usize..4, c in 1usize..37, o in 1usize..37, h in 1usize..18, w in 1usize..18,
        k in 1usize..4, stride in 1usize..3, with_residual: bool, activation in activation(),
    ) {
        let config = Conv2dConfig { stride, padding: k / 2 };
        let statistics = statistics(o);
        let (x, weight) = (tensor(1, &[n, c, h, w], F32), tensor(2, &[o, c, k, k], F32));
        prop_assume!(h.min(w) + 2 * config.padding >= k);
        let out = |size: usize| (size + 2 * config.padding - k) / stride + 1;
        let residual = tensor(3, &[n, o, out(h), out(w)], F32);
        let run = |t: &[Tensor], activation| frozen(t, &statistics, config, with_residual.then_some(&t[2]), activation);
        check_result(|t| run(t, activation), &[x.clone(), weight.clone(), residual.clone()]);

        // Backwards, an activation only masks the gradient that arrives: the rest has the same bits.
        let backwards = |activation| {
            let [x, residual] = [&x, &residual].map(|t| Var::from_tensor(t).unwrap());
            let y = run(&[x.as_tensor().clone(), weight.clone(), residual.as_tensor().clone()], activation).unwrap();
            let weights = tensor(99, y.dims(), F32);
            let open = match activation {
                Activation::Identity => run(&[x.detach(), weight.clone(), residual.detach()], Activation::Relu).unwrap(),
                Activation::Relu => y.detach(),
            };
            let weights = (weights * open.gt(0f32).unwrap().to_dtype(F32).unwrap()).unwrap();
            let gradients = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
            // Zeros of either sign are equal.
            let of = |var: &Var| gradients.get(var.as_tensor()).map(|gradient| bits(&(gradient + 0.0).unwrap()));
            (of(&x).expect("the image is tracked"), of(&residual))
        };
        prop_assert_eq!(backwards(Activation::Relu), backwards(Activation::Identity));
    }

    #[test]
    fn batch_norm_in_f32_is_batch_norm(
        n in 1usize..5, c in 1usize..6, h in 1usize..15, w in 1usize..15, with_residual: bool, activation in activation(),
    ) {
        // A channel of a few numbers has hardly any variance at times, and dividing by it makes rounding large.
        prop_assume!(n * h * w >= 8);
        let x = tensor(1, &[n, c, h, w], F32);
        let inputs = [x, tensor(2, &[c], F32), tensor(3, &[c], F32), tensor(4, &[n, c, h, w], F32)];
        let inputs = &inputs[..if with_residual { 4 } else { 3 }];
        let (mean, variance) = (tensor(5, &[c], F32), positive(6, c));
        let train = |t: &[Tensor], activation| {
            Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Epilogue { residual: t.get(3), activation })?.0)
        };
        let eval = |t: &[Tensor], activation| {
            let (mean, variance) = (mean.to_dtype(t[0].dtype())?, variance.to_dtype(t[0].dtype())?);
            batch_norm_eval(&t[0], &t[1], &t[2], &mean, &variance, 1e-3, Epilogue { residual: t.get(3), activation })
        };
        check_result(|t| train(t, activation), inputs);
        check_result(|t| eval(t, activation), inputs);
        check(|t| train(t, Activation::Identity), inputs);
        check(|t| eval(t, Activation::Identity), inputs);
        let moments = |dtype| batch_norm_train(
            &inputs[0].to_dtype(dtype).unwrap(), &inputs[1].to_dtype(dtype).unwrap(), &inputs[2].to_dtype(dtype).unwrap(), 1e-3,
            Epilogue::NONE,
        ).unwrap().1;
        let (single, double) = (moments(F32), moments(F64));
        assert_close(&single.mean, &double.mean, "mean");
        assert_close(&single.unbiased_variance, &double.unbiased_variance, "variance");
    }

    #[test]
    fn pooling_in_f32_is_pooling(
        n in 1usize..4, c in 1usize..6, h in 1usize..15, w in 1usize..15,
        kernel in 1usize..5, stride in 1usize..4, padding in 0usize..3,
    ) {
        prop_assume!(2 * padding <= kernel && h.min(w) + 2 * padding >= kernel);
        let inputs = [tensor(1, &[n, c, h, w], F32)];
        let config = PoolConfig { kernel, stride, padding };
        // Numbers that differ in f32 differ alike in f64, so that both send the gradient the same way.
        check(|t| max_pool2d(&t[0], config), &inputs);
        check(|t| avg_pool2d(&t[0], config), &inputs);
    }

    #[test]
    fn a_linear_layer_in_f32_is_one(n in 1usize..20, i in 1usize..300, o in 1usize..40) {
        let inputs = [tensor(1, &[n, i], F32), tensor(2, &[o, i], F32), tensor(3, &[o], F32)];
        check(|t| linear(&t[0], &t[1], Some(&t[2])), &inputs);
    }

    #[test]
    fn relu_and_normalisation_in_f32_are_those(n in 1usize..4, c in 1usize..5, h in 1usize..15, w in 1usize..15) {
        let inputs = [tensor(1, &[n, c, h, w], F32)];
        check(|t| relu(&t[0]), &inputs);
        check(|t| normalize(&t[0], &vec![0.45; c], &vec![0.22; c]), &inputs);
    }

    #[test]
    fn updates_in_f32_are_updates(len in 1usize..200, decay in 0.0f64..0.1, momentum in 0.0f64..1.0) {
        let after = |dtype| {
            let of = |seed| Var::from_tensor(&tensor(seed, &[len], F32).to_dtype(dtype).unwrap()).unwrap();
            let (weight, gradient, buffer, running) = (of(1), of(2), of(3), of(4));
            let config = SgdConfig { learning_rate: 0.1, momentum, weight_decay: decay };
            sgd_step(&weight, &gradient, &buffer, config).unwrap();
            update_running(&running, &gradient, momentum).unwrap();
            [weight, buffer, running].map(|var| var.as_detached_tensor())
        };
        for (single, double) in after(F32).iter().zip(&after(F64)) {
            assert_close(single, double, "update");
        }
    }
}
