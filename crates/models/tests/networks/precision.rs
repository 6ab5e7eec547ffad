//! Networks that compute in bf16.

use candle_core::{DType, Result, Tensor};
use rrm_kernels::{Activation, Conv2dConfig, PoolConfig, autocast, conv2d_activated, linear, max_pool2d, relu};
use rrm_models::{Model, Network};
use rrm_spec::{Mode, Precision};

use crate::{NARROW, cifar10, distance, logits, network, numbers, pixel_gradient, pixels, pixels_for, state};

fn in_bf16(arch: &str, dtype: DType) -> Network {
    network(&cifar10(arch), dtype).with_precision(Precision::Bf16)
}

#[test]
fn a_network_computes_in_f32_until_told_otherwise_and_a_frozen_view_as_what_it_is_of() {
    let fresh = network(&cifar10("dnn/16"), DType::F32);
    assert_eq!((fresh.precision(), fresh.frozen().precision()), (Precision::F32, Precision::F32));
    let told = fresh.with_precision(Precision::Bf16);
    assert_eq!((told.precision(), told.frozen().precision()), (Precision::Bf16, Precision::Bf16));
    assert_eq!(told.frozen().with_precision(Precision::F32).precision(), Precision::F32);
}

#[test]
fn in_bf16_outputs_and_gradients_keep_their_type_and_stay_near_those_in_f32() {
    for arch in NARROW {
        for mode in [Mode::Eval, Mode::Train] {
            let (exact, rounded) = (network(&cifar10(arch), DType::F32), in_bf16(arch, DType::F32));
            let x = pixels_for(&exact, 4);
            let (expected, output) = (exact.forward(&x, mode).unwrap(), rounded.forward(&x, mode).unwrap());
            for (name, got, expected) in [
                ("logits", &output.logits, &expected.logits),
                ("representation", &output.representation, &expected.representation),
            ] {
                assert_eq!(got.dtype(), DType::F32);
                // In train mode, of four images, a deep network's norms may have next to no variance to divide by.
                let most = if mode == Mode::Eval { 0.1 } else { 1.0 };
                assert!(distance(got, expected) < most, "{arch} {mode:?}: {name} {}", distance(got, expected));
            }
            let gradient = pixel_gradient(&rounded, &x, mode);
            assert_eq!(gradient.dtype(), DType::F32);
            assert!(numbers(&gradient).into_iter().all(f64::is_finite), "{arch} {mode:?}");
        }
    }
}

#[test]
fn weights_and_statistics_are_f32_whatever_a_network_computes_in() {
    let rounded = in_bf16("resnet18/16", DType::F32);
    logits(&rounded, &pixels(4, 3, DType::F32), Mode::Train);
    assert!(rounded.parameters().iter().chain(rounded.buffers()).all(|(_, tensor)| tensor.dtype() == DType::F32));
    assert_eq!(state(&rounded), state(&rounded.frozen().with_precision(Precision::F32)), "both views are of one state");
}

#[test]
fn a_network_in_f64_is_never_rounded() {
    for mode in [Mode::Eval, Mode::Train] {
        let (exact, rounded) = (network(&cifar10("vgg11/16"), DType::F64), in_bf16("vgg11/16", DType::F64));
        let x = pixels(3, 3, DType::F64);
        assert_eq!(numbers(&logits(&exact, &x, mode)), numbers(&logits(&rounded, &x, mode)));
        assert_eq!(numbers(&pixel_gradient(&exact, &x, mode)), numbers(&pixel_gradient(&rounded, &x, mode)));
    }
}

/// The layers of the paper's DNN one by one, as the kernels compute them for this thread at the moment.
fn dnn_by_hand(network: &Network, pixels: &Tensor) -> Result<Tensor> {
    let parameters = network.parameters();
    let parameter =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, var)| var.as_tensor()).unwrap();
    let layer = |name: &str| (parameter(&format!("{name}.weight")), parameter(&format!("{name}.bias")));
    let (mean, std) = network.spec().normalization.constants();
    let mut x = rrm_kernels::normalize(pixels, mean, std)?;
    for [first, second] in [["0", "2"], ["5", "7"], ["10", "12"]] {
        for position in [first, second] {
            let (weight, bias) = layer(&format!("features.{position}"));
            let config = Conv2dConfig { stride: 1, padding: 1 };
            x = conv2d_activated(&x, weight, Some(bias), config, Activation::Relu)?;
        }
        x = max_pool2d(&x, PoolConfig { kernel: 2, stride: 2, padding: 0 })?;
    }
    let ((hidden, shift), (classifier, bias)) = (layer("features.16"), layer("classifier"));
    linear(&relu(&linear(&x.flatten_from(1)?, hidden, Some(shift))?)?, classifier, Some(bias))
}

#[test]
fn a_network_in_bf16_does_what_its_layers_do_under_autocast() {
    let rounded = in_bf16("dnn/2", DType::F32);
    let x = pixels(8, 3, DType::F32);
    let expected = autocast(rrm_kernels::Precision::Bf16, || dnn_by_hand(&rounded, &x)).unwrap();
    assert_eq!(numbers(&logits(&rounded, &x, Mode::Train)), numbers(&expected));
    let exact = rounded.with_precision(Precision::F32);
    assert_eq!(numbers(&logits(&exact, &x, Mode::Train)), numbers(&dnn_by_hand(&exact, &x).unwrap()));
}
