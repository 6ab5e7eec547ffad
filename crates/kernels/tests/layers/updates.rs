//! Updates in place.

use candle_core::{DType, Device, Tensor, Var};
use rrm_kernels::{SgdConfig, sgd_step, update_running};

use crate::support::{distance, flat, tensor};

fn var(numbers: &[f64]) -> Var {
    Var::new(numbers, &Device::Cpu).unwrap()
}

#[test]
fn sgd_follows_pytorch_over_two_steps() {
    let (weight, buffer) = (var(&[1.0, -2.0]), var(&[0.0, 0.0]));
    let gradient = Tensor::new(&[0.5f64, 0.25], &Device::Cpu).unwrap();
    let config = SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01 };
    let (mut w, mut b) = ([1.0, -2.0], [0.0, 0.0]);
    for _ in 0..2 {
        sgd_step(&weight, &gradient, &buffer, config).unwrap();
        for (i, g) in [0.5, 0.25].into_iter().enumerate() {
            b[i] = 0.9 * b[i] + g + 0.01 * w[i];
            w[i] -= 0.1 * b[i];
        }
    }
    assert!(distance(&weight, &Tensor::new(&w, &Device::Cpu).unwrap()) < 1e-15);
    assert!(distance(&buffer, &Tensor::new(&b, &Device::Cpu).unwrap()) < 1e-15);
}

#[test]
fn detached_tensors_see_the_new_weights() {
    let weight = var(&[1.0]);
    let detached = weight.as_detached_tensor();
    let gradient = Tensor::new(&[1.0f64], &Device::Cpu).unwrap();
    let config = SgdConfig { learning_rate: 0.5, momentum: 0.0, weight_decay: 0.0 };
    sgd_step(&weight, &gradient, &var(&[0.0]), config).unwrap();
    assert_eq!(flat(&detached), [0.5]);
}

#[test]
fn large_weights_are_updated_to_the_last_number() {
    let dims = [3, 5000, 3];
    let weight = Var::from_tensor(&tensor(1, &dims, DType::F32)).unwrap();
    let buffer = Var::from_tensor(&weight.zeros_like().unwrap()).unwrap();
    let (before, gradient) = (weight.as_tensor().copy().unwrap(), tensor(2, &dims, DType::F32));
    let config = SgdConfig { learning_rate: 0.25, momentum: 0.9, weight_decay: 0.0 };
    sgd_step(&weight, &gradient, &buffer, config).unwrap();
    let expected = (before - (gradient * 0.25).unwrap()).unwrap();
    assert!(distance(&weight, &expected) < 1e-7);
}

#[test]
fn running_statistics_move_by_the_momentum() {
    let running = Tensor::new(&[1.0f64, 2.0], &Device::Cpu).unwrap();
    let seen_elsewhere = running.detach();
    let batch = Tensor::new(&[3.0f64, -2.0], &Device::Cpu).unwrap();
    update_running(&running, &batch, 0.25).unwrap();
    assert_eq!(flat(&seen_elsewhere), [1.5, 1.0]);
}

#[test]
fn different_shapes_are_refused() {
    let config = SgdConfig { learning_rate: 0.5, momentum: 0.0, weight_decay: 0.0 };
    let gradient = Tensor::new(&[1.0f64, 2.0], &Device::Cpu).unwrap();
    assert!(sgd_step(&var(&[1.0]), &gradient, &var(&[0.0]), config).is_err());
    assert!(update_running(&gradient, &Tensor::new(&[1.0f64], &Device::Cpu).unwrap(), 0.1).is_err());
}
