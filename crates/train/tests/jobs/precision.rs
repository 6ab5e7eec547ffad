//! Trainings in bf16 beside the same in f32.
#![expect(clippy::print_stdout, reason = "a failing comparison is read beside those that hold")]

use candle_core::{DType, Device, Tensor};
use rrm_kernels::{Conv2dConfig, autocast, conv2d};
use rrm_losses::cross_entropy;
use rrm_models::{Model, Network, NetworkSpec};
use rrm_spec::{Augmentation, EpochRecord, Method, Mode, Normalization, Precision, RepresentationLoss, TrainSpec};

use crate::{
    dataset::{Recipe, Tint},
    support::{Bench, bytes, count, fraction, network, rrm, sat, student},
};

/// Whether bf16 is anything else than f32 on this processor. If it is not, says that what compares them compares nothing here.
fn bf16_differs() -> bool {
    let numbers = |count: u32| (0..count).map(|i| (f64::from(i) * 0.618).fract() as f32).collect::<Vec<_>>();
    let x = Tensor::from_vec(numbers(4 * 32 * 16 * 16), (4, 32, 16, 16), &Device::Cpu).unwrap();
    let weight = Tensor::from_vec(numbers(32 * 32 * 3 * 3), (32, 32, 3, 3), &Device::Cpu).unwrap();
    let config = Conv2dConfig { stride: 1, padding: 1 };
    let product = |precision| {
        let product = autocast(precision, || conv2d(&x, &weight, None, config)).unwrap();
        product.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let differs = product(rrm_kernels::Precision::Bf16) != product(rrm_kernels::Precision::F32);
    if !differs {
        println!("skipped: convolutions in bf16 are those in f32 here");
    }
    differs
}

#[test]
fn a_student_is_trained_and_attacked_in_the_same_precision() {
    for precision in Precision::ALL {
        let student = student(network("dnn/16", 1, 32), 1, 1).with_precision(precision);
        assert_eq!((student.network().precision(), student.frozen().precision()), (precision, precision));
        assert!(student.momentum().all(|(_, buffer)| buffer.dtype() == student.dtype()));
    }
}

#[test]
fn a_training_in_bf16_is_another_than_the_one_in_f32() {
    let bench = Bench::new(Recipe::EASY);
    bench.train(&bench.spec("dnn/8", Method::Natural), &bench.environment("teacher"));
    let differs = bf16_differs();
    for (arch, method) in [
        ("dnn/4", Method::Natural),
        ("vgg11/8", sat("8/255", "2/255", 2)),
        ("resnet18/8", rrm(5e-3, 1, RepresentationLoss::Cosine)),
    ] {
        let trained = |precision| {
            let spec = TrainSpec { precision, epochs: count(1), ..bench.spec(arch, method.clone()) };
            let environment = bench.environment_with("work", "teacher");
            bench.train(&spec, &environment);
            bytes(&bench.path("work/final.safetensors"))
        };
        let (exact, rounded) = (trained(Precision::F32), trained(Precision::Bf16));
        assert_eq!(exact.len(), rounded.len(), "{arch} {}: weights are f32 in both", method.label());
        assert!(exact != rounded || !differs, "{arch} {}: the same bits", method.label());
    }
}

mod lambda {
    use super::*;

    /// As many images as the paper's batches have: the gradient of a logit is λ/128 at most.
    const IMAGES: usize = 128;

    /// The paper's choices for l∞ and l2, and down to where the authors' fp16 lost everything (digest §0, 5).
    const LAMBDAS: [f64; 5] = [5e-3, 5e-4, 1e-4, 5e-5, 1e-6];

    /// A student of random weights.
    fn fresh(arch: &str, precision: Precision) -> Network {
        let spec = NetworkSpec {
            arch: arch.parse().unwrap(),
            channels: 3,
            classes: 10,
            normalization: Normalization::Cifar10Fast,
            representation_width: 64,
            temperature: 1.0,
        };
        Network::initialize(&spec, 3, &Device::Cpu, DType::F32).unwrap().with_precision(precision)
    }

    fn images() -> (Tensor, Tensor) {
        let mut rng = rrm_data::ImageRng::new(3, rrm_data::Stream::Augmentation, &[]);
        let pixels: Vec<f32> = (0..IMAGES * 3 * 32 * 32).map(|_| rng.uniform() as f32).collect();
        let labels: Vec<u32> = (0..IMAGES as u32).map(|i| i * 7 % 10).collect();
        let pixels = Tensor::from_vec(pixels, (IMAGES, 3, 32, 32), &Device::Cpu);
        (pixels.unwrap(), Tensor::new(labels.as_slice(), &Device::Cpu).unwrap())
    }

    /// What λ times the cross-entropy sends to each weight, by name.
    fn gradients(arch: &str, lambda: f64, precision: Precision) -> Vec<(String, Vec<f64>)> {
        let (student, (pixels, labels)) = (fresh(arch, precision), images());
        let logits = student.forward(&pixels, Mode::Train).unwrap().logits;
        let loss = (cross_entropy(&logits, &labels).unwrap().mean_all().unwrap() * lambda).unwrap();
        let gradients = loss.backward().unwrap();
        let of = |(name, parameter): &(String, candle_core::Var)| {
            let gradient = gradients.get(parameter).unwrap().to_dtype(DType::F64).unwrap();
            (name.clone(), gradient.flatten_all().unwrap().to_vec1().unwrap())
        };
        student.parameters().iter().map(of).collect()
    }

    fn length<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> f64 {
        numbers.into_iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    fn total(gradients: &[(String, Vec<f64>)]) -> f64 {
        length(gradients.iter().flat_map(|(_, gradient)| gradient))
    }

    /// Length of the difference over the length of `exact`.
    fn error(rounded: &[(String, Vec<f64>)], exact: &[(String, Vec<f64>)]) -> f64 {
        let pairs = rounded.iter().flat_map(|(_, g)| g).zip(exact.iter().flat_map(|(_, g)| g));
        length(&pairs.map(|(a, b)| a - b).collect::<Vec<_>>()) / total(exact)
    }

    /// Numbers that are not tiny among those of their tensor, and yet became 0. What is below `noise` is rounding alone: the exact
    /// gradient of a bias before a batch-norm is 0.
    fn vanished(rounded: &[f64], exact: &[f64], noise: f64) -> usize {
        let least = (0.1 * length(exact) / (exact.len() as f64).sqrt()).max(noise);
        rounded.iter().zip(exact).filter(|(rounded, exact)| **rounded == 0.0 && exact.abs() > least).count()
    }

    #[test]
    fn however_small_it_is_the_students_weights_feel_the_cross_entropy_as_in_f32() {
        let differs = bf16_differs();
        for arch in ["resnet18/8", "vgg11/8"] {
            // How far bf16 is off where nothing is small: ReLUs that flip, not the range of numbers.
            let unscaled = error(&gradients(arch, 1.0, Precision::Bf16), &gradients(arch, 1.0, Precision::F32));
            assert!(unscaled > 0.0 || !differs, "{arch}: the same gradients");
            for lambda in LAMBDAS {
                let exact = gradients(arch, lambda, Precision::F32);
                let rounded = gradients(arch, lambda, Precision::Bf16);
                let noise = 1e-6 * total(&exact);
                for ((name, rounded), (_, exact)) in rounded.iter().zip(&exact) {
                    assert_eq!(vanished(rounded, exact, noise), 0, "{arch} at λ = {lambda}: {name}");
                }
                let (ratio, error) = (total(&rounded) / total(&exact), error(&rounded, &exact));
                println!(
                    "{arch} at λ = {lambda:e}: length {ratio:.4} of f32's, off by {error:.4} (at 1 {unscaled:.4})"
                );
                assert!((ratio - 1.0).abs() < 0.05, "{arch} at λ = {lambda}: {ratio} of the length in f32");
                assert!(error < 1.1 * unscaled + 1e-3, "{arch} at λ = {lambda}: {error}, at 1 {unscaled}");
            }
        }
    }
}

mod learning {
    use super::*;

    const SEEDS: [u64; 3] = [1, 2, 3];

    /// Two of the test images: where three seeds agree altogether, that says little of the next.
    const LEAST_SPREAD: f64 = 0.01;

    /// What three seeds reach: accuracies on test images and last losses.
    struct Reached {
        accuracies: Vec<f64>,
        losses: Vec<f64>,
    }

    fn reached(bench: &Bench, spec: &TrainSpec, precision: Precision) -> Reached {
        let last = |seed: u64| {
            let spec = TrainSpec { precision, seed, ..spec.clone() };
            let work = format!("{precision}-{}-{seed}", spec.arch.family().name());
            let epochs = bench.train(&spec, &bench.environment_with(&work, "teacher"));
            let last: EpochRecord = epochs.last().unwrap().clone();
            (fraction(last.natural), last.loss)
        };
        let (accuracies, losses) = SEEDS.into_iter().map(last).unzip();
        Reached { accuracies, losses }
    }

    fn mean(numbers: &[f64]) -> f64 {
        numbers.iter().sum::<f64>() / numbers.len() as f64
    }

    /// By how much seeds differ.
    fn spread(numbers: &[f64]) -> f64 {
        let (least, most) = (numbers.iter().copied().reduce(f64::min), numbers.iter().copied().reduce(f64::max));
        (most.unwrap() - least.unwrap()).max(LEAST_SPREAD)
    }

    /// The means of three seeds are no further apart than the seeds in f32 are.
    fn learns_as_in_f32(bench: &Bench, what: &str, spec: &TrainSpec) {
        let (exact, rounded) = (reached(bench, spec, Precision::F32), reached(bench, spec, Precision::Bf16));
        let all = format!(
            "{what}: accuracies {:?} and losses {:?} in f32, {:?} and {:?} in bf16",
            exact.accuracies, exact.losses, rounded.accuracies, rounded.losses
        );
        println!("{all}");
        assert!(mean(&exact.accuracies) > 0.8, "half of the images are of either class, so little is learnt: {all}");
        assert!(mean(&rounded.accuracies) >= mean(&exact.accuracies) - spread(&exact.accuracies), "{all}");
        assert!(mean(&rounded.losses) <= mean(&exact.losses) + spread(&exact.losses), "{all}");
    }

    #[test]
    fn a_training_in_bf16_reaches_what_one_in_f32_does() {
        bf16_differs();
        let bench = Bench::new(Recipe { images: (100, 100), misleading: 0.2, tint: Tint::Faint });
        let spec = |arch: &str, epochs, method| TrainSpec {
            epochs: count(epochs),
            batch_size: count(20),
            augmentation: Augmentation::Light,
            ..bench.spec(arch, method)
        };
        bench.train(&spec("vgg11/16", 5, sat("20/255", "8/255", 3)), &bench.environment("teacher"));
        learns_as_in_f32(&bench, "natural", &spec("vgg11/8", 6, Method::Natural));
        let student = rrm(5e-3, 1, RepresentationLoss::Cosine);
        learns_as_in_f32(&bench, "rrm", &spec("vgg11/8", 8, student));
    }
}
