//! Frozen networks: the same storage without weight gradients.

use candle_core::{DType, Var};
use rrm_models::{Model, Network};
use rrm_spec::Mode;

use crate::{NARROW, cifar10, distance, logits, network, numbers, pixel_gradient, pixels, pixels_for, state};

/// A network whose running statistics are not the initial ones.
fn seasoned(arch: &str, dtype: DType) -> Network {
    let network = network(&cifar10(arch), dtype);
    logits(&network, &pixels_for(&network, 4), Mode::Train);
    network
}

#[test]
fn frozen_and_unfrozen_networks_agree_in_outputs_and_pixel_gradients() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
        for arch in NARROW {
            for mode in [Mode::Eval, Mode::Train] {
                let network = seasoned(arch, dtype);
                let x = pixels_for(&network, 3);
                let (a, b) = (logits(&network, &x, mode), logits(&seasoned(arch, dtype).frozen(), &x, mode));
                assert!(distance(&a, &b) < tolerance, "{arch} {mode:?}: logits {}", distance(&a, &b));
                let network = seasoned(arch, dtype);
                let gradient = |network: &Network| {
                    // Both drop the same.
                    network.restart_dropout(0, 1);
                    pixel_gradient(network, &x, mode)
                };
                let (a, b) = (gradient(&network), gradient(&network.frozen()));
                assert!(distance(&a, &b) < 10.0 * tolerance, "{arch} {mode:?}: gradients {}", distance(&a, &b));
            }
        }
    }
}

#[test]
fn a_frozen_network_gives_no_gradient_but_the_pixels() {
    for arch in NARROW {
        for mode in [Mode::Eval, Mode::Train] {
            let frozen = seasoned(arch, DType::F32).frozen();
            let x = Var::from_tensor(&pixels_for(&frozen, 2)).unwrap();
            let output = frozen.forward(x.as_tensor(), mode).unwrap();
            let gradients = output.logits.sum_all().unwrap().backward().unwrap();
            assert!(gradients.get(x.as_tensor()).is_some());
            assert!(frozen.parameters().iter().all(|(_, parameter)| gradients.get(parameter).is_none()), "{arch}");
            assert!(!frozen.forward(&pixels_for(&frozen, 2), mode).unwrap().logits.track_op(), "{arch}");
        }
    }
}

#[test]
fn a_frozen_network_sees_later_updates_of_weights() {
    for arch in NARROW {
        let network = seasoned(arch, DType::F32);
        let (frozen, x) = (network.frozen(), pixels_for(&network, 2));
        let before = logits(&frozen, &x, Mode::Eval);
        let config = rrm_kernels::SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        for (_, parameter) in network.parameters() {
            let buffer = Var::zeros(parameter.shape(), DType::F32, network.device()).unwrap();
            rrm_kernels::sgd_step(parameter, &parameter.ones_like().unwrap(), &buffer, config).unwrap();
        }
        assert_ne!(numbers(&logits(&frozen, &x, Mode::Eval)), numbers(&before), "{arch}");
        assert_eq!(state(&frozen), state(&network), "{arch}");
    }
}

#[test]
fn running_statistics_and_batch_counts_are_shared_both_ways() {
    let network = network(&cifar10("resnet18/16"), DType::F32);
    let frozen = network.frozen();
    logits(&frozen, &pixels(4, 3, DType::F32), Mode::Train);
    let counted = |network: &Network| {
        let (_, count) = network.state().into_iter().find(|(key, _)| key == "bn1.num_batches_tracked").unwrap();
        count.to_scalar::<i64>().unwrap()
    };
    assert_eq!(counted(&network), 1);
    logits(&network, &pixels(4, 3, DType::F32), Mode::Train);
    assert_eq!(counted(&frozen), 2);
    assert_eq!(state(&frozen), state(&network));
}
