//! Keys, shapes and counts.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use rrm_anatomy::{Anatomy, Role};
use rrm_models::{Model, ModelError, Network, NetworkSpec};
use rrm_spec::{Arch, Family, Mode, Normalization};

use crate::{NARROW, cifar10, network, numbers, pixels, square, state};

/// Keys and shapes of PyTorch's `state_dict` of the authors' networks and of fast_adversarial's, and the counts of digest §1.2 to §1.4.
const PYTORCH: [(&str, &str, usize, u64); 9] = [
    ("dnn", include_str!("../state_dict/dnn.txt"), 16, 1_341_226),
    ("vgg11", include_str!("../state_dict/vgg11.txt"), 58, 9_231_114),
    ("vgg19", include_str!("../state_dict/vgg19.txt"), 114, 20_040_522),
    ("resnet18", include_str!("../state_dict/resnet18.txt"), 122, 11_173_962),
    ("preactresnet18", include_str!("../state_dict/preactresnet18.txt"), 107, 11_172_170),
    ("resnet50", include_str!("../state_dict/resnet50.txt"), 322, 24_554_570),
    ("alexnet", include_str!("../state_dict/alexnet.txt"), 16, 48_631_625),
    ("resnet50-imagenet", include_str!("../state_dict/resnet50-imagenet.txt"), 320, 23_526_473),
    ("vgg16", include_str!("../state_dict/vgg16.txt"), 32, 125_888_329),
];

/// The authors' network of that name: with ten classes for CIFAR-10, nine for Restricted-ImageNet.
fn authors(arch: &str) -> NetworkSpec {
    let spec = cifar10(arch);
    match spec.arch.family().image_side() {
        32 => spec,
        _ => NetworkSpec { classes: 9, normalization: Normalization::RestrictedImageNet, ..spec },
    }
}

/// The network of zeros with the tensors of a `state_dict`: quicker than drawing 126 million weights of a VGG16.
fn of_zeros(spec: &NetworkSpec, state_dict: &str) -> Network {
    let zeros = |line: &str| {
        let (key, shape) = line.split_once(' ').unwrap();
        let dims: Vec<usize> = shape.split('x').filter_map(|size| size.parse().ok()).collect();
        let dtype = if key.ends_with("num_batches_tracked") { DType::I64 } else { DType::F32 };
        (key.to_owned(), Tensor::zeros(dims, dtype, &Device::Cpu).unwrap())
    };
    let tensors: HashMap<String, Tensor> = state_dict.lines().map(zeros).collect();
    Network::from_tensors(spec, tensors, &Device::Cpu, DType::F32).unwrap()
}

fn keys_and_shapes(network: &Network) -> Vec<String> {
    let line = |(key, dims): (String, Vec<usize>)| {
        let shape: Vec<String> = dims.iter().map(usize::to_string).collect();
        format!("{key} {}", if shape.is_empty() { "scalar".to_owned() } else { shape.join("x") })
    };
    network.state().into_iter().map(|(key, tensor)| line((key, tensor.dims().to_vec()))).collect()
}

#[test]
fn keys_shapes_order_and_counts_are_those_of_pytorch() {
    for (arch, state_dict, tensors, parameters) in PYTORCH {
        let network = of_zeros(&authors(arch), state_dict);
        assert_eq!(keys_and_shapes(&network), state_dict.lines().collect::<Vec<_>>(), "{arch}");
        assert_eq!(network.state().len(), tensors, "{arch}");
        assert_eq!(network.parameter_count(), parameters, "{arch}");
        assert!(network.state().iter().all(|(key, t)| (t.dtype() == DType::I64) == key.ends_with("tracked")));
    }
}

/// The same, of the description without tensors.
fn described(anatomy: &Anatomy) -> Vec<String> {
    let line = |tensor: &rrm_anatomy::Tensor| {
        let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
        format!("{} {}", tensor.key, if shape.is_empty() { "scalar".to_owned() } else { shape.join("x") })
    };
    anatomy.tensors().map(line).collect()
}

#[test]
fn the_description_has_the_keys_shapes_and_counts_of_pytorch() {
    for (arch, state_dict, _, parameters) in PYTORCH {
        let anatomy = Anatomy::of(&authors(arch)).unwrap();
        assert_eq!(described(&anatomy), state_dict.lines().collect::<Vec<_>>(), "{arch}");
        assert_eq!(anatomy.parameters(), parameters, "{arch}");
    }
}

#[test]
fn the_description_is_that_of_the_network_in_every_width_and_with_every_head() {
    for family in Family::ALL {
        for divisor in Arch::DIVISORS.into_iter().filter(|&divisor| divisor >= 4) {
            let spec = cifar10(&Arch::new(family, divisor).unwrap().to_string());
            let grey = NetworkSpec { channels: 1, classes: 7, normalization: Normalization::Identity, ..spec.clone() };
            for spec in [NetworkSpec { representation_width: 24, ..spec.clone() }, spec, grey] {
                let (anatomy, network) = (Anatomy::of(&spec).unwrap(), network(&spec, DType::F32));
                assert_eq!(described(&anatomy), keys_and_shapes(&network), "{spec:?}");
                assert_eq!(anatomy.parameters(), network.parameter_count());
                let of = |role: Role| anatomy.tensors().filter(move |tensor| tensor.role == role);
                let named = |(key, _): &(String, _)| key.clone();
                assert!(of(Role::Statistic).map(|t| t.key.clone()).eq(network.buffers().iter().map(named)));
                assert!(of(Role::Parameter).map(|t| t.key.clone()).eq(network.parameters().iter().map(named)));
            }
        }
    }
}

#[test]
fn a_resnet50_without_adapter_is_madrylabs() {
    let spec = NetworkSpec { representation_width: 2048, ..cifar10("resnet50") };
    assert!(!spec.has_adapter());
    let adapted = include_str!("../state_dict/resnet50.txt").lines();
    let plain: Vec<String> = adapted
        .filter(|line| !line.starts_with("added_linear"))
        .map(|line| line.replace("linear.weight 10x512", "linear.weight 10x2048"))
        .collect();
    let network = of_zeros(&spec, &plain.join("\n"));
    assert_eq!(keys_and_shapes(&network), plain);
    assert_eq!(network.parameter_count(), 23_520_842);
}

#[test]
fn parameters_and_buffers_are_the_state_without_the_counters() {
    let network = network(&cifar10("resnet18/16"), DType::F32);
    let counters = network.state().iter().filter(|(key, _)| key.ends_with("num_batches_tracked")).count();
    assert_eq!((network.parameters().len(), network.buffers().len(), counters), (62, 40, 20));
    assert!(network.buffers().iter().all(|(key, _)| key.contains(".running_") || key.starts_with("bn1.running_")));
}

#[test]
fn a_divisor_divides_every_hidden_width() {
    for (arch, state_dict, ..) in PYTORCH {
        let quarter = network(&authors(&format!("{arch}/4")), DType::F32);
        let quartered = |line: &str| {
            let (key, shape) = line.split_once(' ').unwrap();
            // Colours, classes and the sides of kernels stay.
            let sizes = shape.split('x').enumerate().map(|(i, text)| match text.parse::<usize>() {
                Ok(size) if i < 2 && size > 10 => (size / 4).to_string(),
                _ => text.to_owned(),
            });
            format!("{key} {}", sizes.collect::<Vec<_>>().join("x"))
        };
        assert_eq!(keys_and_shapes(&quarter), state_dict.lines().map(quartered).collect::<Vec<_>>(), "{arch}");
    }
}

#[test]
fn networks_of_every_width_run_forward_and_backward() {
    for family in Family::ALL {
        for divisor in Arch::DIVISORS.into_iter().filter(|&divisor| divisor >= 4) {
            let arch = Arch::new(family, divisor).unwrap();
            let spec = NetworkSpec {
                channels: 1,
                classes: 7,
                normalization: Normalization::FashionMnist,
                ..cifar10(&arch.to_string())
            };
            let network = network(&spec, DType::F32);
            let x = square(2, 1, family.image_side(), DType::F32);
            let output = network.forward(&x, Mode::Train).unwrap();
            assert_eq!(output.logits.dims(), [2, 7]);
            assert_eq!(output.representation.dims(), [2, arch.representation_width()]);
            let gradients = output.logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            for (key, parameter) in network.parameters() {
                let gradient = gradients.get(parameter).unwrap_or_else(|| panic!("{arch}: no gradient for {key}"));
                assert_eq!(gradient.dims(), parameter.dims(), "{arch}: {key}");
                assert!(numbers(gradient).iter().all(|g| g.is_finite()), "{arch}: {key}");
            }
        }
    }
}

#[test]
fn an_adapter_leads_to_another_representation_width_and_comes_before_the_classifier() {
    for arch in NARROW {
        let spec = NetworkSpec { representation_width: 48, ..cifar10(arch) };
        assert_eq!((spec.has_adapter(), cifar10(arch).has_adapter()), (true, arch.starts_with("resnet50/")));
        let network = network(&spec, DType::F32);
        let keys: Vec<(String, Vec<usize>)> =
            network.state().into_iter().rev().take(4).map(|(key, t)| (key, t.dims().to_vec())).collect();
        assert_eq!(keys[3], ("added_linear.weight".to_owned(), vec![48, spec.arch.feature_width()]));
        assert_eq!(keys[2], ("added_linear.bias".to_owned(), vec![48]));
        assert_eq!(keys[1].1, [10, 48]);
        let output = network.forward(&square(2, 3, spec.arch.family().image_side(), DType::F32), Mode::Eval).unwrap();
        assert_eq!((output.representation.dims(), output.logits.dims()), (&[2, 48][..], &[2, 10][..]));
        assert!(numbers(&output.representation).iter().any(|&r| r < 0.0), "{arch}: an adapter has no activation");
    }
}

#[test]
fn initial_weights_depend_on_seed_and_name_but_not_on_the_adapter_or_the_type() {
    let plain = cifar10("resnet18/16");
    let adapted = NetworkSpec { representation_width: 48, ..plain.clone() };
    let (plain_state, adapted_state) = (state(&network(&plain, DType::F32)), state(&network(&adapted, DType::F32)));
    for (key, weights) in plain_state.iter().filter(|(key, _)| !key.starts_with("linear.")) {
        let same = adapted_state.iter().find(|(other, _)| other == key).unwrap();
        assert_eq!(weights, &same.1, "{key}");
    }
    let other_seed = Network::initialize(&plain, 8, &Device::Cpu, DType::F32).unwrap();
    assert_ne!(plain_state[0], state(&other_seed)[0]);
    for ((_, narrow), (_, wide)) in plain_state.iter().zip(state(&network(&plain, DType::F64))) {
        let rounded: Vec<f64> = wide.iter().map(|&w| f64::from(w as f32)).collect();
        assert_eq!(narrow, &rounded);
    }
}

#[test]
fn impossible_shapes_are_refused() {
    let refused = |spec: NetworkSpec| {
        let error = Network::initialize(&spec, 0, &Device::Cpu, DType::F32).unwrap_err();
        assert!(matches!(error, ModelError::Spec(_)), "{error}");
    };
    refused(NetworkSpec { channels: 0, ..cifar10("dnn/16") });
    refused(NetworkSpec { channels: 1, ..cifar10("dnn/16") });
    refused(NetworkSpec { classes: usize::MAX, ..cifar10("dnn/16") });
    refused(NetworkSpec { representation_width: 0, ..cifar10("dnn/16") });
}

#[test]
fn images_of_another_shape_are_refused() {
    let error = network(&cifar10("resnet18/16"), DType::F32).forward(&pixels(2, 1, DType::F32), Mode::Eval);
    assert!(error.unwrap_err().to_string().contains("[3, 32, 32]"));
    let error = network(&cifar10("alexnet/16"), DType::F32).forward(&pixels(2, 3, DType::F32), Mode::Eval);
    assert!(error.unwrap_err().to_string().contains("[3, 224, 224]"));
}
