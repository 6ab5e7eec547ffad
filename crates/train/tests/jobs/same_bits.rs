//! The same bits at any number of threads, for whole steps of every kind.

use candle_core::{DType, Device};
use rrm_models::{Network, NetworkSpec};
use rrm_spec::{Method, Normalization, Perturbation, Precision, RepresentationLoss};
use rrm_train::{Student, TrainBatch, step};

use crate::support::{batch, fast_at, free, robust_distillation, rrm, sat, student, trades};

/// In f32, and with 16 channels and more, so that every schedule of the fast convolutions is used.
fn network(arch: &str, seed: u64) -> Network {
    let spec = NetworkSpec {
        arch: arch.parse().unwrap(),
        channels: 3,
        classes: 4,
        normalization: Normalization::Identity,
        representation_width: 64,
        temperature: 1.0,
    };
    Network::initialize(&spec, seed, &Device::Cpu, DType::F32).unwrap()
}

fn single_batch() -> TrainBatch {
    let batch = batch();
    TrainBatch { pixels: batch.pixels.to_dtype(DType::F32).unwrap(), ..batch }
}

/// The bits of everything that a checkpoint would hold.
fn bits(student: &Student) -> Vec<(String, Vec<u64>)> {
    let network = student.network().state().into_iter();
    let momentum =
        student.momentum().map(|(name, buffer)| (format!("momentum of {name}"), buffer.as_detached_tensor()));
    let of = |tensor: candle_core::Tensor| -> Vec<u64> {
        let numbers = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        numbers.into_iter().map(f64::to_bits).collect()
    };
    network.chain(momentum).map(|(name, tensor)| (name, of(tensor))).collect()
}

/// Loss and student after two steps on kernels of so many threads.
fn after_two_steps(
    arch: &str,
    method: &Method,
    precision: Precision,
    threads: usize,
) -> (u64, Vec<(String, Vec<u64>)>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let teacher = network("resnet18/8", 1).with_precision(precision);
        let mut student = student(network(arch, 2), 1, 4).with_precision(precision);
        let mut step = step::build(method, Some(&teacher), 5);
        let batch = single_batch();
        let losses = [(); 2].map(|()| step.step(&mut student, &batch).unwrap().loss_sum);
        (losses.iter().sum::<f64>().to_bits(), bits(&student))
    })
}

#[test]
fn a_step_of_every_method_has_the_same_bits_with_one_two_and_three_threads() {
    let methods = [
        ("dnn/2", Method::Natural),
        ("vgg11/4", fast_at("8/255", "2/255", 2)),
        ("resnet18/4", sat("8/255", "2/255", 2)),
        ("resnet18/4", rrm(5e-3, 2, RepresentationLoss::RelativeL2)),
        ("vgg11/4", free("8/255", 2, Perturbation::Carried)),
        ("vgg11/4", robust_distillation("8/255", "2/255", 2, 0.5)),
        ("vgg11/4", trades("8/255", "2/255", 2, 6.0)),
    ];
    for (arch, method) in methods {
        for precision in Precision::ALL {
            let what = format!("{arch} {} in {precision}", method.label());
            let one = after_two_steps(arch, &method, precision, 1);
            // One thread twice: nothing but the seed decides.
            for threads in [1, 2, 3] {
                let (loss, state) = after_two_steps(arch, &method, precision, threads);
                assert_eq!(loss, one.0, "{what}: the losses differ at {threads} threads");
                for ((name, bits), (_, expected)) in state.iter().zip(&one.1) {
                    assert!(bits == expected, "{what}: {name} differs at {threads} threads");
                }
            }
        }
    }
}
