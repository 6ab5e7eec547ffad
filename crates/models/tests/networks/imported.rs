//! Networks that PyTorch saved, and what PyTorch computed with them (`tests/checkpoints/generate.py`).

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rrm_checkpoint::{Wanted, import, read_file};
use rrm_models::Network;
use rrm_spec::{Mode, Normalization};
use tempfile::TempDir;

use crate::logits;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/checkpoints/data").join(name)
}

/// The network of a file, by way of an artifact.
fn network(name: &str) -> Network {
    let (arch, normalization) = match name {
        "fast_adversarial_legacy.pt" => ("preactresnet18/16", Normalization::Cifar10Fast),
        _ => ("dnn/16", Normalization::Cifar10Madry),
    };
    let (arch, normalization) = (Some(arch.parse().unwrap()), Some(normalization));
    let wanted = Wanted { arch, normalization, classes: Some(10), temperature: None };
    let imported = import(&read_file(&data(name)).unwrap(), &wanted).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("artifact.safetensors");
    std::fs::write(&path, imported.to_artifact()).unwrap();
    let network = Network::load(&path, &Device::Cpu, DType::F32).unwrap();
    let saved = folder.path().join("saved.safetensors");
    network.save(&saved).unwrap();
    assert_eq!(
        std::fs::read(&saved).unwrap(),
        imported.to_artifact(),
        "{name}: a checkpoint and an artifact are the same"
    );
    network
}

/// The image of the generator.
fn image() -> Tensor {
    let pixels: Vec<f32> = (0..3 * 32 * 32).map(|i: u32| ((i * 37 + 11) % 256) as f32 / 255.0).collect();
    Tensor::from_vec(pixels, (1, 3, 32, 32), &Device::Cpu).unwrap()
}

#[test]
fn an_imported_network_computes_what_it_computed_in_pytorch() {
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(data("expected.json")).unwrap()).unwrap();
    for (name, numbers) in [
        ("bare.pt", "f32"),
        ("bare_legacy.pt", "f32"),
        ("madry_legacy.pt", "f32"),
        ("strided.pt", "f32"),
        ("strided_legacy.pt", "f32"),
        ("authors_legacy.pt", "f16"),
        ("half.pt", "f16"),
        ("brain.safetensors", "bf16"),
        ("fast_adversarial_legacy.pt", "fast_adversarial"),
    ] {
        let found = logits(&network(name), &image(), Mode::Eval).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected: Vec<f64> = serde_json::from_value(expected[numbers].clone()).unwrap();
        let worst = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}
