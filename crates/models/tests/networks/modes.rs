//! Train mode and eval mode.

use candle_core::{DType, Tensor};
use rrm_models::Model;
use rrm_spec::Mode;

use crate::{NARROW, WITH_NORMS, cifar10, distance, logits, network, numbers, pixels, pixels_for, state};

#[test]
fn eval_mode_leaves_every_tensor_as_it_was() {
    for arch in NARROW {
        let network = network(&cifar10(arch), DType::F32);
        let x = pixels_for(&network, 4);
        logits(&network, &x, Mode::Train);
        let before = state(&network);
        logits(&network, &x, Mode::Eval);
        logits(&network.frozen(), &x, Mode::Eval);
        assert_eq!(state(&network), before, "{arch}");
    }
}

#[test]
fn train_mode_moves_every_running_statistic_and_counts_batches_but_moves_no_parameter() {
    for arch in WITH_NORMS {
        let network = network(&cifar10(arch), DType::F32);
        let before = state(&network);
        logits(&network, &pixels_for(&network, 4), Mode::Train);
        logits(&network, &pixels_for(&network, 4), Mode::Train);
        for ((key, before), (_, after)) in before.iter().zip(state(&network)) {
            if key.ends_with("num_batches_tracked") {
                assert_eq!((before[0], after[0]), (0.0, 2.0), "{key}");
            } else {
                assert_eq!(*before != after, key.contains("running_"), "{arch}: {key}");
            }
        }
    }
}

/// The mean over the images and pixels of the stem's output, and its variance with Bessel's correction.
fn statistics_of_channel(activations: &Tensor, channel: usize) -> (f64, f64) {
    let numbers = numbers(&activations.narrow(1, channel, 1).unwrap());
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, squares / (numbers.len() - 1) as f64)
}

#[test]
fn running_statistics_move_a_tenth_of_the_way_to_mean_and_unbiased_variance() {
    let network = network(&cifar10("resnet18/16"), DType::F64);
    let x = pixels(2, 3, DType::F64);
    let find = |wanted: &str| network.state().into_iter().find(|(key, _)| key == wanted).unwrap().1;
    let normalized = rrm_kernels::normalize(&x, &[0.4914, 0.4822, 0.4465], &[0.2471, 0.2435, 0.2616]).unwrap();
    let activations = normalized.conv2d(&find("conv1.weight"), 1, 1, 1, 1).unwrap();
    logits(&network, &x, Mode::Train);
    for channel in 0..4 {
        let (mean, variance) = statistics_of_channel(&activations, channel);
        let moved = |key: &str| numbers(&find(key))[channel];
        assert!((moved("bn1.running_mean") - 0.1 * mean).abs() < 1e-12);
        assert!((moved("bn1.running_var") - (0.9 + 0.1 * variance)).abs() < 1e-12);
    }
}

#[test]
fn in_eval_mode_an_image_gets_the_same_bits_in_any_batch() {
    for arch in NARROW {
        for frozen in [network(&cifar10(arch), DType::F32), network(&cifar10(arch), DType::F32).frozen()] {
            let x = pixels_for(&frozen, 5);
            let together = logits(&frozen, &x, Mode::Eval);
            for image in 0..5 {
                let alone = logits(&frozen, &x.narrow(0, image, 1).unwrap(), Mode::Eval);
                assert_eq!(numbers(&alone), numbers(&together.narrow(0, image, 1).unwrap()), "{arch}, image {image}");
            }
        }
    }
}

#[test]
fn with_the_batch_as_its_own_history_both_modes_agree() {
    // After many passes over one batch the running mean is the batch's, and the running variance its unbiased one.
    let network = network(&cifar10("resnet18/16"), DType::F64);
    let x = pixels(8, 3, DType::F64);
    for _ in 0..200 {
        logits(&network, &x, Mode::Train);
    }
    let distance = distance(&logits(&network, &x, Mode::Eval), &logits(&network, &x, Mode::Train));
    // layer4 averages over 8 · 16 numbers, so the two variances differ by 1/127 there.
    assert!(distance < 0.05, "{distance}");
}

#[test]
fn dropout_depends_on_the_seed_the_step_and_the_pass_alone() {
    for arch in ["alexnet/16", "vgg16/16"] {
        let network = network(&cifar10(arch), DType::F32);
        let (frozen, x) = (network.frozen(), pixels_for(&network, 2));
        let passes = |seed, step| {
            network.restart_dropout(seed, step);
            let first = numbers(&logits(&network, &x, Mode::Train));
            // Neither a pass in eval mode nor the view that a pass goes through changes what comes next.
            logits(&network, &x, Mode::Eval);
            [first, numbers(&logits(&frozen, &x, Mode::Train))]
        };
        let before = passes(1, 5);
        assert_ne!(before[0], before[1], "{arch}");
        for (seed, step) in [(1, 6), (2, 5)] {
            assert_ne!(passes(seed, step), before, "{arch}");
        }
        assert_eq!(passes(1, 5), before, "{arch}");
        network.restart_dropout(1, 5);
        assert_eq!(numbers(&logits(&frozen, &x, Mode::Train)), before[0], "{arch}");
    }
}

#[test]
fn dropout_keeps_the_mean_of_what_the_classifier_sees() {
    // The hidden layers' dropouts are what changes from pass to pass in an AlexNet's representation.
    let network = network(&cifar10("alexnet/16"), DType::F64);
    let x = pixels_for(&network, 1);
    let representation = |mode| network.forward(&x, mode).unwrap().representation.detach();
    let passes = 400;
    let sum = (0..passes).map(|_| representation(Mode::Train)).reduce(|a, b| (a + b).unwrap()).unwrap();
    let (mean, whole) = ((sum / f64::from(passes)).unwrap(), representation(Mode::Eval));
    assert_ne!(numbers(&representation(Mode::Train)), numbers(&whole));
    // A ReLU after a sum of dropped numbers lifts the mean a little; without the doubling it would be far below.
    let total = |t: &Tensor| numbers(t).iter().sum::<f64>();
    assert!((0.9..1.5).contains(&(total(&mean) / total(&whole))), "{} {}", total(&mean), total(&whole));
}

#[test]
fn the_representation_of_a_vgg16_is_taken_before_the_last_dropout() {
    let network = network(&cifar10("vgg16/16"), DType::F64);
    let output = network.forward(&pixels_for(&network, 2), Mode::Train).unwrap();
    let find = |key: &str| network.state().into_iter().find(|(name, _)| name == key).unwrap().1;
    let (weight, bias) = (find("classifier.6.weight"), find("classifier.6.bias"));
    let undropped = rrm_kernels::linear(&output.representation, &weight, Some(&bias)).unwrap();
    assert!(distance(&undropped, &output.logits) > 0.01);
    // Half of the numbers go, so about a quarter of each image's are alive before and not seen by the classifier.
    let alive = numbers(&output.representation).iter().filter(|&&r| r > 0.0).count();
    assert!(alive > 2 * 128 / 3, "{alive} of 256");
}
