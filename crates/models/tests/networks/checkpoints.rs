//! Networks in files.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rrm_models::{LoadFault, Mismatch, ModelError, Network, NetworkSpec};
use rrm_spec::Mode;
use tempfile::TempDir;

use crate::{NARROW, cifar10, logits, network, numbers, pixels, pixels_for, state};

/// The bytes of a small trained network's checkpoint.
fn checkpoint(folder: &TempDir) -> Vec<u8> {
    let path = folder.path().join("network.safetensors");
    network(&cifar10("vgg11/16"), DType::F32).save(&path).unwrap();
    fs::read(path).unwrap()
}

fn load(path: &Path) -> Result<Network, ModelError> {
    Network::load(path, &Device::Cpu, DType::F32)
}

fn load_bytes(folder: &TempDir, bytes: &[u8]) -> Result<Network, ModelError> {
    let path = folder.path().join("changed.safetensors");
    fs::write(&path, bytes).unwrap();
    load(&path)
}

/// The error and everything behind it.
fn told(error: &ModelError) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told += &format!(": {error}");
        source = error.source();
    }
    told
}

fn tensors(spec: &NetworkSpec) -> HashMap<String, Tensor> {
    network(spec, DType::F32).state().into_iter().collect()
}

#[test]
fn a_saved_network_is_read_back_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("network.safetensors");
    for arch in NARROW {
        let spec = NetworkSpec { representation_width: 48, ..cifar10(arch) };
        let saved = network(&spec, DType::F32);
        logits(&saved, &pixels_for(&saved, 4), Mode::Train);
        saved.save(&path).unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!((loaded.spec(), state(&loaded)), (saved.spec(), state(&saved)));
        let x = pixels_for(&saved, 2);
        assert_eq!(numbers(&logits(&loaded, &x, Mode::Eval)), numbers(&logits(&saved, &x, Mode::Eval)));
        let first = fs::read(&path).unwrap();
        loaded.save(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first, "{arch}: the same network, other bytes");
    }
}

#[test]
fn a_file_holds_counters_as_i64_under_the_names_of_pytorch() {
    let folder = TempDir::new().unwrap();
    let bytes = checkpoint(&folder);
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let counter = file.tensor("features.1.num_batches_tracked").unwrap();
    assert_eq!((counter.dtype(), counter.shape()), (safetensors::Dtype::I64, &[][..]));
    assert_eq!(file.names().len(), 58);
}

#[test]
fn a_checkpoint_may_be_read_in_another_type() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("network.safetensors");
    let saved = network(&cifar10("resnet18/16"), DType::F32);
    saved.save(&path).unwrap();
    let wide = Network::load(&path, &Device::Cpu, DType::F64).unwrap();
    assert_eq!(state(&wide), state(&saved));
    assert!(wide.parameters().iter().all(|(_, parameter)| parameter.dtype() == DType::F64));
}

#[test]
fn given_tensors_are_copied() {
    let original = network(&cifar10("vgg11/16"), DType::F32);
    let given = original.parameters().iter().chain(original.buffers());
    let given = given.map(|(key, var)| (key.clone(), var.as_tensor().clone()));
    let counters = original.state().into_iter().filter(|(key, _)| key.ends_with("num_batches_tracked"));
    let copy =
        Network::from_tensors(original.spec(), given.chain(counters).collect(), &Device::Cpu, DType::F32).unwrap();
    let before = state(&copy);
    logits(&original, &pixels(4, 3, DType::F32), Mode::Train);
    let (_, first) = &original.parameters()[0];
    first.set(&first.zeros_like().unwrap()).unwrap();
    assert_eq!(state(&copy), before);
}

#[test]
fn every_tensor_that_does_not_fit_is_named_at_once() {
    let spec = cifar10("resnet18/16");
    let mut tensors = tensors(&spec);
    tensors.remove("bn1.weight");
    tensors.insert("stranger".to_owned(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
    tensors.insert("linear.bias".to_owned(), Tensor::zeros((5, 2), DType::F32, &Device::Cpu).unwrap());
    tensors.insert("bn1.bias".to_owned(), Tensor::zeros(4, DType::U8, &Device::Cpu).unwrap());
    let error = Network::from_tensors(&spec, tensors, &Device::Cpu, DType::F32).unwrap_err();
    let ModelError::Mismatch { mismatches, .. } = &error else { panic!("{error}") };
    let expected = [
        Mismatch::Missing { key: "bn1.weight".to_owned(), shape: vec![4] },
        Mismatch::Kind { key: "bn1.bias".to_owned(), found: DType::U8 },
        Mismatch::Shape { key: "linear.bias".to_owned(), expected: vec![10], found: vec![5, 2] },
        Mismatch::Unexpected { key: "stranger".to_owned(), shape: vec![3] },
    ];
    assert_eq!(mismatches.0, expected);
    assert!(error.to_string().contains("`linear.bias` is [5, 2] instead of [10]"), "{error}");
}

#[test]
fn foreign_files_are_refused_with_their_path_and_the_reason() {
    let folder = TempDir::new().unwrap();
    let fault = |result: Result<Network, ModelError>| match result.unwrap_err() {
        error @ ModelError::Load { .. } => {
            let told = told(&error);
            let ModelError::Load { source, .. } = error else { unreachable!() };
            (source, told)
        }
        other => panic!("{other}"),
    };
    let (missing, told) = fault(load(&folder.path().join("nowhere.safetensors")));
    assert!(matches!(missing, LoadFault::Io(_)) && told.contains("nowhere.safetensors"), "{told}");
    assert!(matches!(fault(load(folder.path())).0, LoadFault::Io(_)));
    assert!(matches!(fault(load_bytes(&folder, b"")).0, LoadFault::Format(_)));
    assert!(matches!(fault(load_bytes(&folder, b"PK\x03\x04 a zip file")).0, LoadFault::Format(_)));
    let plain = safetensors::serialize(tensors(&cifar10("dnn/16")), None).unwrap();
    assert!(matches!(fault(load_bytes(&folder, &plain)).0, LoadFault::NoDescription));
}

/// A checkpoint of a vgg11/16 that claims to be `description`.
fn claiming(folder: &TempDir, description: &str) -> Result<Network, ModelError> {
    let metadata = HashMap::from([("rrm.network".to_owned(), description.to_owned())]);
    load_bytes(folder, &safetensors::serialize(tensors(&cifar10("vgg11/16")), Some(metadata)).unwrap())
}

#[test]
fn a_false_description_is_refused() {
    let folder = TempDir::new().unwrap();
    let describe = |arch: &str, channels: u64, width: u64| {
        format!(
            r#"{{"arch":"{arch}","channels":{channels},"classes":10,"normalization":"identity","representation_width":{width}}}"#
        )
    };
    assert!(claiming(&folder, &describe("vgg11/16", 3, 32)).is_ok());
    for description in [
        "",
        "{}",
        "[]",
        &describe("vgg12", 3, 32),
        &describe("vgg11/3", 3, 32),
        &describe("vgg11", 3, 512),
        &describe("resnet18/16", 3, 32),
        &describe("vgg11/16", 1, 32),
        &describe("vgg11/16", 3, 64),
        &describe("vgg11/16", u64::MAX, 32),
        &describe("vgg11/16", 65536, 65536),
        &describe("vgg11/16", 3, 0),
    ] {
        let error = claiming(&folder, description).unwrap_err();
        assert!(matches!(error, ModelError::Load { .. }), "{description}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_truncated_checkpoint_is_an_error(length in any::<prop::sample::Index>()) {
        let folder = TempDir::new().unwrap();
        let bytes = checkpoint(&folder);
        prop_assert!(load_bytes(&folder, &bytes[..length.index(bytes.len())]).is_err());
    }

    #[test]
    fn a_damaged_header_never_panics(position in 0usize..4000, byte in any::<u8>()) {
        let folder = TempDir::new().unwrap();
        let mut bytes = checkpoint(&folder);
        bytes[position] = byte;
        // A change may by chance leave a valid file; what counts is that it is loaded or refused.
        let _ = load_bytes(&folder, &bytes);
    }
}
